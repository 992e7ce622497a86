"""What a peer that sends bare PCM says of it, and of its call: in its URL, and in a JSON text that comes first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import msgspec

from adapters.stream import TrackRole
from adapters.wire.parameters import LONGEST_NAME, flat
from config.types import Rate

if TYPE_CHECKING:
    from collections.abc import Mapping

RATES_HZ: tuple[int, ...] = get_args(Rate)

RATE_NAMES = ("rate", "samplerate")
MEANT_FOR_RATES = range(1_000, 384_001)
"""A number of this size under the name of a rate is one, though perhaps none that can be taken."""
MOST_DIGITS = 6

CALL_NAMES = ("callid", "calluuid", "uuid", "call", "callsid")
"""What calls are named by, the best first."""
TOKEN = "token"  # noqa: S105  the name of a parameter
WISHES = ("language", "languages", "options")


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What one source says of a stream; None where it says nothing."""

    rate_hz: int | None = None
    channels: int | None = None
    role: str | None = None
    label: str | None = None
    call: str | None = None
    token: str | None = None
    wishes: dict[str, Any] = {}
    odd_rate: bool = False
    """Whether there is a rate that cannot be taken; it is a parameter then."""
    parameters: tuple[tuple[str, str], ...] = ()
    """Everything else, and the call's name."""


def read(content: Mapping[str, Any], *, strict: bool = False) -> Said:
    """Sort what was said by what it is about; names are read without case, - and _.

    What cannot be used stays a parameter; where it is `strict`, it raises ValueError.
    """
    found: dict[str, Any] = {}
    wishes: dict[str, Any] = {}
    others: dict[str, Any] = {}
    calls: dict[str, str] = {}
    for name, value in content.items():
        plain = name.lower().replace("-", "").replace("_", "")
        if plain in CALL_NAMES and (call := _call_name(value)):
            calls[plain] = others[name] = call
        elif plain in WISHES:
            wishes[plain] = value
        elif understood := _understood(plain, value, strict=strict):
            found |= understood
        else:
            others[name] = value
            found |= {"odd_rate": True} if plain in RATE_NAMES and _number(value) in MEANT_FOR_RATES else {}
    call = next((calls[name] for name in CALL_NAMES if name in calls), None)
    return Said(**found, call=call, wishes=wishes, parameters=tuple(flat(others)))


def _understood(name: str, value: object, *, strict: bool) -> dict[str, Any]:
    """Read one value that is about the stream itself; nothing where it is not."""
    match name:
        case name if name in RATE_NAMES:
            return _rate(value, strict=strict)
        case "channels" | "mix" | "mixtype" | "role":
            return _one_of(name, str(value).lower(), strict=strict)
        case "label" if isinstance(value, str) and 0 < len(value) <= LONGEST_NAME:
            return {"label": value}
        case "token" if isinstance(value, str):
            return {TOKEN: value}
    return {}


def _call_name(value: object) -> str | None:
    """Read the name of a call, which may be written as a number."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if 0 < len(text) <= LONGEST_NAME else None


def _rate(value: object, *, strict: bool) -> dict[str, Any]:
    rate_hz = _number(value)
    if rate_hz in RATES_HZ:
        return {"rate_hz": rate_hz}
    if strict:
        raise ValueError(f"Expected a rate of {', '.join(map(str, RATES_HZ))}, or such as 8k, got {str(value)!r}")
    return {}


def _number(value: object) -> int:
    """Read 8000, "8000" or "8k"; 0 where it is no number."""
    text = str(value).lower()
    number = f"{text[:-1]}000" if text.endswith("k") else text
    return int(number) if number.isascii() and number.isdecimal() and len(number) <= MOST_DIGITS else 0


_CHOICES: dict[str, dict[str, dict[str, Any]]] = {
    "channels": {str(number): {"channels": number} for number in (1, 2)},
    "mix": {
        "mono": {"channels": 1},
        "mixed": {"channels": 1, "role": "mixed"},
        "stereo": {"channels": 2},
    },
    "role": {str(role): {"role": str(role)} for role in TrackRole},
}
_CHOICES["mixtype"] = _CHOICES["mix"]


def _one_of(name: str, value: str, *, strict: bool) -> dict[str, Any]:
    choices = _CHOICES[name]
    if strict and value not in choices:
        raise ValueError(f"Expected {name} to be one of {', '.join(choices)}, got {value!r}")
    return choices.get(value, {})
