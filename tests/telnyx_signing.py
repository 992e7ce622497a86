"""Webhooks as Telnyx signs them."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
PUBLIC_TEXT = base64.b64encode(PUBLIC).decode()
"""As Telnyx's portal shows it."""

OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


def sign(body: bytes, timestamp: str, key: Ed25519PrivateKey = KEY) -> str:
    """Make a signature."""
    return base64.b64encode(key.sign(timestamp.encode() + b"|" + body)).decode()
