"""Signatures of Twilio's requests, held against Twilio's own library and against vectors where that is wrong."""

from __future__ import annotations

import hmac
import random
from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlparse

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.twilio import signature
from adapters.twilio.signature import (
    HMAC_SHA1,
    HMAC_SHA256,
    MOST_FIELDS,
    MOST_SIGNATURES,
    Keys,
    TwilioRequest,
    any_fits,
    is_signed,
    read_form,
    sign,
)
from config.secret import Secret
from tests.twilio_requests import BY_SHARED_KEY, KEYS, SHARED_KEY, Case, a_case, library_says, library_signs

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN = Secret("12345")
ONE = Keys(tokens=(TOKEN,))

anything = st.text(st.characters(codec=None), max_size=40)
"""Lone surrogates too, if rarely: that is how a server hands over bytes it cannot decode."""
texts = st.text(max_size=20)
pairs = st.lists(st.tuples(texts, texts), max_size=8).map(tuple)


def signed(url: str, *parameters: tuple[str, str], signature: str, keys: Keys = ONE, **more: Any) -> bool:
    return is_signed(TwilioRequest(url=url, signatures=(signature,), parameters=parameters, **more), keys)


VECTORS = [
    ("wss://calls.example.test/media", "/MIgWeSdRjBvJidfIkWp5nIktRc="),
    ("wss://calls.example.test/media/", "eIbC4WWD8tYUMMGIU34wcBEV8O0="),
    ("wss://calls.example.test:8443/media", "WZyfwOLQPjxP3euF1ZCxJM+d6OI="),
    ("https://calls.example.test/status?x=1", "K280Og+SvnITsnceoLVxtIMwRik="),
]

PUBLISHED = "https://mycompany.com/myapp.php?foo=1&bar=2"
"""Of the tests of Twilio's libraries."""
PUBLISHED_PARAMETERS = (
    ("CallSid", "CA1234567890ABCDE"),
    ("Digits", "1234"),
    ("Caller", "+14158675309"),
    ("To", "+18005551212"),
    ("From", "+14158675309"),
)
PUBLISHED_SIGNATURE = "RSOYDt4T1cUTdK1PDd93/VVr8B8="


@pytest.mark.parametrize(("url", "signature"), VECTORS)
def test_the_known_signatures_are_made_and_accepted(url: str, signature: str) -> None:
    assert sign(TOKEN, url) == signature
    assert signed(url, signature=signature)


def test_the_published_signature_of_a_form_is_made_and_accepted() -> None:
    assert sign(TOKEN, PUBLISHED, PUBLISHED_PARAMETERS) == PUBLISHED_SIGNATURE
    assert signed(PUBLISHED, *PUBLISHED_PARAMETERS, signature=PUBLISHED_SIGNATURE)


@given(texts, texts, pairs, st.sampled_from([HMAC_SHA1, HMAC_SHA256]))
def test_signs_as_the_library_does(
    token: str, url: str, parameters: tuple[tuple[str, str], ...], algorithm: str
) -> None:
    secret = Secret(token)
    assert sign(secret, url, parameters, algorithm) == library_signs(secret, url, parameters, algorithm)


def test_names_and_values_go_by_the_order_of_their_bytes_each_pair_once() -> None:
    said = (
        ("b", "2"),
        ("\U0001f600", "x"),
        ("\uffee", "y"),
        ("b", "1"),
        ("B", ""),
        ("b", "2"),
        ("\N{LATIN SMALL LETTER E WITH ACUTE}", "z"),
    )
    text = "https://calls.example.test/Bb1b2\N{LATIN SMALL LETTER E WITH ACUTE}z\uffeey\U0001f600x"
    assert sign(TOKEN, "https://calls.example.test/", said) == sign(TOKEN, text)


def test_a_signature_does_not_tell_where_a_name_ends() -> None:
    """Whoever reads a form must know by which names it goes."""
    line = sign(TOKEN, PUBLISHED, [("CallSid", "CA1")])
    assert signed(PUBLISHED, ("CallSidC", "A1"), signature=line)


def _holds_no_hash(case: Case) -> bool:
    return case.request.body is not None and "bodySHA256" not in parse_qs(urlparse(case.request.url).query)


def _is_rewritten(case: Case) -> bool:
    return urlparse(case.request.url).geturl() != case.request.url


def _without_port(case: Case) -> bool:
    return bool(case.url.port) and not case.signed.port


