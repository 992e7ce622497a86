from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.wire.sequence import LONGEST_LEAP, REMEMBERED, Sequence

if TYPE_CHECKING:
    from random import Random


def counted(*numbers: int) -> Sequence:
    sequence = Sequence()
    for number in numbers:
        sequence.take(number)
    return sequence


def missing(*numbers: int) -> int:
    return counted(*numbers).missing


def test_a_count_without_holes_misses_nothing() -> None:
    assert missing(1, 2, 3) == 0
    assert missing(17, 18, 19) == 0


def test_what_was_skipped_is_missing_until_it_comes() -> None:
    assert missing(1, 4) == 2
    assert missing(1, 4, 2, 5) == 1
    assert missing(1, 4, 2, 3, 5) == 0


def test_what_comes_twice_changes_nothing() -> None:
    assert missing(1, 2, 2, 1, 3) == 0
    assert missing(1, 3, 2, 2) == 0


def test_tracks_that_are_counted_by_themselves_miss_nothing() -> None:
    assert missing(*[number for number in range(1, 50) for _ in range(2)]) == 0
    assert missing(*[1] * 100) == 0


def test_a_leap_begins_another_count() -> None:
    assert missing(1, 2 + LONGEST_LEAP) == LONGEST_LEAP
    assert missing(1, 2 + LONGEST_LEAP + 1, 2 + LONGEST_LEAP + 2) == 0
    assert missing(1000, 1001 - REMEMBERED - 1, 1001 - REMEMBERED + 1) == 1
    assert missing(1, 2**70, -(2**70)) == 0


@pytest.mark.parametrize(
    ("numbers", "recent", "awaits"),
    [
        ((), 9, False),
        ((1, 2), 9, False),
        ((1, 3), 1, True),
        ((1, 3), 0, False),
        ((1, 3, 4), 1, False),
        ((1, 3, 2), 9, False),
    ],
)
def test_what_was_skipped_of_late_may_be_on_its_way(numbers: tuple[int, ...], recent: int, *, awaits: bool) -> None:
    assert counted(*numbers).awaits(recent) is awaits


@given(st.lists(st.integers(0, 300)), st.randoms())
def test_every_number_counts_once_in_whatever_order_it_comes(lost: list[int], random: Random) -> None:
    numbers = [number for number in range(1, 301) if number not in lost]
    for at in range(0, len(numbers) - 4, 5):
        part = numbers[at : at + 4]
        random.shuffle(part)
        numbers[at : at + 4] = part
    assert missing(0, *numbers) == (max(numbers) - len(numbers) if numbers else 0)


@given(st.lists(st.integers()))
def test_whatever_the_numbers_are_little_is_remembered(numbers: list[int]) -> None:
    sequence = counted(*numbers)
    assert len(sequence._awaited) <= REMEMBERED
    assert sequence.missing >= len(sequence._awaited)
