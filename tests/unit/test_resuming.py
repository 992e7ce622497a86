from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.stream import AudioFormat, AudioFrame, Encoding
from gateway.resuming import HOLD_SECONDS, Resuming

SLIN = AudioFormat(Encoding.L16, 8_000)


def frame(number: int, track: str = "x") -> AudioFrame:
    return AudioFrame(track, SLIN, number.to_bytes(2, "little") * 160)


def test_it_is_over_after_a_moment() -> None:
    resuming = Resuming(10.0)
    assert not resuming.is_over(10.0 + HOLD_SECONDS - 0.01)
    assert resuming.is_over(10.0 + HOLD_SECONDS)


def test_what_comes_in_time_is_kept_whole() -> None:
    resuming = Resuming(10.0)
    for number in range(20):
        resuming.hold(frame(number), 10.021 + number * 0.02)
    assert [held for held, _ in resuming.frames] == [frame(number) for number in range(20)]


def test_of_a_burst_the_newest_is_kept_as_much_as_has_passed() -> None:
    resuming = Resuming(10.0)
    for number in range(100):
        resuming.hold(frame(number), 10.1001)
    assert [held for held, _ in resuming.frames] == [frame(number) for number in range(95, 100)]


def test_one_speakers_burst_takes_nothing_from_another() -> None:
    resuming = Resuming(10.0)
    resuming.hold(frame(1, "y"), 10.03)
    for number in range(100):
        resuming.hold(frame(number), 10.0401)
    assert [held.track for held, _ in resuming.frames] == ["y", "x", "x"]


@given(late=st.lists(st.integers(0, 30), min_size=1, max_size=60), before=st.integers(0, 40))
def test_nothing_from_before_is_kept_and_nothing_after_is_lost(late: list[int], before: int) -> None:
    """Frame n is spoken from n to n + 1, frame times; it arrives, in order, at some time after that."""
    resuming = Resuming(before * 0.02)
    arrived = 0
    for number, delay in enumerate(late):
        arrived = max(arrived, number + 1 + delay)
        if arrived > before:
            resuming.hold(frame(number), arrived * 0.02 + 1e-9)
    kept = {int.from_bytes(held.payload[:2], "little") for held, _ in resuming.frames}
    newest = max(kept, default=-1)
    assert kept == set(range(newest - len(kept) + 1, newest + 1)), "the newest, without a hole"
    if arrived > before and late[-1] == 0 and arrived == len(late):  # what was under way has come
        assert kept >= {number for number in range(len(late)) if number >= before}
        assert all(number >= before for number in kept)


@pytest.mark.parametrize("payload", [b"", b"\0\0"])
def test_frames_of_hardly_any_sound_are_no_trouble(payload: bytes) -> None:
    resuming = Resuming(10.0)
    for _ in range(50):
        resuming.hold(AudioFrame("x", SLIN, payload), 10.0)
    assert len(resuming.frames) in {0, 50}
