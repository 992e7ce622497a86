"""Who has signed a request of Twilio's: a webhook, or the upgrade to a WebSocket. Pure (Twilio, Webhooks security).

What is signed is the URL and behind it the form's names and values, nothing between them. So a signature does not tell
where a name ends and its value begins, nor which call it was made for, nor when.
"""

from __future__ import annotations

import base64
import hmac
import re
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from config.secret import Secret

SIGNATURE = "X-Twilio-Signature"
SETTINGS = "X-Twilio-Webhooks-Signature-Settings"

HMAC_SHA1 = "HMAC_SHA1"
HMAC_SHA256 = "HMAC_SHA256"

MOST_SIGNATURES = 4
"""Lines that are looked at; Twilio sends one."""

MOST_FIELDS = 500
"""Of a form; Twilio sends some forty."""

BODY_HASH = "bodySHA256"

Parameters = tuple[tuple[str, str], ...]

_HASHES = {HMAC_SHA1: "sha1", HMAC_SHA256: "sha256"}
_PORTS = {"https": ":443", "wss": ":443", "http": ":80", "ws": ":80"}
_URL = re.compile(r"(https?|wss?)://([^/?#]*@)?(\[[^]/?#@[]*\]|[^]:/?#@[]*)(:[0-9]+)?([/?][^#]*)?")
"""Scheme, user, host, port, and the rest. No part of it can be read in two ways, so it takes no longer than it must."""


class TwilioRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What came, and what it says of its signature."""

    url: str
    """As the public sees it: the configured base, then path and query as they came; for upgrades its scheme is wss."""
    signatures: tuple[str, ...]
    """X-Twilio-Signature, line by line."""
    parameters: Parameters = ()
    """Of a form that was posted. One that cannot be read must not be given as none: then the URL alone is signed."""
    body: bytes | None = None
    """Of a request that is JSON; then parameters do not count."""
    settings: str = ""
    """X-Twilio-Webhooks-Signature-Settings: `key=ID,algorithm=HMAC_SHA256`."""


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """What a request may be signed with."""

    tokens: tuple[Secret, ...]
    """Auth tokens: of the account that the request names or of all, the old one and the new while they are changed."""
    shared_keys: Mapping[str, Secret] = {}
    """By id, `webhooks_sharedkey_…` (Twilio, Webhook shared keys)."""


def is_signed(request: TwilioRequest, keys: Keys) -> bool:
    """Tell whether one of the keys has signed a request. Never raises, whatever the request holds."""
    if request.body is not None and _hash_in(request.url) != sha256(request.body).hexdigest():
        return False
    secrets, algorithm = _named(request.settings, keys)
    said = _joined(request.parameters if request.body is None else ())
    wanted = [
        _signature(secret, _encoded(url) + said, algorithm) for secret in secrets for url in _signable(request.url)
    ]
    return any_fits(request.signatures[:MOST_SIGNATURES], wanted)


def sign(secret: Secret, url: str, parameters: Iterable[tuple[str, str]] = (), algorithm: str = HMAC_SHA1) -> str:
    """Make a signature as Twilio does. Raises KeyError where the algorithm is none of Twilio's."""
    return _signature(secret, _encoded(url) + _joined(parameters), algorithm)


def any_fits(given: Iterable[str], wanted: Sequence[str]) -> bool:
    """Tell whether anything given is wanted. All are compared: the time taken tells nothing of what would fit."""
    return any([hmac.compare_digest(_encoded(one), other.encode()) for one in given for other in wanted])  # noqa: C419  all are compared


def read_form(body: bytes) -> Parameters | None:
    """Read a form in the order it came, blank values too; None where it is not UTF-8 or has over MOST_FIELDS."""
    try:
        return tuple(parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS))
    except ValueError:
        return None


def _named(settings: str, keys: Keys) -> tuple[tuple[Secret, ...], str]:
    """Find the keys that a request names, and its algorithm; where it names nothing, an auth token has signed it."""
    said = _said(settings)
    shared = tuple(secret for key, secret in keys.shared_keys.items() if key == said.get("key"))
    secrets = shared if settings.strip() else keys.tokens
    algorithm = said.get("algorithm", HMAC_SHA1).upper()
    # An empty secret is none: anybody could sign with it.
    return tuple(each for each in secrets if each.reveal() and algorithm in _HASHES), algorithm


def _said(settings: str) -> dict[str, str]:
    """Read `name=value,…`: the first of a name counts, and none without a value, as in Twilio's libraries."""
    pairs = [(name.strip(), value.strip()) for name, _, value in (each.partition("=") for each in settings.split(","))]
    return dict(reversed([(name, value) for name, value in pairs if value]))


def _signable(url: str) -> tuple[str, ...]:
    """Give the forms of a URL that Twilio may have signed, eight at most; none where it could not ask for such a URL.

    HTTPS is signed without its port and user, at times; where a WebSocket fails, the documentation says to try a slash
    at the end. Path and query stay as they are, undecoded.
    """
    found = _URL.fullmatch(url)
    if found is None:
        return ()
    scheme, user, host, port, rest = found.groups(default="")
    users = {user, ""} if scheme in {"https", "wss"} else {user}
    ports = {port, "" if port else _PORTS[scheme]}
    rests = {rest, _slash_toggled(rest)} if scheme in {"wss", "ws"} else {rest}
    return tuple(
        f"{scheme}://{a_user}{host}{a_port}{a_rest}" for a_user in users for a_port in ports for a_rest in rests
    )


def _slash_toggled(rest: str) -> str:
    path, mark, query = rest.partition("?")
    return (path[:-1] if path.endswith("/") else path + "/") + mark + query


def _hash_in(url: str) -> str | None:
    """Find what a URL says its body's SHA-256 is; the first counts, as in Twilio's libraries."""
    return next((value for name, value in parse_qsl(url.partition("?")[2]) if name == BODY_HASH), None)


def _joined(parameters: Iterable[tuple[str, str]]) -> bytes:
    """Write names and values as they are signed: each pair once, by the order of their bytes."""
    return _encoded("".join(name + value for name, value in sorted(set(parameters))))


def _signature(secret: Secret, signed: bytes, algorithm: str) -> str:
    return base64.b64encode(hmac.digest(_encoded(secret.reveal()), signed, _HASHES[algorithm])).decode()


def _encoded(text: str) -> bytes:
    """Encode what came; bytes of a header that are no UTF-8 have come as surrogates."""
    return text.encode(errors="surrogatepass")
