from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.media.stamps import HOLES_PER_AUDIO, LONGEST_HOLE_SECONDS, Stamps

STAMPS = st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0.001, 100.0)), max_size=60)


@pytest.mark.parametrize(
    ("zero", "stamps", "holes"),
    [
        (0.0, [0.0, 1.0, 2.0], [0.0, 0.0, 0.0]),
        (None, [50.0, 51.0], [0.0, 0.0]),
        (0.0, [None, None], [0.0, 0.0]),
        (0.0, [0.05, 1.08], [0.0, 0.0]),
        (0.0, [0.0, 4.0, 5.0], [0.0, 3.0, 0.0]),
        (0.0, [0.4, 1.4], [0.4, 0.0]),
        (0.0, [0.0, 0.5, 2.0], [0.0, 0.0, 0.0]),
        (0.0, [0.0, -50.0, -49.0], [0.0, 0.0, 0.0]),
        (0.0, [0.0, 3_601.5, 3_602.5], [0.0, 0.0, 0.0]),
        (0.0, [0.0, 3_000.0, 3_500.0, 6_500.0], [0.0, 2_999.0, 499.0, 0.0]),
    ],
    ids=["even", "any zero", "none", "uneven", "hole", "late", "back", "anew", "leap", "too many"],
)
def test_a_second_of_audio_after_each_stamp(zero: float | None, stamps: list[float | None], holes: list[float]) -> None:
    clock, found = Stamps(zero), []
    for stamp in stamps:
        found.append(clock.hole(stamp))
        clock.place(1.0)
    assert found == pytest.approx(holes)
    assert clock.seconds == pytest.approx(len(stamps) + sum(holes))


def test_what_is_not_there_yet_is_no_gap() -> None:
    clock = Stamps(0.0)
    assert clock.hole(2.0) == 2.0
    clock.place(1.0)
    assert clock.gap_seconds == 0.0
    assert clock.hole(5.0) == 2.0
    assert clock.gap_seconds == 2.0


def test_the_first_hole_too_many_is_told() -> None:
    clock = Stamps(0.0)
    for stamp in (0.0, 3_000.0, 6_000.0, 9_000.0):
        clock.hole(stamp)
        clock.place(1.0)
    assert clock.astray_seconds == 3_001.0


@given(STAMPS)
def test_whatever_the_stamps_silence_has_a_bound_and_audio_is_never_moved_back(
    frames: list[tuple[float, float]],
) -> None:
    clock, audio, silence = Stamps(None), 0.0, 0.0
    for stamp, seconds in frames:
        before = clock.seconds
        hole = clock.hole(stamp)
        assert hole >= 0.0
        silence += hole
        assert silence <= LONGEST_HOLE_SECONDS + HOLES_PER_AUDIO * audio + 1e-6
        clock.place(seconds)
        audio += seconds
        assert clock.seconds == pytest.approx(before + hole + seconds)
    assert clock.gap_seconds <= silence + 1e-6
