"""Which headers open the API, and for whom."""

from __future__ import annotations

import hmac
from contextlib import suppress

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from config.listeners import Token
from config.secret import Secret
from gateway.http import tokens as module
from gateway.http.errors import ApiError
from gateway.http.tokens import Tokens

ALICE = "alice-0123456789-0123456789"
BOB = "bob~0123456789+0123456789/=="


def configured() -> Tokens:
    return Tokens([Token(name="alice", secret=Secret(ALICE)), Token(name="bob", secret=Secret(BOB))])


def refused(*headers: str) -> ApiError:
    with pytest.raises(ApiError) as caught:
        configured().account(headers)
    return caught.value


@pytest.mark.parametrize(
    ("header", "account"),
    [
        (f"Bearer {ALICE}", "alice"),
        (f"Bearer {BOB}", "bob"),
        (f"bearer {ALICE}", "alice"),
        (f"BEARER {ALICE}", "alice"),
        (f"Bearer   {ALICE}  ", "alice"),
        (f" Bearer {ALICE}\t", "alice"),
    ],
)
def test_a_token_opens_its_account(header: str, account: str) -> None:
    assert configured().account([header]) == account


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        "Bearer",
        "Bearer ",
        ALICE,
        f"Basic {ALICE}",
        f"Bearer{ALICE}",
        f"Bearer\t{ALICE}",
        f"Bearer {ALICE}x",
        f"Bearer {ALICE[:-1]}",
        f"Bearer {ALICE.upper()}",
        f"Bearer {ALICE} {BOB}",
        f"Bearer {ALICE}, Bearer {BOB}",
        f'Bearer "{ALICE}"',
        f"Bearer Bearer {ALICE}",
        f"Token token={ALICE}",
        f"Bearer {ALICE}\N{LATIN SMALL LETTER U WITH DIAERESIS}",
        f"Bearer {ALICE}\udcff",
        f"Bearer \ud800\udfff{ALICE}",
        f"Bearer\N{NO-BREAK SPACE}{ALICE}",
        f"\N{LATIN CAPITAL LETTER B}earer {ALICE}\x00",
        "Bearer " + "x" * 100_000,
    ],
)
def test_anything_else_is_401(header: str) -> None:
    error = refused(header)
    assert (error.status, error.code, error.headers) == (401, "unauthorized", {"WWW-Authenticate": "Bearer"})
    assert "http.tokens" in error.message
    assert ALICE not in error.message


def test_no_header_is_401() -> None:
    assert refused().status == 401


def test_the_first_of_several_headers_counts() -> None:
    assert configured().account([f"Bearer {ALICE}", f"Bearer {BOB}"]) == "alice"
    assert configured().account([f"Bearer {ALICE}", "nonsense"]) == "alice"
    assert refused("nonsense", f"Bearer {ALICE}").status == 401
    assert refused("", f"Bearer {ALICE}").status == 401


@pytest.mark.parametrize("headers", [[], ["Bearer "], [f"Bearer {ALICE}"]])
def test_without_tokens_nobody_may_and_the_answer_names_the_setting(headers: list[str]) -> None:
    with pytest.raises(ApiError, match=r"http\.tokens") as caught:
        Tokens([]).account(headers)
    assert (caught.value.status, caught.value.code) == (403, "no_tokens")


@pytest.mark.parametrize("header", [f"Bearer {ALICE}", f"Bearer {BOB}", "Bearer x", "", "\udcff"])
def test_every_token_is_compared_and_all_at_one_length(header: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []

    def compare(first: bytes, second: bytes) -> bool:
        compared.append((len(first), len(second)))
        return hmac.compare_digest(first, second)

    both = configured()
    monkeypatch.setattr(module, "hmac", type("Watched", (), {"compare_digest": staticmethod(compare)}))
    with suppress(ApiError):
        both.account([header])
    assert compared == [(32, 32), (32, 32)]


def test_the_tokens_themselves_are_not_kept() -> None:
    kept = repr(vars(configured()))
    assert "alice" in kept
    assert ALICE not in kept
    assert BOB not in kept


@given(st.text(), st.lists(st.text(), max_size=2))
def test_no_text_opens_it_by_accident(header: str, more: list[str]) -> None:
    assume(ALICE not in header)
    assume(BOB not in header)
    assert refused(header, *more).status == 401


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=24))
def test_every_token_that_can_be_configured_can_be_sent(secret: str) -> None:
    assert Tokens([Token(name="it", secret=Secret(secret))]).account([f"Bearer {secret}"]) == "it"