RAISES: dict[str, Callable[[Case], bool]] = {
    "there is no signature": lambda case: not case.request.signatures,
    "the port is no number up to 65535": lambda case: case.url.port == ":99999" or case.url.path[:1] not in {"", "/"},
    "JSON came, and the URL holds no hash": _holds_no_hash,
    "something is not UTF-8": lambda case: "udcff" in ascii(case.request) or b"\xff" in (case.request.body or b""),
}
ACCEPTS: dict[str, Callable[[Case], bool]] = {
    "it drops a question mark or a hash sign at the end of a URL": _is_rewritten,
    "it takes an empty body for a form without fields": _holds_no_hash,
}
REFUSES: dict[str, Callable[[Case], bool]] = {
    "it drops a question mark at the end of a URL": _is_rewritten,
    "it tries no other slash at the end of a WebSocket's path": lambda case: case.signed.path != case.url.path,
    "it never leaves out user and password": lambda case: case.signed.user != case.url.user,
    "it cuts at the first colon, be that the password's or an IPv6 address's": lambda case: (
        _without_port(case) and ":" in case.url.user + case.url.host
    ),
    "it takes port 0 for none": lambda case: _without_port(case) and case.url.port == ":0",
    "it adds port 80 to wss": lambda case: case.url.scheme == "wss" and case.signed.port == ":443",
}
DIFFERENCES = {None: RAISES, True: ACCEPTS, False: REFUSES}
"""By the library's answer, where it is not ours: why it is not. Its exceptions are no answers."""

AGREED = 10_000


def test_the_library_agrees_on_ten_thousand_requests() -> None:
    chance = random.Random(1876)
    agreed: Counter[tuple[str, bool]] = Counter()
    differed: Counter[str] = Counter()
    while agreed.total() < AGREED:
        case = a_case(chance)
        assert is_signed(case.request, KEYS) is case.genuine, case
        says = library_says(case.request)
        if says is case.genuine:
            agreed[case.kind, says] += 1
        else:
            why = next((why for why, holds in DIFFERENCES[says].items() if holds(case)), None)
            assert why is not None, (says, case)
            differed[why] += 1
    assert set(differed) == {why for reasons in DIFFERENCES.values() for why in reasons}
    assert differed.total() < AGREED / 2
    assert min(agreed[kind, says] for kind in ("form", "json", "get", "socket") for says in (True, False)) > AGREED / 25


@pytest.mark.parametrize(
    ("url", "signed_as"),
    [
        # HTTPS: with the port or without it, whichever it is.
        ("https://calls.example.test/a", "https://calls.example.test:443/a"),
        ("https://calls.example.test:443/a", "https://calls.example.test/a"),
        ("https://calls.example.test:8443/a?x=1", "https://calls.example.test/a?x=1"),
        ("http://calls.example.test/a", "http://calls.example.test:80/a"),
        ("http://calls.example.test:8080/a", "http://calls.example.test:8080/a"),
        # User and password, as they may stand in an URL that was given to Twilio.
        ("https://user:pass@calls.example.test/a", "https://calls.example.test/a"),
        ("https://user:p@ss@calls.example.test:8443/a", "https://calls.example.test/a"),
        ("http://user:pass@calls.example.test/a", "http://user:pass@calls.example.test/a"),
        # WebSockets: the same, and the slash.
        ("wss://calls.example.test/media", "wss://calls.example.test:443/media"),
        ("wss://calls.example.test/media", "wss://calls.example.test/media/"),
        ("wss://calls.example.test/media/", "wss://calls.example.test/media"),
        ("wss://calls.example.test:443/media?x=/", "wss://calls.example.test/media/?x=/"),
        ("wss://calls.example.test", "wss://calls.example.test/"),
        ("wss://calls.example.test/", "wss://calls.example.test"),
        ("ws://calls.example.test/media", "ws://calls.example.test:80/media/"),
        # IPv6.
        ("wss://[2001:db8::7]/media", "wss://[2001:db8::7]:443/media"),
        ("https://[2001:db8::7]:8443/a", "https://[2001:db8::7]/a"),
        # What is encoded stays so, and what is not, too.
        ("https://calls.example.test/%C3%a9 \xe9//?q=%41+", "https://calls.example.test/%C3%a9 \xe9//?q=%41+"),
        ("https://calls.example.test/?", "https://calls.example.test/?"),
    ],
)
def test_a_url_may_have_been_signed_in_another_form(url: str, signed_as: str) -> None:
    assert signed(url, signature=sign(TOKEN, signed_as))


