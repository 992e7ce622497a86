"""Which settings may change under calls in progress, and which need a restart. Pure."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from config.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.settings import Settings

FIXED = (
    "state_dir",
    "http.host",
    "http.port",
    "http.tls",
    "http.public_url",
    "http.trusted_proxies",
    "admin",
    "audiosocket",
    "freeswitch",
    "asterisk_websocket",
    "twilio",
    "telnyx",
    "signalwire",
    "plivo",
    "exotel",
    "jambonz",
    "vonage",
    "tracing",
    "models.spool_mib",
    "log.format",
)
"""Ports that are open, and what was made for them, and the store: to change these is to start anew."""

MODELS = (
    "interim",
    "final",
    "device",
    "device_index",
    "processes",
    "compute_type",
    "workers",
    "threads",
    "window",
    "second_opinion",
    "batch_size",
    "decode_limit_seconds",
    "cache_dir",
    "offline",
)
"""Of the section `models`: other model processes are brought up, and take over."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What other settings come to, for a gateway that runs."""

    settings: Settings
    """What applies from then on: the new ones, but for what needs a restart."""
    taken: tuple[str, ...]
    """Keys that differ, and apply from then on."""
    left: tuple[str, ...]
    """Keys that differ, and apply after a restart."""
    models: bool
    """Whether other models take over."""


def change(before: Settings, after: Settings) -> Change:
    """Tell what becomes of settings when others are read."""
    kept = after
    for key in FIXED:
        kept = _with(kept, key.split("."), _at(before, key.split(".")))
    keys = tuple(_differences(before, after))
    left = tuple(key for key in keys if any(key == fixed or key.startswith(f"{fixed}.") for fixed in FIXED))
    models = any(getattr(before.models, key) != getattr(after.models, key) for key in MODELS)
    return Change(settings=kept, taken=tuple(key for key in keys if key not in left), left=left, models=models)


def fingerprint(settings: Settings) -> str:
    """Give a short word that is the same where settings are; it tells nothing of what stands in them."""
    return sha256(msgspec.json.encode(settings, enc_hook=_digest, order="deterministic")).hexdigest()[:12]


def _digest(value: Any) -> str:
    """Stand for a secret: one that was rotated makes other settings."""
    if isinstance(value, Secret):
        return sha256(value.reveal().encode()).hexdigest()
    raise TypeError(f"no setting is a {type(value).__name__}")


def _differences(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Name the keys that differ: within sections, and lists as a whole."""
    for field in msgspec.structs.fields(before):
        one, other = getattr(before, field.name), getattr(after, field.name)
        if isinstance(one, msgspec.Struct) and type(one) is type(other):
            yield from _differences(one, other, f"{path}{field.name}.")
        elif one != other:
            yield f"{path}{field.name}"


def _at(settings: Any, path: list[str]) -> Any:
    return settings if not path else _at(getattr(settings, path[0]), path[1:])


def _with(settings: Any, path: list[str], value: Any) -> Any:
    """Give settings with another value somewhere; nothing is checked anew."""
    first, *rest = path
    return msgspec.structs.replace(settings, **{first: _with(getattr(settings, first), rest, value) if rest else value})
