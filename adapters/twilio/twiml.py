"""What Twilio is told to do with a call: TwiML, the answer to its voice webhook. Pure.

Twilio, TwiML for Programmable Voice: Stream, Dial, Number, Sip, Pause, Redirect, Enqueue, Hangup, Reject.
"""

from __future__ import annotations

import re
from typing import Literal
from xml.etree.ElementTree import Element, SubElement, tostring

import msgspec

from config.voice import TwilioVoice, is_sip

LONGEST_PAIR = 499
"""Characters of a parameter, its name and its value together."""

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot hold, not even written as numbers (XML 1.0, 2.2)."""


class StreamStart(msgspec.Struct, frozen=True, kw_only=True):
    """Where the audio of a call goes, beside whatever the call does. Raises ValueError where Twilio would refuse it."""

    url: str
    """wss://; Twilio takes no other, and loses what stands behind a ?."""
    name: str
    """Unique in the call; it is what a stream is stopped by."""
    status_callback: str
    """Where Twilio tells that the stream has begun, has ended or has failed."""
    parameters: dict[str, str] = {}
    """What the stream says of itself once it has come."""
    track: Literal["inbound_track", "outbound_track", "both_tracks"] = "both_tracks"

    def __post_init__(self) -> None:
        if not self.url.startswith("wss://") or "?" in self.url or "#" in self.url:
            raise ValueError("Expected a wss:// url without ? and #")  # it may hold a token
        if not all(fits(name, value) for name, value in self.parameters.items()):
            raise ValueError(f"Expected parameters with a name, of at most {LONGEST_PAIR} characters with their value")


class Dial(msgspec.Struct, frozen=True, kw_only=True):
    """Connect the caller with somebody; once they have parted, the call is over."""

    to: str
    """A number, or a SIP URI."""
    caller_id: str | None = None
    """None: the caller's own number."""
    timeout_seconds: int | None = None
    """Of ringing; None: Twilio's 30."""


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """Stay silent, then hang up. Where nothing stands before it, Twilio lets the call ring for so long."""

    seconds: int


class Redirect(msgspec.Struct, frozen=True, kw_only=True):
    """Ask elsewhere for TwiML."""

    url: str


class Enqueue(msgspec.Struct, frozen=True, kw_only=True):
    """Let the caller wait in a queue of Twilio's until somebody dials it."""

    queue: str


class HangUp(msgspec.Struct, frozen=True):
    """End the call."""


Next = Dial | Pause | Redirect | Enqueue | HangUp
"""What a call does once its stream is started. There must be something: with nothing it is hung up."""

SILENCE = Pause(seconds=3600)
"""What a call does where no setting says it: who has just pointed a number here calls it, speaks, and is transcribed.

To hang up would cut that off before a word. A caller who hears nothing says so or hangs up, and nobody pays for longer
than an hour.
"""


def what_comes_next(settings: TwilioVoice | None) -> Next:
    """Read what a call goes on with from its route's settings; from None, `SILENCE`."""
    match settings:
        case TwilioVoice(dial=str(to)):
            return Dial(to=to, caller_id=settings.caller_id, timeout_seconds=settings.timeout_seconds)
        case TwilioVoice(pause_seconds=int(seconds)):
            return Pause(seconds=seconds)
        case TwilioVoice(redirect=str(url)):
            return Redirect(url=url)
        case TwilioVoice(enqueue=str(queue)):
            return Enqueue(queue=queue)
    return SILENCE


def fits(name: str, value: str) -> bool:
    """Tell whether a stream can carry a parameter."""
    return _writable(name) != "" and len(name) + len(value) <= LONGEST_PAIR


def voice(start: StreamStart | None, then: Next) -> str:
    """Write how a call begins: its stream, unless it goes on without one, then what comes next.

    Characters that XML cannot hold are left out.
    """
    response = Element("Response")
    if start is not None:
        _add_stream(_add(response, "Start"), start)
    _add_next(response, then)
    return _written(response)


def busy() -> str:
    """Write a refusal: the caller hears the busy tone, the call is not answered and costs nothing."""
    response = Element("Response")
    _add(response, "Reject", reason="busy")
    return _written(response)


def _add_stream(parent: Element, start: StreamStart) -> None:
    stream = _add(
        parent, "Stream", url=start.url, name=start.name, track=start.track, statusCallback=start.status_callback
    )
    for name, value in start.parameters.items():
        _add(stream, "Parameter", name=name, value=value)


def _add_next(response: Element, then: Next) -> None:
    match then:
        case Dial():
            dial = _add(response, "Dial", callerId=then.caller_id, timeout=then.timeout_seconds)
            _add(dial, "Sip" if is_sip(then.to) else "Number", then.to)
        case Pause():
            _add(response, "Pause", length=then.seconds)
        case Redirect():
            _add(response, "Redirect", then.url)
        case Enqueue():
            _add(response, "Enqueue", then.queue)
        case HangUp():
            _add(response, "Hangup")


def _add(parent: Element, tag: str, text: str = "", **attributes: str | int | None) -> Element:
    """Add an element; an attribute that is None is left out."""
    given = {name: _writable(str(value)) for name, value in attributes.items() if value is not None}
    element = SubElement(parent, tag, given)
    element.text = _writable(text)
    return element


def _writable(text: str) -> str:
    return _NO_XML.sub("", text)


def _written(response: Element) -> str:
    encoded: bytes = tostring(response, encoding="UTF-8", xml_declaration=True)
    return encoded.decode()
