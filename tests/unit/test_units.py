from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.types import Word
from asr.units import Unit, align, bare, follow, same, units

LETTERS = "abAB .,?-'\u00e9\u0301\u4f60\u597d\u3002\u0e01\u0e34\u0915\u093e"
TEXTS = st.text(LETTERS, max_size=30)


def parts(text: str) -> list[tuple[str, str, str]]:
    return [(unit.head, unit.tail, unit.key) for unit in units(text)]


def word(text: str, end_ms: int) -> Word:
    return Word(text=text, start_ms=end_ms - 100, end_ms=end_ms, confidence=0.9)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" ... ", []),
        ("Yes.", [("Yes", ".", "yes")]),
        (" I'm here, ", [("I'm", "", "im"), (" here", ",", "here")]),
        ("... and 50 %!", [("... and", "", "and"), (" 50", " %!", "50")]),
        ('"No" - she said', [('"No', '" -', "no"), (" she", "", "she"), (" said", "", "said")]),
        ("wi-fi", [("wi-fi", "", "wifi")]),
        ("你好。我", [("你", "", "你"), ("好", "。", "好"), ("我", "", "我")]),
        ("用 iPhone 吗", [("用", "", "用"), (" iPhone", "", "iphone"), (" 吗", "", "吗")]),
        ("กิน", [("กิ", "", "กิ"), ("น", "", "น")]),
        ("का की", [("का", "", "का"), (" की", "", "की")]),
    ],
)
def test_a_text_is_taken_apart(text: str, expected: list[tuple[str, str, str]]) -> None:
    assert parts(text) == expected


@given(TEXTS)
def test_put_together_the_units_are_the_text(text: str) -> None:
    found = units(text)
    assert all(unit.key for unit in found)
    assert "".join(unit.text for unit in found) == (text.strip() if found else "")


def test_a_unit_ends_with_the_word_that_its_last_letter_belongs_to() -> None:
    timed = units("Wi-Fi, 你好!", [word("Wi", 100), word("-Fi,", 300), word("你好!", 700)])
    assert [unit.end_ms for unit in timed] == [300, 700, 700]


def test_words_of_another_text_tell_no_times() -> None:
    assert [unit.end_ms for unit in units("one two", [word("one", 100)])] == [None, None]


@given(TEXTS, st.data())
def test_times_of_any_text_never_go_back(text: str, data: st.DataObject) -> None:
    found = units(text)
    ends = sorted(data.draw(st.lists(st.integers(0, 9_000), min_size=len(found), max_size=len(found))))
    timed = units(text, [word(unit.text, end) for unit, end in zip(found, ends, strict=True)])
    assert [unit.end_ms for unit in timed] == ends


def test_what_goes_on_has_a_blank_before_it_where_its_script_has_blanks() -> None:
    assert follow(units("and")[0]).text == " and"
    assert follow(units("你")[0]).text == "你"
    assert bare(units("Yes.")[0]).text == "Yes"


def keys(text: str) -> list[Unit]:
    return units(text)


def test_units_are_compared_without_case_and_marks() -> None:
    assert same(keys("Hello, you there"), keys("hello You, where")) == 2
    assert same(keys("one"), keys("one two")) == same(keys("one two"), keys("one")) == 1
    assert same([], keys("one")) == 0


@pytest.mark.parametrize(
    ("expected", "heard", "swallowed", "reached"),
    [
        ("", "a b", 0, 0),
        ("a b", "", 0, 0),
        ("a b", "a b c", 0, 2),
        ("a b c", "a x c d", 0, 3),  # another word
        ("a b c", "a b d", 0, 3),  # another at the end: it stands in the place of the last
        ("a b c", "a c d", 0, 2),  # one less
        ("a b b", "a b c", 0, 2),  # the same: it ends as expected
        ("a b c", "a b x c d", 0, 4),  # one more
        ("a b", "a b b", 0, 2),  # said twice
        ("b c", "c d", 2, 1),  # the first is cut in half
        ("b c", "d e f", 2, 0),  # both are
        ("b c", "x b c d", 2, 3),  # half a word before
        ("b c", "x c d", 2, 2),
        ("a b c d e f", "x y", 2, 2),  # something else altogether: nothing of it is new
    ],
)
def test_what_is_expected_is_found_at_the_beginning(expected: str, heard: str, swallowed: int, reached: int) -> None:
    assert align(expected.split(), heard.split(), swallowed=swallowed)[0] == reached


@given(st.lists(st.sampled_from("abc"), max_size=8), st.lists(st.sampled_from("abc"), max_size=8), st.integers(0, 2))
def test_pairs_are_equal_units_in_order(expected: list[str], heard: list[str], swallowed: int) -> None:
    reached, pairs = align(expected, heard, swallowed=swallowed)
    assert all(heard[here] == expected[there] for here, there in pairs)
    assert pairs == sorted(pairs)
    assert len({here for here, _ in pairs}) == len({there for _, there in pairs}) == len(pairs)
    assert all(here < reached for here, _ in pairs)


@given(st.lists(st.sampled_from("abc"), max_size=8), st.lists(st.sampled_from("abc"), max_size=8))
def test_what_is_there_unchanged_is_found_whole(expected: list[str], more: list[str]) -> None:
    reached, pairs = align(expected, expected + more)
    assert reached == len(expected)
    assert pairs == [(place, place) for place in range(reached)]
