"""How the carriers of media streams open their WebSockets. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.callers.media_stream_plan import Dialect
from gateway.callers.upgrade import Upgrade

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.callers.upgrade import Target


def media_stream_upgrade(dialect: Dialect, target: Target, key: str, *, proof: Sequence[str] = ()) -> Upgrade:
    """Spell the request. `proof` are the header lines that it proves itself by.

    Twilio's was recorded by servers that keep no capitals; those of the others nobody has published, and theirs here
    are no longer than RFC 6455 has them.
    """
    opening = ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
    lines = [*opening, *proof]
    if dialect is Dialect.TWILIO:
        lines = ["User-Agent: Twilio.TmeWs/1.0", *lines, "Accept-Encoding: gzip"]
    head = [f"GET {target.path} HTTP/1.1", f"Host: {target.authority}", *lines, ""]
    return Upgrade(request="".join(f"{line}\r\n" for line in head).encode(), key=key)
