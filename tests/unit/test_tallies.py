from __future__ import annotations

from statistics import quantiles as exact

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.histogram import Histogram
from asr.types import ModelErrorCode, Reason
from gateway.tallies import MOST_RECENT, RECENT_SECONDS, Quantiles, Ratios, Recent, Tallies


def test_values_are_counted_by_their_size() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.5):
        histogram.add(value)
    histogram.add(2.0, 3)
    assert histogram.buckets() == [("1.0", 2), ("2.0", 6), ("+Inf", 7)]
    assert histogram.sum == 11.5


@given(st.lists(st.floats(0, 100)), st.sets(st.floats(0, 100), min_size=1))
def test_each_bucket_holds_what_is_no_larger(values: list[float], bounds: set[float]) -> None:
    histogram = Histogram(sorted(bounds))
    for value in values:
        histogram.add(value)
    assert histogram.buckets()[:-1] == [(str(b), sum(v <= b for v in values)) for b in sorted(bounds)]
    assert histogram.buckets()[-1] == ("+Inf", len(values))


def test_old_values_are_forgotten() -> None:
    recent = Recent()
    recent.add(0.0, 9.0)
    recent.add(100.0, 1.0)
    assert recent.quantiles(RECENT_SECONDS) == Quantiles(count=2, p50_ms=9000, p95_ms=9000)
    assert recent.quantiles(RECENT_SECONDS + 1) == Quantiles(count=1, p50_ms=1000, p95_ms=1000)
    assert recent.quantiles(2 * RECENT_SECONDS) == Quantiles(count=0, p50_ms=None, p95_ms=None)


def test_of_very_many_the_newest_are_kept() -> None:
    recent = Recent()
    for number in range(MOST_RECENT + 10):
        recent.add(0.0, float(number))
    assert min(recent.since(0.0)) == 10


@given(st.lists(st.floats(0, 10), min_size=2, max_size=200))
def test_quantiles_lie_between_their_neighbours(values: list[float]) -> None:
    recent = Recent()
    for value in values:
        recent.add(0.0, value)
    told = recent.quantiles(0.0)
    assert told.p50_ms is not None
    assert told.p95_ms is not None
    assert min(values) * 1000 - 1 <= told.p50_ms <= told.p95_ms <= max(values) * 1000 + 1
    assert told.p95_ms >= exact(values, n=100, method="inclusive")[93] * 1000 - 1


def test_what_became_of_utterances() -> None:
    tallies = Tallies()
    assert tallies.ratios(0.0) == Ratios(count=0, success=None, timeout=None)
    tallies.final(0.0, 0.4)
    tallies.suppress(0.0, Reason.MUSIC)
    tallies.fail(0.0, ModelErrorCode.DEADLINE)
    tallies.fail(0.0, ModelErrorCode.FAILED)
    assert tallies.ratios(0.0) == Ratios(count=4, success=0.5, timeout=0.25)
    assert tallies.recent_finals(0.0).p50_ms == 400
    assert (tallies.suppressed[Reason.MUSIC], tallies.failed[ModelErrorCode.DEADLINE]) == (1, 1)


def test_what_is_shown_first_is_timed() -> None:
    tallies = Tallies()
    tallies.first_interim(5.0, 0.9)
    assert tallies.first_interims.buckets()[-1] == ("+Inf", 1)
    assert tallies.recent_first_interims(5.0) == Quantiles(count=1, p50_ms=900, p95_ms=900)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_histogram_without_values_has_none(share: float) -> None:
    assert Histogram((share,)).buckets() == [(str(share), 0), ("+Inf", 0)]
