from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.breaker import LONGEST_ASKED_SECONDS, Breaker
from gateway.delivery.retry import Answered, Outcome, Unanswered

MIDDLE = 0.5
"""Of the jitter: a rest is as long as it says."""

OK, BROKEN, SILENT, BUSY = Answered(204), Answered(500), Unanswered("no answer"), Answered(503)


def breaker(*, most: int = 16, failures: int = 3, rest_seconds: float = 60.0) -> Breaker:
    return Breaker(most=most, failures=failures, rest_seconds=rest_seconds)


def hear(tried: Breaker, *outcomes: Outcome, now: float = 0.0) -> list[bool]:
    return [tried.hear(outcome, now, MIDDLE) for outcome in outcomes]


def rests(tried: Breaker) -> bool:
    return tried.until is not None


def test_one_that_is_well_has_all_its_slots() -> None:
    tried = breaker()
    assert [tried.slots(0, busy) for busy in (0, 10, 16, 20)] == [16, 6, 0, 0]


@pytest.mark.parametrize("failure", [BROKEN, SILENT, Answered(404), Answered(302)], ids=str)
def test_it_rests_after_so_many_failures_in_a_row(failure: Outcome) -> None:
    tried = breaker()
    hear(tried, failure, failure, OK, failure, failure)
    assert not rests(tried)
    hear(tried, failure)
    assert tried.until == 1.0
    assert [tried.slots(now, 0) for now in (0.0, 0.9, 1.0, 5.0)] == [0, 0, 1, 1]


def test_after_a_rest_one_attempt_at_a_time_tells_whether_it_is_well() -> None:
    tried = breaker()
    hear(tried, *[SILENT] * 3)
    assert tried.slots(1.0, 0) == 1
    assert tried.slots(1.0, 1) == 0
    assert hear(tried, OK, now=1.2) == [True]
    assert not rests(tried)
    assert hear(tried, OK, now=1.3) == [False], "that is known already"


def test_each_rest_is_twice_as_long_up_to_the_longest() -> None:
    tried, now, rested = breaker(rest_seconds=10.0), 0.0, []
    hear(tried, SILENT, SILENT)
    for _ in range(6):
        hear(tried, SILENT, now=now)
        assert tried.until is not None
        rested.append(tried.until - now)
        now = tried.until
    assert rested == [1, 2, 4, 8, 10, 10]
    hear(tried, OK, now=now)
    hear(tried, *[SILENT] * 3, now=now)
    assert tried.until == now + 1, "it begins anew"


def test_what_was_on_its_way_when_the_rest_began_does_not_prolong_it() -> None:
    tried = breaker()
    hear(tried, *[SILENT] * 16)
    assert tried.until == 1.0


def test_an_answer_that_was_on_its_way_ends_the_rest() -> None:
    tried = breaker()
    hear(tried, *[SILENT] * 3)
    assert hear(tried, OK, now=0.1) == [True]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_one_that_is_pressed_gets_fewer_at_once(status: int) -> None:
    tried = breaker(failures=100)
    hear(tried, Answered(status))
    assert tried.slots(0, 0) == 8
    hear(tried, *[Answered(status)] * 9)
    assert tried.slots(0, 0) == 1
    hear(tried, *[OK] * 3)
    assert tried.slots(0, 0) == 4
    hear(tried, *[OK] * 30)
    assert tried.slots(0, 0) == 16


def test_other_failures_say_nothing_of_its_room() -> None:
    tried = breaker(failures=100)
    hear(tried, BROKEN, SILENT, Answered(404))
    assert tried.slots(0, 0) == 16


def test_well_again_it_is_not_overrun() -> None:
    tried = breaker()
    hear(tried, *[SILENT] * 3)
    hear(tried, OK, now=1.0)
    assert tried.slots(1.0, 0) == 1
    hear(tried, OK, now=1.1)
    assert tried.slots(1.1, 0) == 2


@pytest.mark.parametrize(
    ("asked", "seconds"), [(30.0, 30.0), (math.inf, LONGEST_ASKED_SECONDS), (10**9, LONGEST_ASKED_SECONDS)]
)
def test_it_rests_as_long_as_it_asks_for(asked: float, seconds: float) -> None:
    tried = breaker()
    hear(tried, Answered(429, asked))
    assert tried.until == seconds
    assert tried.slots(seconds, 0) == 1


def test_a_rest_that_it_asked_for_is_no_outage() -> None:
    tried = breaker()
    hear(tried, Answered(429, 30.0))
    assert hear(tried, OK, now=30.0) == [False]
    assert tried.slots(30.0, 0) == 9, "half, and one more"


@pytest.mark.parametrize("asked", [0.0, -5.0, -math.inf])
def test_to_ask_for_no_rest_is_to_ask_for_none(asked: float) -> None:
    tried = breaker()
    hear(tried, Answered(429, asked))
    assert not rests(tried)
    assert tried.slots(0, 0) == 8


def test_only_one_that_is_pressed_can_ask_for_rest() -> None:
    tried = breaker()
    hear(tried, Answered(500, 30.0))
    assert not rests(tried)


def test_an_operator_may_say_that_it_is_well() -> None:
    tried = breaker()
    tried.hasten(0.0)
    assert not rests(tried)
    hear(tried, Answered(503, 3000.0), now=0.0)
    tried.hasten(5.0)
    assert tried.slots(5.0, 0) == 1
    tried.hasten(9.0)
    assert tried.until == 5.0


@pytest.mark.parametrize(("random", "until"), [(0.0, 0.8), (0.5, 1.0), (1.0, 1.2)])
def test_rests_vary(random: float, until: float) -> None:
    tried = breaker(failures=1)
    tried.hear(SILENT, 0.0, random)
    assert tried.until == pytest.approx(until)


outcomes = st.sampled_from([OK, BROKEN, SILENT, BUSY, Answered(429, 5.0), Answered(503, math.inf), Answered(410)])


@given(st.lists(st.tuples(outcomes, st.floats(0, 100)), max_size=200), st.integers(1, 8), st.integers(1, 5))
def test_it_is_never_left_alone_for_ever_nor_asked_for_too_much(
    heard: list[tuple[Outcome, float]], most: int, failures: int
) -> None:
    tried, now = breaker(most=most, failures=failures, rest_seconds=60.0), 0.0
    for outcome, passed in heard:
        now += passed
        tried.hear(outcome, now, MIDDLE)
        assert 0 <= tried.slots(now, 0) <= most
        assert tried.slots(now + LONGEST_ASKED_SECONDS, 0) >= 1
        if outcome is OK:
            assert tried.slots(now, 0) >= 1
