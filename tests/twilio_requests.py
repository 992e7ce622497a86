"""Requests that Twilio signed, others that it did not, and what Twilio's own library says of each.

The library signs them: `genuine` is known from how a request was made, not from what is tested.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import msgspec
from multidict import MultiDict
from twilio.request_validator import RequestValidator, get_signature_algorithm

from adapters.twilio.signature import HMAC_SHA1, HMAC_SHA256, Keys, Parameters, TwilioRequest, read_form
from config.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

SHARED_KEY = "webhooks_sharedkey_01"
KEYS = Keys(
    tokens=(Secret("12345"), Secret("the-token-before"), Secret("t\N{LATIN SMALL LETTER O WITH DIAERESIS}ken")),
    shared_keys={"webhooks_sharedkey_00": Secret("another"), SHARED_KEY: Secret("shared")},
)
BY_SHARED_KEY = f"key={SHARED_KEY},algorithm={HMAC_SHA256}"

SECURE = ("https", "wss")
HOSTS = ("calls.example.test", "Calls.Example.test", "10.1.2.3", "[2001:db8::7]", "b\xfccher.example", "localhost")
PORTS = ("", "", "", ":443", ":80", ":8443", ":65535", ":00443", ":0", ":99999")
USERS = ("", "", "", "", "user:pass@", "user@")
PATHS = ("", "/", "/media", "/media/", "//a//", "/a%20b/%C3%A9", "/%c3%a9", "/\xe9", "/a;b", "/a b", "/\U0001f600")
QUERIES = ("", "", "", "?", "?x=1", "?b=2&a=1&a=0", "?blank=&c", "?q=%41+%20", "?q=\xe9", "?u=http://x/?y")
TEXTS = ("", "a", "A", "b c", "+1415", "\xe9", "\uffee", "\U0001f600", "&=%", "\0", "\r\n", "CallSid", "x" * 300)
HOSTILE = ("", " ", "=", "====", "A" * 28, "A" * 100_000, "\xe9" * 28, "\udcff", "\0", "a,b", "\N{FULLWIDTH DIGIT ONE}")


class Url(msgspec.Struct, frozen=True, kw_only=True):
    """A URL in its parts, each with its marks."""

    scheme: str
    user: str
    host: str
    port: str
    path: str
    query: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.user}{self.host}{self.port}{self.path}{self.query}"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A request, and how it was made."""

    kind: str
    url: Url
    signed: Url
    """For which it was signed."""
    request: TwilioRequest
    genuine: bool = True


def a_case(random: Random) -> Case:
    """Make a request; every other one was changed after it was signed."""
    kind = random.choice(("form", "form", "json", "get", "socket"))
    body = json.dumps({"text": random.choice(TEXTS)}, ensure_ascii=False).encode() if kind == "json" else None
    url = a_url(random, "ws" if kind == "socket" else "http")
    if body is not None:
        mark = "&" if len(url.query) > 1 else "?"
        url = changed(url, query=f"{url.query.rstrip('?')}{mark}bodySHA256={sha256(body).hexdigest()}")
    pairs = some_pairs(random) if kind == "form" else ()
    case = signed(
        random,
        Case(
            kind=kind,
            url=url,
            signed=url,
            request=TwilioRequest(url=str(url), signatures=(), parameters=pairs, body=body),
        ),
    )
    return random.choice((*SPOILT, *HARMLESS))(random, case) if random.random() < 0.6 else case


def a_url(random: Random, scheme: str) -> Url:
    return Url(
        scheme=scheme + random.choice(("", "s", "s", "s")),
        user=random.choice(USERS),
        host=random.choice(HOSTS),
        port=random.choice(PORTS),
        path=random.choice(PATHS),
        query=random.choice(QUERIES),
    )


def some_pairs(random: Random) -> Parameters:
    return tuple((random.choice(TEXTS), random.choice(TEXTS)) for _ in range(random.choice((0, 1, 2, 5, 40))))


def signed(random: Random, case: Case) -> Case:
    """Sign a request for its URL, or for what Twilio may make of that, and put its form through a form's encoding."""
    url = case.url
    if url.scheme in SECURE and random.random() < 0.3:
        url = changed(url, user="")
    if random.random() < 0.3:
        url = changed(url, port="" if url.port else (":443" if url.scheme in SECURE else ":80"))
    if case.kind == "socket" and random.random() < 0.3:
        url = changed(url, path=url.path[:-1] if url.path.endswith("/") else url.path + "/")
    by_shared_key = random.random() < 0.2
    secret = KEYS.shared_keys[SHARED_KEY] if by_shared_key else random.choice(KEYS.tokens)
    algorithm = HMAC_SHA256 if by_shared_key else HMAC_SHA1
    signature = library_signs(secret, str(url), case.request.parameters, algorithm)
    parameters = read_form(urlencode(case.request.parameters).encode())
    assert parameters is not None
    return with_request(
        msgspec.structs.replace(case, signed=url),
        signatures=(signature,),
        parameters=parameters,
        settings=BY_SHARED_KEY if by_shared_key else random.choice(("", " ")),
    )


def changed(url: Url, **parts: str) -> Url:
    return msgspec.structs.replace(url, **parts)


def with_request(case: Case, **parts: object) -> Case:
    return msgspec.structs.replace(case, request=msgspec.structs.replace(case.request, **parts))


def library_signs(secret: Secret, url: str, parameters: Parameters, algorithm: str) -> str:
    signature: str = RequestValidator(secret.reveal()).compute_signature(url, MultiDict(parameters), algorithm)
    return signature


