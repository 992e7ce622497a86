from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.delivery_figures import (
    Appended,
    Attempt,
    duplicates,
    events_per_second,
    lost,
    missing,
    out_of_order,
    percentile,
    second_ids,
    to_attempt_ms,
    to_commit_ms,
)


def attempt(call_id: str, sequence: int, at: float = 0.0, *, accepted: bool = True, event_id: str = "") -> Attempt:
    return Attempt(event_id or f"msg_{call_id}_{sequence}", call_id, sequence, at, accepted)


def in_turn(*order: int, call_id: str = "a") -> list[Attempt]:
    return [attempt(call_id, sequence, float(at)) for at, sequence in enumerate(order)]


def test_lost_is_what_was_stored_and_nobody_has() -> None:
    attempts = [attempt("a", 1), attempt("a", 2, accepted=False), attempt("a", 3, accepted=False), attempt("a", 3)]
    assert lost({"msg_a_1", "msg_a_2", "msg_a_3", "msg_a_4"}, attempts) == {"msg_a_2", "msg_a_4"}
    assert lost(set(), attempts) == set()


def test_what_was_said_to_be_committed_must_be_in_the_store() -> None:
    appended = [Appended("x", 0.0, 1.0), Appended("y", 0.0, 1.0)]
    assert missing(appended, {"x"}) == {"y"}
    assert missing(appended, {"x", "y", "z"}) == set()


@pytest.mark.parametrize(
    ("attempts", "count"),
    [
        ([], 0),
        ([attempt("a", 1), attempt("a", 1), attempt("a", 2)], 0),
        ([attempt("a", 1), attempt("a", 1, event_id="other")], 1),
        ([attempt("a", 1, event_id="same"), attempt("a", 2, event_id="same")], 1),
        ([attempt("a", 1), attempt("b", 1)], 0),
    ],
)
def test_an_event_has_one_id_and_an_id_one_event(attempts: list[Attempt], count: int) -> None:
    assert second_ids(attempts) == count


@pytest.mark.parametrize(
    ("order", "count"),
    [
        ([], 0),
        ([1, 2, 3], 0),
        ([1, 1, 2, 1, 3, 2], 0),  # again is not out of order
        ([2, 1], 1),
        ([1, 3, 2], 1),
        ([3, 2, 1], 2),
        ([1, 3, 4, 2], 2),
        ([2, 3], 0),  # what never came is lost, which is told elsewhere
    ],
)
def test_order_is_that_of_first_arrivals(order: list[int], count: int) -> None:
    assert out_of_order(in_turn(*order)) == count


def test_calls_are_in_order_each_for_itself() -> None:
    assert out_of_order([*in_turn(1, 2, 3), *in_turn(2, 1, call_id="b")]) == 1


def test_arrivals_count_by_their_time() -> None:
    assert out_of_order([attempt("a", 2, 5.0), attempt("a", 1, 4.0)]) == 0


@given(st.permutations(range(1, 7)))
def test_displaced_are_those_that_an_earlier_one_comes_after(order: list[int]) -> None:
    pairs = {earlier for earlier, later in itertools.combinations(order, 2) if earlier > later}
    assert out_of_order(in_turn(*order)) == len(pairs)


def test_duplicates_are_accepted_twice() -> None:
    assert duplicates([attempt("a", 1), attempt("a", 1), attempt("a", 2, accepted=False), attempt("a", 2)]) == 1


def test_the_rate_is_from_the_first_append_to_the_last_acceptance() -> None:
    appended = [Appended("x", 10.0, 10.5), Appended("y", 11.0, 11.5)]
    attempts = [attempt("a", 1, 11.0), attempt("a", 2, 12.0), attempt("a", 2, 99.0, accepted=False)]
    assert events_per_second(appended, attempts) == 1.0


def test_delays_are_those_of_first_attempts() -> None:
    appended = [Appended("msg_a_1", 1.0, 1.002), Appended("msg_a_2", 2.0, 2.001), Appended("msg_a_3", 3.0, 3.001)]
    attempts = [attempt("a", 1, 1.010), attempt("a", 1, 1.5), attempt("a", 2, 2.020, accepted=False)]
    assert to_attempt_ms(appended, attempts) == pytest.approx([10, 20])
    assert to_commit_ms(appended) == pytest.approx([2, 1, 1])


@pytest.mark.parametrize(("part", "value"), [(0.5, 51.0), (0.99, 100.0), (1.0, 100.0), (0.0, 1.0)])
def test_percentiles(part: float, value: float) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], part) == value
