from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.evidence import LEAST_CUT_MS, MARGIN_MS, STEP_MS, Strength, evidence, spoken_span

PROBABILITIES = st.lists(st.floats(0, 1, width=32), max_size=300).map(lambda each: np.array(each, np.float32))


def strength(*runs: tuple[float, int]) -> Strength:
    """Weigh runs of so many steps of one probability each."""
    found = np.concatenate([np.full(count, probability, np.float32) for probability, count in runs])
    return evidence(found, len(found) * STEP_MS / 1000).strength


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([(0.02, 900)], Strength.NONE),  # hold music
        ([(0.14, 63)], Strength.NONE),
        ([(0.14, 62)], Strength.WEAK),  # two seconds: a letter may be that unclear
        ([(0.02, 400), (0.2, 1), (0.02, 400)], Strength.WEAK),
        ([(0.02, 20), (0.49, 30)], Strength.WEAK),
        ([(0.02, 20), (0.9, 1), (0.02, 20)], Strength.WEAK),  # a click
        ([(0.02, 12), (0.9, 2), (0.02, 12)], Strength.SOME),  # a short word
        ([(0.02, 12), (0.9, 9), (0.02, 12)], Strength.SOME),
        ([(0.02, 12), (0.9, 10), (0.02, 12)], Strength.STRONG),
        ([(0.02, 400), (0.9, 10), (0.02, 400)], Strength.SOME),  # a moment of music
        ([(0.02, 400), (0.9, 100), (0.02, 400)], Strength.STRONG),
    ],
)
def test_what_was_found_is_weighed(runs: list[tuple[float, int]], expected: Strength) -> None:
    assert strength(*runs) is expected


def test_nothing_speaks_for_speech_in_nothing() -> None:
    nothing = evidence(np.zeros(0, np.float32), 0.0)
    assert (nothing.peak, nothing.voiced_ms, nothing.share) == (0, 0, 0)
    assert spoken_span(np.zeros(0, np.float32)) == (0, 0)


@given(found=PROBABILITIES, more=st.floats(0, 1, width=32))
def test_more_of_a_voice_never_weighs_less(found: np.typing.NDArray[np.float32], more: float) -> None:
    seconds = len(found) * STEP_MS / 1000
    louder = evidence(np.maximum(found, np.float32(more)), seconds)
    assert louder.strength >= evidence(found, seconds).strength


@given(found=PROBABILITIES)
def test_what_is_cut_off_is_no_voice_and_worth_it(found: np.typing.NDArray[np.float32]) -> None:
    start_ms, end_ms = spoken_span(found)
    length_ms = len(found) * STEP_MS
    assert 0 <= start_ms <= end_ms <= length_ms
    cut_off = np.concatenate([found[: start_ms // STEP_MS], found[end_ms // STEP_MS :]])
    before, after = found[: start_ms // STEP_MS], found[end_ms // STEP_MS :]
    for part in (before, after):
        assert not ((part[:-1] >= 0.3) & (part[1:] >= 0.3)).any()
    if evidence(found, 1.0).voiced_ms < 10 * STEP_MS:
        assert cut_off.max(initial=0) < 0.15
    assert len(cut_off) * STEP_MS in {0, *range(LEAST_CUT_MS, length_ms + 1)}


def test_a_margin_is_left_around_a_voice() -> None:
    found = np.concatenate([np.full(count, each, np.float32) for each, count in ((0.01, 100), (0.9, 20), (0.01, 200))])
    assert spoken_span(found) == (100 * STEP_MS - MARGIN_MS, 120 * STEP_MS + MARGIN_MS)
    assert spoken_span(found[80:160]) == (0, 80 * STEP_MS)
    found[0] = found[300] = 0.9  # a click is no voice
    assert spoken_span(found) == (100 * STEP_MS - MARGIN_MS, 120 * STEP_MS + MARGIN_MS)


def test_where_there_is_hardly_a_voice_all_that_may_be_one_is_kept() -> None:
    found = np.full(400, 0.01, np.float32)
    found[50] = found[300] = 0.2
    assert spoken_span(found) == (50 * STEP_MS - MARGIN_MS, 301 * STEP_MS + MARGIN_MS)
