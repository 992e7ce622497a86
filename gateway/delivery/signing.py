"""Signatures on webhooks, as Standard Webhooks defines them (standardwebhooks.com, "Signature scheme").

What is signed is `{webhook-id}.{webhook-timestamp}.{body}`, with HMAC-SHA256, once per key. More than one
key signs while keys are being rotated; a receiver accepts a webhook if any one signature fits any one key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ID = "webhook-id"
TIMESTAMP = "webhook-timestamp"
SIGNATURE = "webhook-signature"

LONGEST_TIMESTAMP = 12
"""Digits; enough for 30,000 years, too few to be costly to read."""


class SignatureError(Exception):
    """A webhook that its signature does not vouch for; `reason` is short and safe to send back."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def sign(keys: Sequence[bytes], event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Make the headers that vouch for `body`; `timestamp` is seconds since the epoch."""
    digests = (_digest(key, event_id, str(timestamp), body) for key in keys)
    return {
        ID: event_id,
        TIMESTAMP: str(timestamp),
        SIGNATURE: " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
    }


def verify(
    keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: float, tolerance_seconds: float = 300
) -> None:
    """Hold a webhook against its signature. Header names may be in any case.

    Raises SignatureError, and nothing else whatever the headers hold.
    """
    named = {name.lower(): value for name, value in headers.items()}
    event_id, timestamp, signature = (_required(named, name) for name in (ID, TIMESTAMP, SIGNATURE))
    _check_age(timestamp, now, tolerance_seconds)
    wanted = [_digest(key, event_id, timestamp, body) for key in keys]
    # Every pair is compared, so that the time taken does not tell which one fits.
    fits = [hmac.compare_digest(given, digest) for given in _signatures(signature) for digest in wanted]
    if not any(fits):
        raise SignatureError("no signature fits")


def _digest(key: bytes, event_id: str, timestamp: str, body: bytes) -> bytes:
    return hmac.digest(key, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256)


def _required(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise SignatureError(f"{name} is missing")
    # What is not ASCII may not even be encodable: servers hand undecodable bytes over as lone surrogates.
    if not value.isascii():
        raise SignatureError(f"{name} is malformed")
    return value


def _check_age(timestamp: str, now: float, tolerance_seconds: float) -> None:
    # int() alone would take signs, underscores and spaces as well.
    if not timestamp.isdecimal() or len(timestamp) > LONGEST_TIMESTAMP:
        raise SignatureError(f"{TIMESTAMP} is malformed")
    if abs(now - int(timestamp)) > tolerance_seconds:
        raise SignatureError(f"{TIMESTAMP} is too far from the time here")


def _signatures(header: str) -> Iterator[bytes]:
    """Pick out the signatures of the one version known here; others may stand beside them."""
    for part in header.split(" "):
        version, _, encoded = part.partition(",")
        if version != "v1":
            continue
        try:
            yield base64.b64decode(encoded, validate=True)
        except binascii.Error:
            continue
