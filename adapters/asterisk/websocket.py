"""chan_websocket: what the messages of Asterisk's WebSocket mean (Asterisk `chan_websocket.c`, since 20.16 and 22.6).

MEDIA_START comes first and names the codec. Then each binary message is one packet of it, without a header; each text
is an event, in JSON or, by default, in plain text. The call's end is a Close.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from adapters.stream import (
    DIGITS,
    AudioFormat,
    AudioFrame,
    DigitPressed,
    Encoding,
    StreamEvent,
    StreamStarted,
    Track,
    WireError,
)
from adapters.wire.parameters import LONGEST_NAME, bounded, named, read_object
from adapters.wire.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KIND = "asterisk_websocket"

_LINEAR_RATES_HZ = {
    "slin": 8_000,
    "slin12": 12_000,
    "slin16": 16_000,
    "slin24": 24_000,
    "slin32": 32_000,
    "slin44": 44_100,
    "slin48": 48_000,
    "slin96": 96_000,
    "slin192": 192_000,
}
FORMATS = {
    "ulaw": AudioFormat(Encoding.PCMU, 8_000),
    "alaw": AudioFormat(Encoding.PCMA, 8_000),
} | {name: AudioFormat(Encoding.L16, rate_hz) for name, rate_hz in _LINEAR_RATES_HZ.items()}
"""Asterisk's names of what can be taken (`codec_builtin.c`)."""

CALL_NAMES = ("CALL_ID", "CALL_UUID")
"""Channel variables that name the call, the best first; without one the channel itself does."""

ITS_OWN = ("MEDIA_WEBSOCKET_", "DIALEDPEERNUMBER")
"""Variables that Asterisk sets on each such channel: they say nothing of the call."""

TOO_MUCH = "more variables came than are kept: 64, of 8,192 characters each, 16,000 in all"


class ChanWebSocketWire:
    """One connection. `track` is what the listener says of the voice that comes in.

    `query` are the URL's parameters, a hint alone: Asterisk repeats those of the call before where a dial string has
    none of its own (`v()`), so they never name a call, and variables go before them. `mask` takes secrets out.
    """

    def __init__(self, track: Track, query: Mapping[str, str], mask: Callable[[str], str] = str) -> None:
        self._track = track
        self._query = {mask(name): mask(value) for name, value in query.items()}
        self._mask = mask
        self._format: AudioFormat | None = None
        self._read = _read_plain
        self._patience = Patience()

    def receive_data(self, data: str | bytes) -> list[StreamEvent]:
        """Take one message. Raises WireError where MEDIA_START does not come first, or names what cannot be taken."""
        if self._format is None:
            return [self._start(data)]
        event = self._event(data) if isinstance(data, str) else self._audio(data, self._format)
        self._patience.judge(meant=event is not None)
        return [event] if event is not None else []

    def _audio(self, data: bytes, form: AudioFormat) -> StreamEvent | None:
        return AudioFrame(self._track.id, form, data) if data else None

    def _event(self, text: str) -> StreamEvent | None:
        """Read a later text: of all events only a pressed key says something about the call."""
        event = self._read(text)
        digit = event.get("digit")
        if event.get("event") == "DTMF_END" and isinstance(digit, str) and digit.upper() in DIGITS:
            return DigitPressed(self._track.id, digit.upper())
        return None

    def _start(self, data: str | bytes) -> StreamStarted:
        if isinstance(data, bytes):
            raise WireError("expected MEDIA_START of chan_websocket first")
        self._read = _read_json if data.lstrip().startswith("{") else _read_plain
        event = self._read(self._mask(data))
        if event.get("event") != "MEDIA_START":
            raise WireError("expected MEDIA_START of chan_websocket first")
        self._format = _format(event.get("format"))
        # Before 20.17, 22.7 and 23.1 plain text tells the channel's name alone.
        channel = next(filter(None, (named(event.get(key)) for key in ("channel_id", "channel"))), None)
        variables = _variables(event.get("channel_variables"))
        said = (*self._query.items(), *variables.items())
        parameters, all_kept = bounded(said)
        call = next((variables[name] for name in CALL_NAMES if named(variables.get(name))), channel)
        return StreamStarted(
            stream_id=channel,
            external_call_id=call,
            tracks=(self._track,),
            parameters=parameters,
            remarks=() if all_kept else (TOO_MUCH,),
        )


def _read_json(text: str) -> Mapping[str, Any]:
    return read_object(text) or {}


def _read_plain(text: str) -> Mapping[str, Any]:
    """Split at blanks, then each part at its first colon; a value is never quoted."""
    event, *parts = text.split() or [""]
    return {"event": event} | {name: value for name, _, value in (part.partition(":") for part in parts)}


def _format(name: object) -> AudioFormat:
    form = FORMATS.get(name) if isinstance(name, str) else None
    if form is None:
        raise WireError(f"dial WebSocket/.../c(ulaw), or c(slin16): {str(name)[:LONGEST_NAME]!r} cannot be taken")
    return form


def _variables(given: object) -> dict[str, str]:
    """Give the variables that a dialplan set, without the underscores that let them be inherited."""
    if not isinstance(given, dict):
        return {}
    plain = {name.lstrip("_"): value for name, value in given.items() if isinstance(value, str)}
    return {name: value for name, value in plain.items() if not name.startswith(ITS_OWN)}
