"""Who may bring calls to a listener of the HTTP port. Pure; secrets are compared in the same time, however it ends."""

from __future__ import annotations

import base64
import binascii
import hmac
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
from aiohttp import hdrs

from adapters.sockets import is_within, networks, plain_address
from config.checks import is_loopback
from config.secret import MASK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from multidict import MultiMapping

    from config.listeners import WebSocketListener

FORWARDING = (hdrs.FORWARDED, hdrs.X_FORWARDED_FOR, hdrs.VIA, "X-Real-IP")
"""What proxies add: a client behind one is not on this machine, though the proxy may be."""

PROXIED = (
    "http.public_url or http.trusted_proxies tell of a proxy before the port, so that nobody is known to be on this"
    " machine: give the listener credentials or allowed_peers, or let it accept_anybody"
)

REMEDY = (
    "write 127.0.0.1 or localhost in the URL, where the client is on it; else give the listener credentials or"
    " allowed_peers, or let it accept_anybody"
)

CHALLENGE: dict[str, str] = {hdrs.WWW_AUTHENTICATE: 'Basic realm="linescribe", charset="UTF-8"'}


class AccessError(Exception):
    """A client is turned away: `status` and `headers` of the answer, `code` for programs, the text for people."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers


class Approach(msgspec.Struct, frozen=True, kw_only=True):
    """A client that asks to be let in."""

    client: str
    """Its address."""
    headers: MultiMapping[str]
    tokens: tuple[str, ...] = ()
    """Those in the URL."""
    base: str = ""
    """How it reaches the port, by what is known of that: a URL up to its path."""
    target: str = ""
    """What it has asked for, as it was written: path and query."""
    proxied: bool = False
    """Whether the port is one that a proxy brings others to."""


class Access:
    """The rules of one listener; of its secrets the digests are compared.

    With `metadata_token` a client may show one later, and `anybody` may come in where something else tells who it is.
    """

    def __init__(self, settings: WebSocketListener, *, metadata_token: bool = False, anybody: bool = False) -> None:
        self._name = settings.name
        self._networks = networks(settings.allowed_peers)
        self._anybody = settings.accept_anybody or anybody
        self._metadata_token = metadata_token
        self._secrets = [each.secret.reveal() for each in settings.credentials]
        pairs = [f"{each.name}:{each.secret.reveal()}" for each in settings.credentials]
        self._digests = [_digest(each) for each in (*self._secrets, *pairs)]

    def check(self, approach: Approach) -> bool:
        """Let a client in; False where it has yet to show a token, in its metadata. Raises AccessError."""
        self.check_address(approach)
        if self._digests:
            return self._has_shown(approach)
        if not (self._networks or self._anybody):
            self._check_local(approach)
        return True

    def check_address(self, approach: Approach) -> None:
        """Look at where a client comes from alone. Raises AccessError."""
        if self._networks and not is_within(plain_address(approach.client), self._networks):
            raise AccessError(403, "not_allowed", "this address is not among the listener's allowed_peers")

    def knows(self, token: str) -> bool:
        """Tell whether something is a secret of this listener."""
        given = _digest(token)
        return any([hmac.compare_digest(given, digest) for digest in self._digests])  # noqa: C419  all are compared

    def masked(self, text: str) -> str:
        """Take the listener's secrets out of a text."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text

    def _has_shown(self, approach: Approach) -> bool:
        shown = [*approach.tokens, *_of_headers(approach.headers)]
        if any([self.knows(each) for each in shown]):  # noqa: C419  the same
            return True
        if shown or not self._metadata_token:
            how = "Basic with a name and its secret, or the secret as Bearer, ?token= or the last part of the path"
            raise AccessError(401, "unauthorized", f"expected one of the listener's credentials: {how}", CHALLENGE)
        return False

    def _check_local(self, approach: Approach) -> None:
        """Where a listener knows nobody, let in who is on this machine, and speaks to it as such.

        A browser may be there, too, with a page from anywhere: that asks for another host than this one. And whom a
        proxy brings is not on this machine; where the proxy does not say so, the settings of the port have to.
        """
        headers = approach.headers
        asked = [f"//{headers.get(hdrs.HOST, '')}", *headers.getall(hdrs.ORIGIN, ())]
        proxied = approach.proxied or any(name in headers for name in FORWARDING)
        if proxied or not is_loopback(approach.client) or not all(is_loopback(_host(each)) for each in asked):
            remedy = PROXIED if approach.proxied else REMEDY
            raise AccessError(403, "not_local", f"listener {self._name!r} takes calls of this machine alone: {remedy}")


def _of_headers(headers: MultiMapping[str]) -> Iterator[str]:
    """Give what Authorization headers hold: `name:secret` of Basic (RFC 7617), the token of Bearer (RFC 6750)."""
    for header in headers.getall(hdrs.AUTHORIZATION, ()):
        scheme, _, value = header.strip(" \t").partition(" ")
        value = value.strip(" \t")
        if scheme.lower() == "basic":
            yield _decoded(value)
        else:
            yield value or scheme  # a token alone names no scheme


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def _digest(text: str) -> bytes:
    """Digest what was given; bytes of a header that are no UTF-8 have come as surrogates."""
    return sha256(text.encode(errors="surrogatepass")).digest()


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
