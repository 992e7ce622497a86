"""Who has signed a webhook of Telnyx's. Pure (Telnyx, Webhook fundamentals: Webhook signing).

What is signed is `{timestamp}|{body}`, with Ed25519, and not the URL: a webhook that an application passes on,
unchanged, is as good as one from Telnyx itself. That one comes twice is not looked at: Telnyx, too, sends some twice.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

if TYPE_CHECKING:
    from collections.abc import Sequence

SIGNATURE = "Telnyx-Signature-Ed25519"
TIMESTAMP = "Telnyx-Timestamp"

TOLERANCE_SECONDS = 300
"""So far from now a timestamp may lie, either way (telnyx-python, `webhook_verification.py`)."""

MOST_SIGNATURES = 4
"""Lines that are looked at; Telnyx sends one."""

_SECONDS = re.compile(r"[0-9]{1,12}")


class TelnyxRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What came, and what it says of its signature."""

    body: bytes
    signatures: tuple[str, ...]
    """Telnyx-Signature-Ed25519, line by line: 64 bytes in base64."""
    timestamp: str
    """Telnyx-Timestamp: seconds since 1970."""


def is_signed(request: TelnyxRequest, public_keys: Sequence[bytes], now: float) -> bool:
    """Tell whether one of the keys, of 32 bytes each, has signed a request about `now`, in seconds since 1970.

    Never raises, whatever the request holds.
    """
    timestamp = request.timestamp
    if not _SECONDS.fullmatch(timestamp) or abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    signed = timestamp.encode() + b"|" + request.body
    signatures = [_decoded(line) for line in request.signatures[:MOST_SIGNATURES]]
    return any(_fits(signature, signed, key) for key in public_keys for signature in signatures)


def _decoded(line: str) -> bytes:
    """Read a signature; what is none becomes one that never fits."""
    try:
        return base64.b64decode(line, validate=True)
    except ValueError:
        return b""


def _fits(signature: bytes, signed: bytes, key: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except InvalidSignature:
        return False
    return True
