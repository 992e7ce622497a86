from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.rate import WATCH_SECONDS, RateCheck, RateVerdict


def watch(frames: list[tuple[float, float]]) -> list[RateVerdict]:
    """Push (seconds by the label, arrival); give every verdict."""
    check = RateCheck()
    return [verdict for frame in frames if (verdict := check.push(*frame)) is not None]


def steady(seconds: float, *, every: float = 0.02, count: int = 250, start: float = 5.0) -> list[tuple[float, float]]:
    return [(seconds, start + number * every) for number in range(count)]


@pytest.mark.parametrize(
    ("frames", "verdicts"),
    [
        (steady(0.02), [RateVerdict.RIGHT]),
        (steady(0.01), [RateVerdict.SLOW]),  # mu-law under the kind of 16-bit PCM
        (steady(0.03), [RateVerdict.FAST]),  # 24 kHz that is taken for 16
        (steady(0.0133), [RateVerdict.SLOW]),  # 16 kHz that is taken for 24
        (steady(0.02 * 4 / 3), [RateVerdict.FAST]),  # 32 kHz that is taken for 24
        (steady(0.015), [RateVerdict.SLOW]),  # 24 kHz that is taken for 32
        (steady(0.04), [RateVerdict.FAST]),  # wideband under the kind of 8 kHz
        (steady(0.03, every=0.03), [RateVerdict.RIGHT]),
        (steady(0.04, every=0.04), [RateVerdict.RIGHT]),
        (steady(0.02, count=90), []),  # too short to be sure
        (steady(0.02, count=60) + steady(0.02, count=150, start=20.0), [RateVerdict.RIGHT]),  # a hold between
        ([(1.5, 5.0), (1.5, 5.0), *steady(0.02, start=5.02)], [RateVerdict.RIGHT]),  # what waited for the connection
        (steady(0.02, every=0.001, count=120) + steady(0.02, start=5.14), [RateVerdict.RIGHT]),  # the same, bit by bit
        (steady(0.02, every=0.001, count=120) + steady(0.04, start=5.14), [RateVerdict.FAST]),
        (steady(0.02, every=0.5), []),  # hardly anything comes
    ],
)
def test_cases(frames: list[tuple[float, float]], verdicts: list[RateVerdict]) -> None:
    assert watch(frames) == verdicts


@given(st.lists(st.floats(0, 0.06), min_size=200, max_size=400))
def test_jitter_and_lost_packets_are_no_wrong_label(delays: list[float]) -> None:
    arrivals = [number * 0.02 + delay for number, delay in enumerate(delays) if number % 20]
    verdicts = watch([(0.02, arrival) for arrival in sorted(arrivals)])
    assert set(verdicts) <= {RateVerdict.RIGHT}


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 100)), max_size=100))
def test_a_verdict_comes_once_at_most_and_not_too_early(frames: list[tuple[float, float]]) -> None:
    ordered = sorted(frames, key=lambda frame: frame[1])
    verdicts = watch(ordered)
    assert len(verdicts) <= 1
    if verdicts:
        assert ordered[-1][1] - ordered[0][1] >= 2 * WATCH_SECONDS
