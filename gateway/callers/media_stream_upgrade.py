"""How the carriers of media streams open their WebSockets. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

from gateway.callers.media_stream_plan import Dialect
from gateway.callers.upgrade import Upgrade

if TYPE_CHECKING:
    from gateway.callers.upgrade import Target


def twilio_signature(token: str, url: str) -> str:
    """Sign the URL of a WebSocket, as Twilio knows it, with an account's auth token.

    Source: Twilio, "Webhooks security"; the URL is that of wss, and nothing follows it.
    """
    return base64.b64encode(hmac.new(token.encode(), url.encode(), hashlib.sha1).digest()).decode()


def media_stream_upgrade(dialect: Dialect, target: Target, key: str, *, proof: str | None = None) -> Upgrade:
    """Spell the request. `proof` is the signature of a URL for Twilio, and what Authorization says for any other.

    Twilio's was recorded by servers that keep no capitals; those of the others nobody has published, and theirs here
    are no longer than RFC 6455 has them.
    """
    lines = _twilio(key, proof) if dialect is Dialect.TWILIO else _other(key, proof)
    head = [f"GET {target.path} HTTP/1.1", f"Host: {target.authority}", *lines, ""]
    return Upgrade(request="".join(f"{line}\r\n" for line in head).encode(), key=key)


def _twilio(key: str, signature: str | None) -> list[str]:
    return [
        "User-Agent: Twilio.TmeWs/1.0",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *([f"X-Twilio-Signature: {signature}"] if signature else []),
        "Accept-Encoding: gzip",
    ]


def _other(key: str, authorization: str | None) -> list[str]:
    return [
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *([f"Authorization: {authorization}"] if authorization else []),
    ]
