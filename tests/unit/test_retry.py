from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.retry import (
    DAY_SECONDS,
    Answered,
    Decision,
    Delivered,
    Disable,
    GiveUp,
    Outcome,
    RetryAt,
    Unanswered,
    decide,
    kind_of,
    retry_after_seconds,
)

NOW = 1_760_000_000.0
SCHEDULE = (5.0, 300.0, 36_000.0)
REFUSED = Unanswered("Cannot connect to host crm.example:443")

MIDDLE = 0.5
"""The random number that leaves a wait as it is."""

statuses = st.integers(100, 599)
outcomes: st.SearchStrategy[Outcome] = st.builds(
    Answered, statuses, st.none() | st.floats(allow_nan=False)
) | st.builds(Unanswered, st.text(max_size=20))


def decided(attempt: int, outcome: Outcome, *, jitter: float = 0.2, random: float = MIDDLE) -> Decision:
    return decide(attempt, outcome, retry_seconds=SCHEDULE, jitter=jitter, random=random, now=NOW)


def after(seconds: float, reason: str = "HTTP 503") -> RetryAt:
    return RetryAt(NOW + seconds, reason)


@pytest.mark.parametrize(
    ("attempt", "outcome", "expected"),
    [
        (1, Answered(200), Delivered()),
        (1, Answered(204), Delivered()),
        (9, Answered(299), Delivered()),
        (1, Answered(200, retry_after_seconds=60), Delivered()),
        # Everything else waits by the schedule: the receiver's errors, its refusals and redirects alike.
        (1, Answered(500), after(5, "HTTP 500")),
        (1, Answered(503), after(5, "HTTP 503")),
        (1, Answered(400), after(5, "HTTP 400")),
        (1, Answered(401), after(5, "HTTP 401")),
        (1, Answered(404), after(5, "HTTP 404")),
        (1, Answered(429), after(5, "HTTP 429")),
        (1, Answered(302), after(5, "HTTP 302")),
        (1, Answered(304), after(5, "HTTP 304")),
        (1, Answered(101), after(5, "HTTP 101")),
        (1, REFUSED, after(5, REFUSED.error)),
        (2, REFUSED, after(300, REFUSED.error)),
        (3, REFUSED, after(36_000, REFUSED.error)),
        # The last wait is over.
        (4, REFUSED, GiveUp(f"{REFUSED.error} at attempt 4, the last")),
        (4, Answered(500), GiveUp("HTTP 500 at attempt 4, the last")),
        (4, Answered(503, retry_after_seconds=60), GiveUp("HTTP 503 at attempt 4, the last")),
        (99, Answered(500), GiveUp("HTTP 500 at attempt 99, the last")),
        # Retry-After lengthens a wait, never shortens it, and has its bound.
        (1, Answered(503, retry_after_seconds=120), after(120)),
        (1, Answered(429, retry_after_seconds=7200), after(7200, "HTTP 429")),
        (2, Answered(503, retry_after_seconds=120), after(300)),
        (1, Answered(503, retry_after_seconds=0), after(5)),
        (1, Answered(503, retry_after_seconds=-3600), after(5)),
        (1, Answered(503, retry_after_seconds=10**9), after(DAY_SECONDS)),
        (1, Answered(503, retry_after_seconds=math.inf), after(DAY_SECONDS)),
        (1, Answered(503, retry_after_seconds=-math.inf), after(5)),
        # Gone is gone, and nothing that waits is given up for it.
        (1, Answered(410), Disable("HTTP 410: the receiver wants no more")),
        (1, Answered(410, retry_after_seconds=60), Disable("HTTP 410: the receiver wants no more")),
    ],
)
def test_decisions(attempt: int, outcome: Outcome, expected: Decision) -> None:
    assert decided(attempt, outcome) == expected


@pytest.mark.parametrize(("random", "wait"), [(0.0, 240.0), (0.5, 300.0), (0.75, 330.0), (1.0, 360.0)])
def test_jitter_varies_a_wait_up_and_down(random: float, wait: float) -> None:
    decision = decided(2, REFUSED, jitter=0.2, random=random)
    assert isinstance(decision, RetryAt)
    assert decision.due_at == pytest.approx(NOW + wait, abs=1e-3)


def test_without_waits_there_is_one_attempt() -> None:
    decision = decide(1, Answered(500), retry_seconds=(), jitter=0.2, random=MIDDLE, now=NOW)
    assert decision == GiveUp("HTTP 500 at attempt 1, the last")


def test_a_schedule_longer_than_a_day_bounds_retry_after() -> None:
    long_wait = 3 * DAY_SECONDS
    decision = decide(1, Answered(503, math.inf), retry_seconds=(5.0, long_wait), jitter=0, random=MIDDLE, now=NOW)
    assert decision == after(long_wait)


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        (Answered(204), "delivered"),
        (Answered(503), "refused"),
        (REFUSED, "unanswered"),
        (Answered(410), "disabled"),
    ],
)
def test_an_attempt_in_a_word(outcome: Outcome, word: str) -> None:
    assert kind_of(outcome, decided(1, outcome)) == word
    assert kind_of(outcome, decided(99, outcome)) == (word if word in {"delivered", "disabled"} else "given_up")


@given(st.integers(1, 40), outcomes, st.lists(st.floats(0, 1e6), max_size=8), st.floats(0, 0.9), st.floats(0, 1))
def test_every_outcome_has_a_bounded_answer(
    attempt: int, outcome: Outcome, schedule: list[float], jitter: float, random: float
) -> None:
    decision = decide(attempt, outcome, retry_seconds=schedule, jitter=jitter, random=random, now=NOW)
    match decision:
        case Delivered():
            assert isinstance(outcome, Answered)
            assert 200 <= outcome.status < 300
        case RetryAt(due_at, _):
            shortest = schedule[attempt - 1] * (1 - jitter)
            longest = max(DAY_SECONDS, *schedule, schedule[attempt - 1] * (1 + jitter))
            assert NOW + shortest - 1e-3 <= due_at <= NOW + longest + 1e-3
        case GiveUp(reason):
            assert attempt > len(schedule)
            assert reason
        case Disable(reason):
            assert isinstance(outcome, Answered)
            assert outcome.status == 410
            assert reason


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("0", 0.0),
        ("Thu, 09 Oct 2025 08:54:20 GMT", 60.0),
        ("Thu, 09 Oct 2025 08:52:20 GMT", -60.0),
        ("Thu, 09 Oct 2025 08:54:20 CEST", None),
        ("2025-10-09T08:54:20Z", None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("1e9", None),
        ("nan", None),
        ("inf", None),
        ("٣", None),
        ("9" * 5000, math.inf),
    ],
)
def test_reads_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW) == seconds


@given(st.text(st.characters(codec=None)))
def test_a_hostile_retry_after_never_raises(header: str) -> None:
    seconds = retry_after_seconds(header, NOW)
    assert seconds is None or not math.isnan(seconds)