def library_says(request: TwilioRequest) -> bool | None:
    """Ask Twilio's library; None where it answers with an exception that is none of its documented answers."""
    settings = request.settings.strip()
    named = [secret for key, secret in KEYS.shared_keys.items() if f"key={key}," in settings]
    secrets = named if settings else KEYS.tokens
    algorithm = get_signature_algorithm(settings)
    try:
        said = MultiDict(request.parameters) if request.body is None else request.body.decode()
        return any(
            RequestValidator(secret.reveal()).validate(request.url, said, line, algorithm)
            for secret in secrets
            for line in request.signatures or (None,)
        )
    except (TypeError, ValueError):
        return None


def spoilt(case: Case, **parts: object) -> Case:
    return msgspec.structs.replace(with_request(case, **parts), genuine=False)


def at_another_url(case: Case, url: Url) -> Case:
    return msgspec.structs.replace(spoilt(case, url=str(url)), url=url)


def by_another_token(_random: Random, case: Case) -> Case:
    line = library_signs(Secret("12346"), str(case.signed), case.request.parameters, HMAC_SHA1)
    return spoilt(case, signatures=(line,), settings="")


def with_a_letter_flipped(random: Random, case: Case) -> Case:
    (line,) = case.request.signatures
    place = random.randrange(len(line) - 1)
    other = random.choice([letter for letter in "ABab01+/" if letter != line[place]])
    return spoilt(case, signatures=(line[:place] + other + line[place + 1 :],))


def with_a_mangled_signature(random: Random, case: Case) -> Case:
    (line,) = case.request.signatures
    return spoilt(case, signatures=(random.choice((line[:-1], line + "=", line + " ", line.swapcase(), line * 2)),))


def with_garbage_for_signature(random: Random, case: Case) -> Case:
    return spoilt(case, signatures=tuple(random.choices(HOSTILE, k=random.choice((1, 1, 3)))))


def unsigned(_random: Random, case: Case) -> Case:
    return spoilt(case, signatures=())


def at_another_path(random: Random, case: Case) -> Case:
    return at_another_url(case, changed(case.url, path=case.url.path + random.choice(("x", "/x", "%2F", "\udcff"))))


def at_another_host(_random: Random, case: Case) -> Case:
    return at_another_url(case, changed(case.url, host="evil.example"))


def by_another_scheme(_random: Random, case: Case) -> Case:
    others = {"https": "wss", "wss": "https", "http": "ws", "ws": "http"}
    return at_another_url(case, changed(case.url, scheme=others[case.url.scheme]))


def with_another_query(random: Random, case: Case) -> Case:
    query = case.url.query or "?"
    return at_another_url(case, changed(case.url, query=query + random.choice(("&y=2", "z", "&bodySHA256=", "#", "%"))))


def with_a_parameter_more(random: Random, case: Case) -> Case:
    more = random.choice((("new", ""), ("", "new"), ("a", "new"), ("\udcff", "new")))
    return spoilt(case, parameters=(*case.request.parameters, more)) if case.request.body is None else case


def with_a_parameter_less(random: Random, case: Case) -> Case:
    said = [pair for pair in case.request.parameters if any(pair)]
    if not said:
        return case
    gone = random.choice(said)
    return spoilt(case, parameters=tuple(pair for pair in case.request.parameters if pair != gone))


def with_another_body(random: Random, case: Case) -> Case:
    body = case.request.body
    if body is None:
        return case
    return spoilt(case, body=random.choice((body + b" ", body[:-1], b"", body + b"\xff")))


def with_another_hash(random: Random, case: Case) -> Case:
    """Have Twilio sign a URL whose hash is not the body's, or that has none."""
    if case.request.body is None:
        return case
    digest = sha256(case.request.body).hexdigest()
    said = random.choice(("", "zz", digest.upper(), digest[:-1], "\xe9", f"{'0' * 64}&bodySHA256={digest}"))
    url = changed(case.url, query=f"?bodySHA256={said}")
    line = library_signs(KEYS.tokens[0], str(url), (), HMAC_SHA1)
    body = random.choice((case.request.body, b""))
    return msgspec.structs.replace(
        spoilt(case, url=str(url), signatures=(line,), settings="", body=body), url=url, signed=url
    )


def by_another_key(random: Random, case: Case) -> Case:
    unknown = f"key=webhooks_sharedkey_99,algorithm={HMAC_SHA256}"
    weaker = f"key={SHARED_KEY},algorithm=HMAC_MD5"
    other = f"key=webhooks_sharedkey_00,algorithm={HMAC_SHA256}"
    return spoilt(case, settings=random.choice((unknown, weaker, other)))


def in_another_order(random: Random, case: Case) -> Case:
    pairs = list(case.request.parameters)
    random.shuffle(pairs)
    return with_request(case, parameters=(*pairs, *pairs[:2]))


def with_garbage_beside(random: Random, case: Case) -> Case:
    return with_request(case, signatures=(random.choice(HOSTILE), *case.request.signatures))


SPOILT: tuple[Callable[[Random, Case], Case], ...] = (
    by_another_token,
    with_a_letter_flipped,
    with_a_mangled_signature,
    with_garbage_for_signature,
    unsigned,
    at_another_path,
    at_another_host,
    by_another_scheme,
    with_another_query,
    with_a_parameter_more,
    with_a_parameter_less,
    with_another_body,
    with_another_hash,
    by_another_key,
)
HARMLESS: tuple[Callable[[Random, Case], Case], ...] = (in_another_order, with_garbage_beside)
