from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bench.search import CLOSE_ENOUGH, Goal, largest, next_count, shortfalls
from tests.unit.test_bench_measuring import GOOD

GOAL = Goal(final_p95_ms=900, first_interim_p95_ms=800)


def search(first: int, bears: int) -> dict[int, bool]:
    tried: dict[int, bool] = {}
    while (count := next_count(tried, first)) is not None:
        assert count not in tried
        tried[count] = count <= bears
    return tried


@pytest.mark.parametrize(
    ("first", "bears", "counts"),
    [
        (4, 4, [4, 8, 6, 5]),
        (4, 9, [4, 8, 16, 12, 10, 9]),
        (4, 1, [4, 2, 1]),
        (4, 0, [4, 2, 1]),
        (1, 0, [1]),
        (1, 3, [1, 2, 4, 3]),
    ],
)
def test_the_counts_that_are_tried(first: int, bears: int, counts: list[int]) -> None:
    tried = search(first, bears)
    assert list(tried) == counts
    assert largest(tried) == bears


@given(st.integers(1, 100), st.integers(0, 5000))
def test_the_largest_is_found_as_closely_as_said(first: int, bears: int) -> None:
    found = largest(search(first, bears))
    assert found <= bears <= found + max(1, found // CLOSE_ENOUGH) - 1


def test_a_good_run_holds_the_goal() -> None:
    assert shortfalls(GOOD, GOAL) == []


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({"final_p95_ms": 901}, "final p95 901 ms, more than 900"),
        ({"final_p95_ms": None}, "final p95 unknown"),
        ({"first_interim_p95_ms": 801}, "first interim p95 801 ms, more than 800"),
        ({"first_interim_p95_ms": None}, "first interim p95 unknown"),
        ({"finals_lost": 2}, "2 finals lost"),
        ({"failed": 1}, "1 failed"),
        ({"cut_off": 1}, "1 lines cut off"),
        ({"unended": 3}, "3 calls without end"),
        ({"final_growth_ms": 301}, "growth 301 ms, more than 300"),
    ],
)
def test_what_is_missed_is_named(changes: dict[str, int | None], missed: str) -> None:
    assert shortfalls(replace(GOOD, **changes), GOAL) == [missed]


def test_a_gateway_without_interims_is_not_asked_for_them() -> None:
    without = replace(GOOD, first_interim_p95_ms=None, final_growth_ms=None)
    assert shortfalls(without, replace(GOAL, interims=False)) == []
