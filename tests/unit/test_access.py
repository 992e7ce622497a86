from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from adapters.wire.access import Access, AccessError, Approach
from config.listeners import FreeSwitchListener, Token
from config.secret import Secret

SECRET = "correct-horse-battery-staple"  # noqa: S105  a test's
OTHER = "another-secret-of-this-listener"
KNOWN = (Token(name="pbx1", secret=Secret(SECRET)), Token(name="pbx2", secret=Secret(OTHER)))


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def access(*, metadata_token: bool = False, **settings: Any) -> Access:
    return Access(FreeSwitchListener(**settings), metadata_token=metadata_token)


def approach(*tokens: str, client: str = "127.0.0.1", host: str = "127.0.0.1", **headers: str) -> Approach:
    named = CIMultiDict({name.replace("_", "-"): value for name, value in ({"host": host} | headers).items()})
    return Approach(client=client, headers=named, tokens=tokens)


def refusal(rules: Access, who: Approach) -> AccessError:
    with pytest.raises(AccessError) as caught:
        rules.check(who)
    return caught.value


@pytest.mark.parametrize(
    "who",
    [
        approach(authorization=basic(f"pbx1:{SECRET}")),
        approach(authorization=f"basic  {basic(f'pbx2:{OTHER}').removeprefix('Basic ')} "),
        approach(authorization=f"Bearer {SECRET}"),
        approach(authorization=f"bearer {OTHER}"),
        approach(SECRET),
        approach("wrong", OTHER),
        approach(SECRET, client="203.0.113.7", x_forwarded_for="198.51.100.1"),
    ],
)
def test_a_credential_lets_in(who: Approach) -> None:
    assert access(credentials=KNOWN).check(who)


@pytest.mark.parametrize(
    "who",
    [
        approach(),
        approach("wrong"),
        approach(""),
        approach(SECRET[:-1]),
        approach(SECRET.upper()),
        approach(authorization=basic(f"pbx2:{SECRET}")),
        approach(authorization=basic(f"pbx1:{SECRET} ")),
        approach(authorization=basic("pbx1")),
        approach(authorization="Basic !!!"),
        approach(authorization="Basic"),
        approach(authorization="Bearer "),
        approach(authorization=f"Bearer {SECRET}x"),
        approach(authorization="\udcff"),
        approach("\udcff"),
    ],
)
@pytest.mark.parametrize("metadata_token", [False, True])
def test_anything_else_is_no_credential(who: Approach, metadata_token: bool) -> None:
    rules = access(credentials=KNOWN, metadata_token=metadata_token)
    if metadata_token and who == approach():
        assert not rules.check(who)  # it may come yet
        return
    error = refusal(rules, who)
    assert (error.status, error.code) == (401, "unauthorized")
    assert error.headers is not None
    assert error.headers["WWW-Authenticate"].startswith("Basic ")


@given(st.text(max_size=60))
def test_no_text_is_known_but_the_secrets(text: str) -> None:
    rules = access(credentials=KNOWN)
    assert rules.knows(text) == (text in {SECRET, OTHER, f"pbx1:{SECRET}", f"pbx2:{OTHER}"})


@pytest.mark.parametrize(
    ("client", "allowed"),
    [("10.1.0.5", True), ("10.2.3.4", True), ("::ffff:10.1.0.5", True), ("10.1.0.6", False), ("127.0.0.1", False)],
)
@pytest.mark.parametrize("tokens", [(), (SECRET,)])
def test_where_peers_are_named_no_other_comes_in_whatever_it_shows(
    client: str, allowed: bool, tokens: tuple[str, ...]
) -> None:
    rules = access(allowed_peers=("10.1.0.5", "10.2.0.0/16"), credentials=KNOWN if tokens else ())
    if allowed:
        assert rules.check(approach(*tokens, client=client))
    else:
        assert refusal(rules, approach(*tokens, client=client)).status == 403


@pytest.mark.parametrize(
    "who",
    [
        approach(),
        approach(client="::1", host="[::1]:8080"),
        approach(host="localhost"),
        approach(host="LOCALHOST:8080"),
        approach(client="127.8.8.8"),
        approach(origin="http://127.0.0.1"),
        approach(origin="http://localhost:8080"),
        approach(origin="http://[::1]:8080"),
    ],
)
def test_a_listener_that_knows_nobody_takes_calls_of_this_machine(who: Approach) -> None:
    assert access().check(who)


@pytest.mark.parametrize(
    "who",
    [
        approach(client="10.1.0.5"),
        approach(client="192.0.2.1"),
        approach(x_forwarded_for="127.0.0.1"),
        approach(forwarded="for=127.0.0.1"),
        approach(via="1.1 proxy"),
        approach(x_real_ip="127.0.0.1"),
        approach(host="calls.example"),
        approach(host="calls.example", origin="http://127.0.0.1"),
        approach(host=""),
        approach(host="[::1"),
        approach(origin="https://evil.example"),
        approach(origin="null"),
        approach(origin="http://[::1"),
        approach(origin="http://localhost.evil.example"),
    ],
)
def test_and_of_nowhere_else_until_it_is_told_to(who: Approach) -> None:
    assert refusal(access(), who).status == 403
    assert access(accept_anybody=True).check(who)


def test_where_a_proxy_brings_others_nobody_is_known_to_be_of_this_machine() -> None:
    proxied = msgspec.structs.replace(approach(), proxied=True)
    assert refusal(access(), proxied).status == 403
    assert access(accept_anybody=True).check(proxied)
    assert access(allowed_peers=("127.0.0.1",)).check(proxied)


def test_the_refusal_names_the_remedy() -> None:
    text = str(refusal(access(), approach(client="10.1.0.5")))
    for remedy in ("127.0.0.1", "credentials", "allowed_peers", "accept_anybody"):
        assert remedy in text


def test_secrets_are_taken_out_of_texts() -> None:
    masked = access(credentials=KNOWN).masked(f'{{"token":"{SECRET}","x":"{OTHER}{OTHER}')
    assert masked == '{"token":"********","x":"****************'
