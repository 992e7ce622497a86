"""Who has signed a request of Plivo's: a webhook, or the upgrade to a WebSocket. Pure (Plivo, Signature validation V3).

What is signed is `{URL}.{nonce}`, with HMAC-SHA256. The URL's query is decoded and sorted first; behind it follow the
form's names and values, sorted. How these are put together is said by Plivo's libraries alone.
"""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec

from adapters.twilio.signature import Parameters, any_fits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.secret import Secret

SIGNATURE = "X-Plivo-Signature-V3"
MAIN_ACCOUNT_SIGNATURE = "X-Plivo-Signature-Ma-V3"
"""Made with the token of the main account, where the other may be a sub-account's."""
NONCE = "X-Plivo-Signature-V3-Nonce"

MOST_SIGNATURES = 8
"""Signatures that are looked at, of all lines together; Plivo makes one for each token of an account."""


class PlivoRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What came, and what it says of its signature."""

    url: str
    """As the public sees it: the configured base, then path and query as they came; for upgrades its scheme is wss."""
    signatures: tuple[str, ...]
    """The lines of both headers; in one there may be several, with commas between them."""
    nonce: str
    parameters: Parameters = ()
    """Of a form that was posted. One that cannot be read must not be given as none: then the URL alone is signed."""


def is_signed(request: PlivoRequest, tokens: Sequence[Secret]) -> bool:
    """Tell whether one of the auth tokens has signed a request. Never raises, whatever the request holds.

    Of an upgrade the query may be unsigned: it must not be believed. That a nonce comes but once is not looked at.
    """
    given = [each.strip() for each in ",".join(request.signatures).split(",", MOST_SIGNATURES)[:MOST_SIGNATURES]]
    texts = [_signed(url, request.nonce, request.parameters) for url in _signable(request.url)]
    # An empty secret is none: anybody could sign with it.
    known = [token for token in tokens if token.reveal()]
    return any_fits(given, [_signature(token, text) for token in known for text in texts])


def sign(token: Secret, url: str, nonce: str, parameters: Parameters = ()) -> str:
    """Make a signature as Plivo does."""
    return _signature(token, _signed(url, nonce, parameters))


def _signable(url: str) -> tuple[str, ...]:
    """Give the forms of a URL that Plivo may have signed; none where it could not ask for such a URL.

    Upgrades have been seen signed as http, without the query; nothing is documented of them.
    """
    scheme, _, rest = url.partition("://")
    if "#" in url or scheme not in {"https", "http", "wss", "ws"}:
        return ()
    return (url,) if scheme.startswith("http") else (url, f"http://{rest.partition('?')[0]}")


def _signed(url: str, nonce: str, parameters: Parameters) -> bytes:
    """Put together what is signed (plivo-python, `signature_v3.py`); what came as surrogates was no UTF-8."""
    base, _, query = url.partition("?")
    asked = "&".join(f"{name}={value}" for name, value in sorted(parse_qsl(query, keep_blank_values=True)))
    said = "".join(name + value for name, value in sorted(parameters))
    mark = "?" if asked or parameters else ""
    dot = "." if asked and parameters else ""
    return f"{base}{mark}{asked}{dot}{said}.{nonce}".encode(errors="surrogatepass")


def _signature(token: Secret, signed: bytes) -> str:
    return base64.b64encode(hmac.digest(token.reveal().encode(errors="surrogatepass"), signed, "sha256")).decode()
