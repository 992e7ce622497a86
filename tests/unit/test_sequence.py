from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from adapters.wire.sequence import LONGEST_LEAP, MOST_REPEATED, REMEMBERED, Sequence

if TYPE_CHECKING:
    from random import Random


def taken(*numbers: int) -> tuple[list[bool], int]:
    sequence = Sequence()
    return [sequence.take(number) for number in numbers], sequence.missing


def test_a_count_without_holes_misses_nothing() -> None:
    assert taken(1, 2, 3) == ([True] * 3, 0)
    assert taken(17, 18, 19) == ([True] * 3, 0)


def test_what_was_skipped_is_missing_until_it_comes() -> None:
    assert taken(1, 4) == ([True, True], 2)
    assert taken(1, 4, 2, 3, 5) == ([True] * 5, 0)


def test_what_comes_twice_is_told() -> None:
    assert taken(1, 2, 2, 1, 3) == ([True, True, False, False, True], 0)
    assert taken(1, 3, 2, 2) == ([True, True, True, False], 0)


def test_a_peer_that_does_not_count_loses_nothing_more() -> None:
    answers, missing = taken(*[1] * 100)
    assert answers.count(False) == MOST_REPEATED
    assert missing == 0


def test_a_leap_begins_another_count() -> None:
    assert taken(1, 2 + LONGEST_LEAP + 1, 2 + LONGEST_LEAP + 2) == ([True] * 3, 0)
    assert taken(1000, 1000 - REMEMBERED, 1000 - REMEMBERED + 1) == ([True] * 3, 0)
    assert taken(1, 2**70, -(2**70)) == ([True] * 3, 0)


@given(st.lists(st.integers(0, 300)), st.randoms())
def test_every_number_counts_once_in_whatever_order_it_comes(lost: list[int], random: Random) -> None:
    numbers = [number for number in range(1, 301) if number not in lost]
    for at in range(0, len(numbers) - 4, 5):
        part = numbers[at : at + 4]
        random.shuffle(part)
        numbers[at : at + 4] = part
    answers, missing = taken(0, *numbers)
    assert all(answers)
    assert missing == (max(numbers) - len(numbers) if numbers else 0)


@given(st.lists(st.integers()))
def test_whatever_the_numbers_are_little_is_remembered(numbers: list[int]) -> None:
    sequence = Sequence()
    for number in numbers:
        sequence.take(number)
    assert len(sequence._awaited) <= REMEMBERED
    assert sequence.missing >= len(sequence._awaited)