@pytest.mark.parametrize(
    ("url", "signed_as"),
    [
        ("https://calls.example.test/a", "https://calls.example.test/a/"),
        ("https://calls.example.test/a", "wss://calls.example.test/a"),
        ("wss://calls.example.test/a", "https://calls.example.test/a"),
        ("wss://calls.example.test/a", "wss://calls.example.test:80/a"),
        ("wss://calls.example.test/a/", "wss://calls.example.test/a//"),
        ("wss://calls.example.test/a", "wss://calls.example.test/A"),
        ("https://calls.example.test/a", "https://calls.example.test:8443/a"),
        ("http://user:pass@calls.example.test/a", "http://calls.example.test/a"),
        ("https://calls.example.test/%61", "https://calls.example.test/a"),
        ("https://calls.example.test/a?", "https://calls.example.test/a"),
        # Nobody asks for these, whoever has signed them.
        ("https://calls.example.test/a#b", "https://calls.example.test/a#b"),
        ("https://calls.example.test/a#b", "https://calls.example.test/a"),
        ("https://calls.example.test:port/", "https://calls.example.test:port/"),
        ("https://[2001:db8::7/", "https://[2001:db8::7/"),
        ("ftp://calls.example.test/", "ftp://calls.example.test/"),
        ("/a", "/a"),
        ("", ""),
    ],
)
def test_what_was_signed_for_another_url_is_not_signed_for_this(url: str, signed_as: str) -> None:
    assert not signed(url, signature=sign(TOKEN, signed_as))


def test_any_token_will_do_and_no_other() -> None:
    url = "https://calls.example.test/voice"
    both = Keys(tokens=(Secret("new"), Secret("old")))
    assert signed(url, signature=sign(Secret("new"), url), keys=both)
    assert signed(url, signature=sign(Secret("old"), url), keys=both)
    assert not signed(url, signature=sign(TOKEN, url), keys=both)
    assert not signed(url, signature=sign(TOKEN, url), keys=Keys(tokens=()))


def test_an_empty_secret_is_no_key() -> None:
    url = "https://calls.example.test/voice"
    keys = Keys(tokens=(Secret(""),), shared_keys={SHARED_KEY: Secret("")})
    assert not signed(url, signature=sign(Secret(""), url), keys=keys)
    line = sign(Secret(""), url, algorithm=HMAC_SHA256)
    assert not signed(url, signature=line, keys=keys, settings=BY_SHARED_KEY)


@pytest.mark.parametrize(
    ("secret", "algorithm", "settings", "holds"),
    [
        ("shared", HMAC_SHA256, BY_SHARED_KEY, True),
        ("shared", HMAC_SHA256, f" algorithm = hmac_sha256 , x, key = {SHARED_KEY} ", True),
        ("shared", HMAC_SHA256, f"key=,key={SHARED_KEY},key=other,algorithm=HMAC_SHA256", True),
        ("shared", HMAC_SHA1, f"key={SHARED_KEY},algorithm=HMAC_SHA1", True),
        ("shared", HMAC_SHA1, f"key={SHARED_KEY}", True),
        ("shared", HMAC_SHA1, BY_SHARED_KEY, False),
        ("shared", HMAC_SHA256, f"key={SHARED_KEY}", False),
        ("shared", HMAC_SHA256, f"key={SHARED_KEY},algorithm=HMAC_SHA512", False),
        ("shared", HMAC_SHA256, "key=webhooks_sharedkey_99,algorithm=HMAC_SHA256", False),
        ("shared", HMAC_SHA256, "algorithm=HMAC_SHA256", False),
        ("shared", HMAC_SHA256, "", False),
        ("another", HMAC_SHA256, BY_SHARED_KEY, False),
        ("12345", HMAC_SHA1, "", True),
        ("12345", HMAC_SHA1, " ", True),
        ("12345", HMAC_SHA256, "", False),
        ("12345", HMAC_SHA1, f"key={SHARED_KEY},algorithm=HMAC_SHA1", False),
        ("12345", HMAC_SHA1, ",", False),
        ("12345", HMAC_SHA256, "algorithm=HMAC_SHA256", False),
    ],
)
def test_the_key_is_the_one_that_the_settings_name(secret: str, algorithm: str, settings: str, holds: bool) -> None:
    line = sign(Secret(secret), PUBLISHED, PUBLISHED_PARAMETERS, algorithm)
    assert signed(PUBLISHED, *PUBLISHED_PARAMETERS, signature=line, keys=KEYS, settings=settings) is holds


