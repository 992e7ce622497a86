"""jambonz and Vonage: one JSON text, then bare PCM, as mod_audio_fork sends it, and keys as texts. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from adapters.twilio.protocol import NUMBERS
from adapters.wire.parameters import read_object

if TYPE_CHECKING:
    from collections.abc import Callable

PRESSED = "websocket:dtmf"

_RATE = re.compile(r"audio/l16; ?rate=([0-9]{4,5})", re.ASCII)


class PreambleCarrier(msgspec.Struct, frozen=True, kw_only=True):
    """One carrier. `kind` is its name in events, in the settings, and in the path."""

    kind: str
    translate: Callable[[dict[str, Any]], dict[str, Any]]
    """Put what it says first into the words that are known here."""
    digit_in: Callable[[str], str | None]
    """Find the key that a later text tells of."""

    @property
    def path(self) -> str:
        """Where its streams come in."""
        return f"/{self.kind}"


def _of_jambonz(said: dict[str, Any]) -> dict[str, Any]:
    """Name the two numbers as everywhere; rate, mix and call have names that are known (jambonz, listen)."""
    return {NUMBERS.get(name, name): value for name, value in said.items()}


def _of_vonage(said: dict[str, Any]) -> dict[str, Any]:
    """Read the rate where it stands, and leave aside what only says that it is Vonage's (Vonage, WebSockets)."""
    found = _RATE.fullmatch(str(said.get("content-type", "")).lower())
    own = {name: value for name, value in said.items() if name not in {"event", "content-type"}}
    return own | ({"rate": found[1]} if found else {})


def _digit_of_jambonz(text: str) -> str | None:
    content = read_object(text) or {}
    return _key(content.get("dtmf")) if content.get("event") == "dtmf" else None


def _digit_of_vonage(text: str) -> str | None:
    content = read_object(text) or {}
    return _key(content.get("digit")) if content.get("event") == PRESSED else None


def _key(digit: object) -> str | None:
    return str(digit).upper() if isinstance(digit, str | int) else None


JAMBONZ = PreambleCarrier(kind="jambonz", translate=_of_jambonz, digit_in=_digit_of_jambonz)
VONAGE = PreambleCarrier(kind="vonage", translate=_of_vonage, digit_in=_digit_of_vonage)
