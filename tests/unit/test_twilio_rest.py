from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.asking import LONGEST_QUOTE, Answer
from gateway.callers.upgrade import said_by
from gateway.twilio_rest import REMEDIES, explained

SECRET = "0123456789abcdef"  # noqa: S105  a test's
LINKS = "https://www.twilio.com/docs/errors/"


def told(status: int, **said: object) -> str:
    return explained(Answer(status, json.dumps(said).encode()), [SECRET])


@pytest.mark.parametrize("code", list(REMEDIES))
def test_the_remedy_of_an_error_goes_before_a_link(code: int) -> None:
    said = told(400, code=code, message="What.", more_info=f"{LINKS}{code}")
    assert said == f"Twilio answered {code}: What.; {REMEDIES[code]}"


def test_an_error_that_is_not_known_comes_with_its_link() -> None:
    said = told(400, code=21218, message="Invalid ApplicationSid", more_info=f"{LINKS}21218")
    assert said == f"Twilio answered 21218: Invalid ApplicationSid; {LINKS}21218"


@pytest.mark.parametrize(("status", "code"), [(401, 20003), (404, 20404), (429, 20429)])
def test_an_answer_without_a_code_has_the_remedy_of_its_status(status: int, code: int) -> None:
    assert explained(Answer(status, b"<html>")) == f"Twilio answered {status}; {REMEDIES[code]}"


def test_a_secret_at_the_place_where_a_text_is_cut_is_not_shown_in_part() -> None:
    for before in range(LONGEST_QUOTE - len(SECRET), LONGEST_QUOTE + 1):
        assert SECRET[:4] not in told(400, code=1, message="x" * before + SECRET, more_info="x" * before + SECRET)


@given(st.integers(300, 599), st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_whatever_is_answered_is_explained(status: int, body: bytes) -> None:
    assert explained(Answer(status, body)).startswith(f"Twilio answered {status}")


VALUES = (
    st.none() | st.integers() | st.just(10**4200) | st.text(max_size=400) | st.lists(st.none()) | st.just(SECRET * 40)
)


@given(st.dictionaries(st.sampled_from(["code", "message", "more_info", "status", "details"]), VALUES))
def test_an_error_of_any_shape_is_explained_shortly_and_without_secrets(said: dict[str, object]) -> None:
    explanation = explained(Answer(400, json.dumps(said).encode()), [SECRET])
    assert len(explanation) < 2 * LONGEST_QUOTE + 100
    assert SECRET not in explanation


def test_a_secret_that_is_none_hides_nothing() -> None:
    assert explained(Answer(400, b'{"code": 1, "message": "No"}'), [""]) == "Twilio answered 1: No"


def test_levels_without_end_are_no_error_of_twilios_and_no_stream() -> None:
    deep = b'{"error": ' + b"[" * 30_000 + b"]" * 30_000 + b"}"
    assert explained(Answer(502, deep)) == "Twilio answered 502"
    assert said_by(deep) is None