def test_there_is_no_other_algorithm() -> None:
    with pytest.raises(KeyError):
        sign(TOKEN, PUBLISHED, algorithm="HMAC_MD5")


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_of_json_the_url_holds_the_hash(body: bytes, other: bytes) -> None:
    url = f"https://calls.example.test/events?x=1&bodySHA256={sha256(body).hexdigest()}"
    line = sign(TOKEN, url)
    assert signed(url, signature=line, body=body)
    assert signed(url, ("not", "signed"), signature=line, body=body)
    assert signed(url, signature=line, body=other) is (body == other)


@pytest.mark.parametrize("query", ["", "?bodySHA256=", "?bodySHA256=zz", "?bodySHA256=\xe9", "?x", "?bodysha256={}"])
def test_json_is_not_signed_where_its_hash_is_not(query: str) -> None:
    url = "https://calls.example.test/events" + query.format(sha256(b"{}").hexdigest())
    assert not signed(url, signature=sign(TOKEN, url), body=b"{}")


def test_of_several_lines_any_will_do_but_not_of_any_number() -> None:
    url = "https://calls.example.test/voice"
    for before in range(MOST_SIGNATURES + 2):
        lines = ("garbage",) * before + (sign(TOKEN, url),)
        assert is_signed(TwilioRequest(url=url, signatures=lines), ONE) is (before < MOST_SIGNATURES)
    assert not is_signed(TwilioRequest(url=url, signatures=()), ONE)


def test_all_are_compared_whichever_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bool] = []

    def counting(one: bytes, other: bytes) -> bool:
        compared.append(one == other)
        return compared[-1]

    monkeypatch.setattr(hmac, "compare_digest", counting)
    for line in ("first", "second", "third", "none"):
        assert any_fits([line, "garbage"], ["first", "second", "third"]) is (line != "none")
    assert len(compared) == 4 * 2 * 3


@given(
    anything,
    st.lists(anything, max_size=3),
    st.lists(st.tuples(anything, anything), max_size=3),
    anything,
    st.none() | st.binary(),
)
@example("/\udcff", ["\udcff"], [("\udcff", "\ud800")], "key=\udcff", None)
def test_nothing_raises_and_nothing_is_signed_by_chance(
    url: str, lines: list[str], said: list[tuple[str, str]], settings: str, body: bytes | None
) -> None:
    for each in (url, "https://" + url, f"wss://calls.example.test{url}"):
        request = TwilioRequest(url=each, signatures=tuple(lines), parameters=tuple(said), settings=settings, body=body)
        assert not is_signed(request, KEYS)


@given(anything, anything, st.sampled_from(["http", "https", "ws", "wss"]))
def test_the_forms_of_a_url_are_few(host: str, rest: str, scheme: str) -> None:
    assert len(signature._signable(f"{scheme}://{host}/{rest}")) <= 8


@given(pairs)
def test_a_form_is_read_as_it_was_written(said: tuple[tuple[str, str], ...]) -> None:
    assert read_form(urlencode(said).encode()) == said


@given(st.binary(max_size=200) | st.text("=&%+;\xe9\0aF0", max_size=60).map(str.encode))
def test_whatever_is_read_of_a_form_can_be_written(body: bytes) -> None:
    said = read_form(body)
    for text in sum(said or (), ()):
        text.encode()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", ()),
        (b"&&", ()),
        (b"a", (("a", ""),)),
        (b"=", (("", ""),)),
        (b"a=1&b=&a=+%2B&a=1", (("a", "1"), ("b", ""), ("a", " +"), ("a", "1"))),
        (b"a=b=c;d=e", (("a", "b=c;d=e"),)),
        (b"a=%zz%", (("a", "%zz%"),)),
        (b"a=%00\0", (("a", "\0\0"),)),
        (b"\xc3\xa9=%C3%A9", (("\xe9", "\xe9"),)),
        (b"a=%C3\xa9", None),
        (b"a=%FF", None),
        (b"a=\xff", None),
        (b"%ED%A0%80=1", None),
        (b"&".join([b"a=1"] * MOST_FIELDS), (("a", "1"),) * MOST_FIELDS),
        (b"&".join([b"a=1"] * (MOST_FIELDS + 1)), None),
        (b"&" * MOST_FIELDS, None),
    ],
)
def test_a_form_is_read(body: bytes, expected: tuple[tuple[str, str], ...] | None) -> None:
    assert read_form(body) == expected
