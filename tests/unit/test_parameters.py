from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.wire.parameters import (
    DEEPEST,
    LONGEST_JSON,
    LONGEST_NAME,
    LONGEST_VALUE,
    MOST_CHARACTERS,
    MOST_PARAMETERS,
    bounded,
    flat,
    read_object,
)


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "{",
        '{"x":"say "hi""}',
        "[1]",
        '"a"',
        "17",
        "null",
        '{"from":"Jane',
        '{"a":"\\ud800"}',
        nested(5000),
        nested(DEEPEST + 1),
        '{"a":' + "[" * DEEPEST + "]" * DEEPEST + "}",
    ],
)
def test_what_is_no_object_that_can_be_written_again_is_none(text: str) -> None:
    assert read_object(text) is None


def test_an_object_within_objects_is_read_as_deep_as_anybody_sends() -> None:
    assert read_object(nested(DEEPEST)) is not None


def test_an_object_of_a_size_that_nobody_sends_is_not_looked_at() -> None:
    assert read_object(json.dumps({"a": "x" * (LONGEST_JSON - 20)})) is not None
    assert read_object(json.dumps({"a": "x" * LONGEST_JSON})) is None


@given(st.text(max_size=50))
def test_any_text_is_read_or_is_none(text: str) -> None:
    found = read_object(text)
    assert found is None or found == json.loads(text)


def test_what_lies_deep_stays_json() -> None:
    assert list(flat({"a": {"b": {"c": {"d": {"e": 1}}}}})) == [("a.b.c.d", '{"e":1}')]


@pytest.mark.parametrize(
    ("pairs", "kept"),
    [
        ([("a", "1"), ("b", "2")], 2),
        ([(f"n{number}", "") for number in range(MOST_PARAMETERS)], MOST_PARAMETERS),
        ([("a", "x" * LONGEST_VALUE)], 1),
        ([("a" * LONGEST_NAME, "x")], 1),
    ],
)
def test_what_fits_is_kept(pairs: list[tuple[str, str]], kept: int) -> None:
    found, all_kept = bounded(pairs)
    assert (len(found), all_kept) == (kept, True)


@pytest.mark.parametrize(
    ("pairs", "kept"),
    [
        ([(f"n{number}", "") for number in range(MOST_PARAMETERS + 1)], MOST_PARAMETERS),
        ([("a", "x" * (LONGEST_VALUE + 1)), ("b", "")], 1),
        ([("a" * (LONGEST_NAME + 1), "x"), ("b", "")], 1),
        ([("", "x"), ("b", "")], 1),
        ([(f"n{number}", "x" * 8_000) for number in range(3)], 1),
    ],
)
def test_what_does_not_fit_is_left_out_and_told(pairs: list[tuple[str, str]], kept: int) -> None:
    found, all_kept = bounded(pairs)
    assert (len(found), all_kept) == (kept, False)


def test_of_two_of_one_name_the_later_is_kept() -> None:
    assert bounded([("a", "1"), ("a", "2")]) == ({"a": "2"}, True)


@given(st.lists(st.tuples(st.text(max_size=300), st.text(max_size=3000)), max_size=80))
def test_no_call_has_more_than_that(pairs: list[tuple[str, str]]) -> None:
    found, all_kept = bounded(pairs)
    assert len(found) <= MOST_PARAMETERS
    assert sum(map(len, (*found, *found.values()))) <= MOST_CHARACTERS
    assert all_kept == (found == dict(pairs))
