"""Signatures of Plivo's requests. Those written here were made by plivo-python 4.63."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.twilio.plivo_signature import MOST_SIGNATURES, PlivoRequest, is_signed, sign
from config.secret import Secret

TOKEN = Secret("my_auth_token")
NONCE = "05429567804466091622"
ANSWER = "https://calls.example.test/plivo/answer"
CALLED = (("From", "+14156667777"), ("To", "+14158889999"), ("CallUUID", "abcd-1234"))
LINE = "ZJvQ0RfDX/XK9MMRDF1uUWhlRoxGqia/JgUalpx8Qyg="

anything = st.text(st.characters(codec=None), max_size=40)
"""Lone surrogates too, if rarely: that is how a server hands over bytes it cannot decode."""
pairs = st.lists(st.tuples(anything, anything), max_size=4).map(tuple)


def signed(
    *lines: str,
    url: str = ANSWER,
    nonce: str = NONCE,
    parameters: tuple[tuple[str, str], ...] = CALLED,
    tokens: tuple[Secret, ...] = (TOKEN,),
) -> bool:
    return is_signed(PlivoRequest(url=url, signatures=lines, nonce=nonce, parameters=parameters), tokens)


@pytest.mark.parametrize(
    ("url", "parameters", "line"),
    [
        (ANSWER, (), "WXMt9kpPtZk/49XWXYxHU1r5m7AU1HdSOcXnMqApo0Q="),
        (ANSWER + "?b=2&a=1&a=0&blank=", (), "SL0JHazJCL5XkiLXq5c1oPKFEhasGhyr5e0Xn4zmRas="),
        (ANSWER, CALLED, LINE),
        (ANSWER + "?b=2&a=x%20y", CALLED, "wSKO866iwycp/SfWZUJWGBoJ3w6sPrk+B5Ktv63blGM="),
        (
            ANSWER + "?b=2",
            (("Digits", "2"), ("Text", "\xe9"), ("Digits", "1"), ("Blank", ""), ("Digits", "1")),
            "nSMxNr3wNK8/VEFYeog0VvAHgNLGfpAMn4555Vs4qTk=",
        ),
    ],
)
def test_the_known_signatures_are_made_and_accepted(
    url: str, parameters: tuple[tuple[str, str], ...], line: str
) -> None:
    assert sign(TOKEN, url, NONCE, parameters) == line
    assert signed(line, url=url, parameters=parameters)


@pytest.mark.parametrize(
    ("url", "holds"),
    [
        ("wss://calls.example.test/plivo/stream", True),
        ("wss://calls.example.test/plivo/stream?token=x", True),
        ("ws://calls.example.test/plivo/stream", True),
        ("wss://calls.example.test/plivo/stream/", False),
        ("wss://calls.example.test:8443/plivo/stream", False),
        ("https://calls.example.test/plivo/stream", False),
    ],
)
def test_an_upgrade_is_signed_as_http_without_its_query(url: str, holds: bool) -> None:
    assert signed("wlBL5sD8dRi5Qti1r/PtOW/AUibGJa1gSxQvZM7ndNw=", url=url, parameters=()) is holds


def test_an_upgrade_may_be_signed_as_it_is() -> None:
    url = "wss://calls.example.test/plivo/stream?b=1&a=2"
    assert signed(sign(TOKEN, url, NONCE), url=url, parameters=())


def test_any_signature_of_any_line_will_do_but_not_of_any_number() -> None:
    assert signed("garbage", LINE)
    assert signed(f"garbage, {LINE} ,more", "")
    assert signed(*["garbage"] * (MOST_SIGNATURES - 1), LINE)
    assert not signed(*["garbage"] * MOST_SIGNATURES, LINE)
    assert not signed(f"{'garbage,' * MOST_SIGNATURES}{LINE}")


def test_any_token_will_do_and_no_other() -> None:
    assert signed(LINE, tokens=(Secret("other"), TOKEN))
    assert not signed(LINE, tokens=(Secret("other"),))
    assert not signed(LINE, tokens=())


def test_an_empty_token_is_no_key() -> None:
    assert not signed(sign(Secret(""), ANSWER, NONCE, CALLED), tokens=(Secret(""),))


def test_nothing_may_be_changed() -> None:
    assert signed(LINE)
    assert not signed()
    assert not signed("")
    assert not signed(LINE[:-1])
    assert not signed(LINE.swapcase())
    assert not signed(LINE, nonce=NONCE + "1")
    assert not signed(LINE, nonce="")
    assert not signed(LINE, url=ANSWER + "/")
    assert not signed(LINE, url=ANSWER + "?x=1")
    assert not signed(LINE, url=ANSWER.replace("https", "http"))
    assert not signed(LINE, parameters=CALLED[1:])
    assert not signed(LINE, parameters=(*CALLED, CALLED[0]))


@pytest.mark.parametrize("url", ["https://calls.example.test/#x", "ftp://calls.example.test/", "/plivo", "", "wss:"])
def test_what_nobody_asks_for_is_not_signed(url: str) -> None:
    assert not signed(sign(TOKEN, url, NONCE), url=url, parameters=())


@given(anything, st.lists(anything, max_size=3), anything, pairs)
@example("/\udcff", ["\udcff"], "\udcff\ud800", (("\udcff", "\ud800"),))
def test_nothing_raises_and_nothing_is_signed_by_chance(
    url: str, lines: list[str], nonce: str, said: tuple[tuple[str, str], ...]
) -> None:
    for each in (url, "https://" + url, f"wss://calls.example.test{url}"):
        assert not signed(*lines, url=each, nonce=nonce, parameters=said, tokens=(TOKEN, Secret("\udcff")))


@given(pairs, st.permutations(range(4)), anything)
def test_the_order_of_a_form_does_not_matter(said: tuple[tuple[str, str], ...], order: list[int], nonce: str) -> None:
    mixed = tuple(said[place] for place in order if place < len(said))
    assert sign(TOKEN, ANSWER, nonce, mixed) == sign(TOKEN, ANSWER, nonce, said)
