from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.windows import LONGEST_SECONDS, STEPS_SECONDS, Windows, frames

BASE = Windows.of("base", full=False)


@pytest.mark.parametrize(
    ("audio_seconds", "window"),
    [(0.0, 7.0), (5.0, 7.0), (5.1, 8.0), (9.0, 12.0), (27.9, 30.0), (30.0, 30.0)],
)
def test_the_window_follows_the_audio_above_a_floor(audio_seconds: float, window: float) -> None:
    assert BASE.first(audio_seconds) == window


def test_a_model_has_its_own_floor_and_one_that_was_not_measured_a_careful_one() -> None:
    assert Windows.of("tiny.en", full=False).first(1.0) == 10.0
    assert Windows.of("somebody/some-model", full=False).first(1.0) == 10.0


def test_full_is_thirty_seconds_for_everything() -> None:
    full = Windows.of("base", full=True)
    assert full.first(1.0) == LONGEST_SECONDS
    assert full.wider(1.0, LONGEST_SECONDS) is None


@pytest.mark.parametrize(
    ("audio_seconds", "windows"),
    [(3.0, [7.0, 10.0, 30.0]), (6.0, [8.0, 10.0, 30.0]), (11.0, [15.0, 30.0]), (21.0, [25.0, 30.0]), (29.0, [30.0])],
)
def test_a_second_look_is_wider_and_a_third_whole(audio_seconds: float, windows: list[float]) -> None:
    looked = [BASE.first(audio_seconds)]
    while (wider := BASE.wider(audio_seconds, looked[-1])) is not None:
        looked.append(wider)
    assert looked == windows


@given(audio_seconds=st.floats(0, 30), floor=st.floats(1, 30), margin=st.floats(0, 5))
def test_every_look_holds_the_audio_and_there_are_few(audio_seconds: float, floor: float, margin: float) -> None:
    windows = Windows(floor_seconds=floor, margin_seconds=margin)
    looked = [windows.first(audio_seconds)]
    while (wider := windows.wider(audio_seconds, looked[-1])) is not None:
        looked.append(wider)
    assert looked == sorted(set(looked))
    assert len(looked) <= 3
    assert looked[-1] == LONGEST_SECONDS
    assert all(window >= audio_seconds and window in STEPS_SECONDS for window in looked)
    assert frames(looked[-1]) == 3000
