"""What opens a WebSocket: where it leads, and whether the answer is one (RFC 6455 section 4). Pure.

Each caller spells the request itself, for the order and the spelling of its headers are part of what it is.
"""

from __future__ import annotations

import base64
import hashlib
import re
from urllib.parse import urlsplit

import msgspec

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 1.3."""

_SWITCHING, _UNAUTHORIZED, _NOT_FOUND = 101, 401, 404
_PORTS = {"ws": 80, "wss": 443}

MOST_BODY_BYTES = 65_536
"""Of an answer that refuses; what is longer is not read."""

_REMEDIES = {
    _UNAUTHORIZED: "; give the user and the password that it wants",
    _NOT_FOUND: "; is the path of the URL one that it listens on?",
}


class _Said(msgspec.Struct):
    message: str


class _Refusal(msgspec.Struct):
    """What the gateway's own errors say, for a program and for a person."""

    error: _Said


class UpgradeError(Exception):
    """The gateway did not open a WebSocket; the text says what it answered."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        """Of the HTTP answer, where there was one that refused."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where a WebSocket's URL leads."""

    host: str
    port: int
    authority: str
    """Host and port as the URL spells them."""
    path: str
    """With its query, as the URL spells both."""
    tls: bool


class Credentials(msgspec.Struct, frozen=True):
    """What HTTP Basic authentication takes."""

    user: str
    password: str

    @property
    def basic(self) -> str:
        """Make the header's value (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


class Upgrade(msgspec.Struct, frozen=True, kw_only=True):
    """A request, and what of it the answer has to fit."""

    request: bytes
    key: str
    protocol: str | None = None
    """The subprotocol that it offers."""


def parse_url(url: str) -> Target:
    """Read where a URL leads. Raises ValueError with a text that says what is wrong."""
    wrong = f"{url} is no URL such as ws://127.0.0.1:8080/calls or wss://gateway.example/calls"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{wrong}: {error}") from error
    if parts.scheme not in _PORTS or not parts.hostname or parts.fragment or "@" in parts.netloc:
        raise ValueError(wrong)
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"{url} has characters that a request cannot carry; write them as %20 and the like")
    return Target(
        host=parts.hostname,
        port=port or _PORTS[parts.scheme],
        authority=parts.netloc,
        path=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        tls=parts.scheme == "wss",
    )


def make_key(nonce: bytes) -> str:
    """Make a request's Sec-WebSocket-Key of 16 random bytes."""
    return base64.b64encode(nonce).decode()


def accept_of(key: str) -> str:
    """Tell what answers a key (RFC 6455 4.2.2)."""
    return base64.b64encode(hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()).decode()


def check_answer(head: bytes, upgrade: Upgrade, body: bytes = b"") -> None:
    """See that an answer, up to its blank line, opens the WebSocket that was asked for. Raises UpgradeError.

    A subprotocol need not be named in it, but one that was not offered must not be, nor any extension. `body` is that
    of an answer that refuses, which may say why.
    """
    status = _status(head)
    if status.number != _SWITCHING:
        reason = said_by(body)
        why = f": {reason}" if reason else _REMEDIES.get(status.number, "")
        raise UpgradeError(f"the gateway answered {status.text}{why}", status.number)
    wrong = _misfit(_headers(head), upgrade)
    if wrong is not None:
        raise UpgradeError(f"the gateway opened another WebSocket than was asked for: {wrong}")


def body_bytes(head: bytes) -> int:
    """Tell how much of an answer that refuses is to be read after its head; 0 where it says nothing."""
    length = _headers(head).get("content-length", "")
    size = int(length) if re.fullmatch("[0-9]{1,5}", length) else 0
    return size if size <= MOST_BODY_BYTES and _status(head).number != _SWITCHING else 0


class _Status(msgspec.Struct, frozen=True):
    number: int
    text: str


def _status(head: bytes) -> _Status:
    """Read what an answer begins with. Raises UpgradeError."""
    line = head.decode("latin-1").partition("\r\n")[0]
    version, _, status = line.partition(" ")
    if version != "HTTP/1.1" or not re.match("[1-5][0-9]{2}( |$)", status):
        raise UpgradeError(f"what answers is no web server: {line[:80]!r}")
    return _Status(int(status[:3]), status.strip())


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def said_by(body: bytes) -> str | None:
    """Read what the gateway says to a person in an answer that refuses; None: nothing."""
    try:
        return msgspec.json.decode(body, type=_Refusal).error.message
    except (msgspec.DecodeError, RecursionError):
        return None


def _misfit(headers: dict[str, str], upgrade: Upgrade) -> str | None:
    """Tell what in an answer's headers does not fit the request."""
    if headers.get("upgrade", "").lower() != "websocket" or "upgrade" not in headers.get("connection", "").lower():
        return "it names no upgrade to websocket"
    if headers.get("sec-websocket-accept") != accept_of(upgrade.key):
        return f"Sec-WebSocket-Accept {headers.get('sec-websocket-accept')} does not belong to the key"
    if headers.get("sec-websocket-protocol", upgrade.protocol) != upgrade.protocol:
        return f"subprotocol {headers['sec-websocket-protocol']}, where {upgrade.protocol} was offered"
    if "sec-websocket-extensions" in headers:
        return f"extension {headers['sec-websocket-extensions']}, where none was offered"
    return None
