"""What a call of Twilio's does once its audio is on its way, and where no more calls are taken."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

from config.checks import http_url
from config.types import Group

Seconds = Annotated[int, msgspec.Meta(ge=1, le=86_400)]
"""A call of Twilio's lasts no longer than a day."""
RingingSeconds = Annotated[int, msgspec.Meta(ge=1, le=600)]
"""Twilio, TwiML: Dial."""
QueueName = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
"""Twilio, TwiML: Enqueue."""

NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
"""E.164, which is what Twilio dials everywhere."""
SHORT_CODE = re.compile(r"[0-9]{2,6}")
SIP_URI = re.compile(r"""sips?:[^"'<>?@:]+@[^"'<>?@]+(\?[^"'<>]+)?""")
SIP_CALLER = re.compile(r"[A-Za-z0-9+_.-]{1,64}")
LONGEST_SIP_ADDRESS = 254
LONGEST_SIP_HEADERS = 1023
"""What may stand before and after the ? of a SIP URI (Twilio, TwiML: Sip)."""
LONGEST_URL = 2000

CHOICES = ("dial", "pause_seconds", "redirect", "enqueue")


class TwilioVoice(Group, frozen=True, kw_only=True):
    """How a call goes on: one of dial, pause_seconds, redirect and enqueue."""

    dial: str | None = None
    caller_id: str | None = None
    timeout_seconds: RingingSeconds | None = None
    pause_seconds: Seconds | None = None
    redirect: str | None = None
    enqueue: QueueName | None = None
    when_full: Literal["go_on", "busy"] = "go_on"

    def __post_init__(self) -> None:
        given = [name for name in CHOICES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"Expected one of {', '.join(CHOICES)} under twilio, got {' and '.join(given) or 'none'}:"
                " it says what the call goes on with"
            )
        if self.dial is None and (self.caller_id, self.timeout_seconds) != (None, None):
            raise ValueError("Expected dial with caller_id and timeout_seconds: they say how it is dialled")
        if self.dial is not None:
            _check_target(self.dial)
            _check_caller(self.caller_id, self.dial)
        _check_redirect(self.redirect)
        _check_queue(self.enqueue)


def is_sip(target: str) -> bool:
    """Tell a SIP URI from a number."""
    return target.startswith(("sip:", "sips:"))


def _check_target(target: str) -> None:
    if is_sip(target):
        _check_sip_uri(target)
    elif not NUMBER.fullmatch(target) and not SHORT_CODE.fullmatch(target):
        raise ValueError(
            'Expected a number such as "+18005551212" in dial (+, the country\'s code, digits alone; in quotes),'
            f" a short code of 2 to 6 digits, or a URI such as sip:desk@pbx.example, got {target!r}"
        )


def _check_sip_uri(uri: str) -> None:
    address, _, headers = uri.partition("?")
    if len(address) > LONGEST_SIP_ADDRESS or len(headers) > LONGEST_SIP_HEADERS:
        raise ValueError(
            f"Expected a URI of at most {LONGEST_SIP_ADDRESS} characters in dial, and {LONGEST_SIP_HEADERS} after its ?"
        )
    if not SIP_URI.fullmatch(uri) or not _is_plain(uri):
        raise ValueError(
            "Expected a URI such as sip:desk@pbx.example in dial: ASCII without blanks, quotes, < and >, with a user"
            " but without a password"
        )


def _check_caller(caller: str | None, target: str) -> None:
    if caller is None or NUMBER.fullmatch(caller) or (is_sip(target) and SIP_CALLER.fullmatch(caller)):
        return
    wanted = "letters, digits and any of + _ . -, at most 64," if is_sip(target) else 'a number such as "+18005551212"'
    raise ValueError(f"Expected {wanted} in caller_id, got {caller!r}")


def _check_redirect(url: str | None) -> None:
    if url is None:
        return
    if not url.startswith("https://"):
        raise ValueError("Expected an https:// url in redirect: what is answered there decides about the call")
    if len(url) > LONGEST_URL or not _is_plain(url) or http_url(url).fragment:
        raise ValueError(
            f"Expected at most {LONGEST_URL} characters in redirect, ASCII without blanks and #: write others as %.."
        )


def _check_queue(queue: str | None) -> None:
    if queue is not None and (queue != queue.strip() or not queue.isprintable()):
        raise ValueError(f"Expected a name in enqueue that can be printed, without blanks around it, got {queue!r}")


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
