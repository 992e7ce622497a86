"""Who may use the API: bearer tokens (RFC 6750), each the name of an account."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from gateway.http.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.listeners import Token

ACCOUNT = web.RequestKey("account", str)


def account_of(request: web.BaseRequest) -> str:
    """Tell which account a request is of. Raises KeyError where no token was asked for."""
    return request[ACCOUNT]


class Tokens:
    """The tokens that stand somewhere in the settings; their digests alone are kept."""

    def __init__(self, tokens: Sequence[Token], where: str = "http.tokens") -> None:
        self._where = where
        self.adopt(tokens)

    def adopt(self, tokens: Sequence[Token]) -> None:
        """Let these in from here on, and no others."""
        self._accounts = [(token.name, _digest(token.secret.reveal())) for token in tokens]

    def account(self, authorization: Sequence[str]) -> str:
        """Name the account whose token the first of a request's Authorization headers brings.

        The others are passed over: Asterisk's CURLOPT(httpheader) adds to those that were set before.
        Raises ApiError: 401 for any other header or none, 403 where there are no tokens at all.
        """
        if not self._accounts:
            raise ApiError(403, "no_tokens", f"no token may use this API: set {self._where} in the gateway's settings")
        given = _digest(_bearer(authorization[0]) if authorization else "")
        # Digests are of one length, and all are compared: the time taken tells nothing of any token.
        found = [name for name, digest in self._accounts if hmac.compare_digest(given, digest)]
        if not found:
            raise ApiError(
                401,
                "unauthorized",
                f"expected a token of {self._where}: Authorization: Bearer TOKEN",
                {hdrs.WWW_AUTHENTICATE: "Bearer"},
            )
        return found[0]


def _bearer(header: str) -> str:
    """Take the token out of a header; a scheme's name has no case (RFC 9110 11.1)."""
    scheme, _, token = header.strip(" \t").partition(" ")
    return token.lstrip(" ") if scheme.lower() == "bearer" else ""


def _digest(token: str) -> bytes:
    """Digest a token; bytes of a header that are no UTF-8 have come as surrogates."""
    return sha256(token.encode(errors="surrogatepass")).digest()
