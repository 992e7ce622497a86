from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from asr.vad import BLOCK_SAMPLES, voice_detector
from bench.line import pcm
from tests.sound import SHORT_ANSWERS, blocks, prompt, short_answer

SILENCE = [bytes(2 * BLOCK_SAMPLES)] * 50


def quiet(audio: bytes, gain: float) -> list[bytes]:
    """Bring the loud part of 8 kHz PCM to blocks, so much quieter; a recording's own noise would announce the word."""
    samples = np.frombuffer(audio, "<i2").astype(np.float64)
    loud = np.flatnonzero(np.abs(samples) > 0.1 * np.abs(samples).max())
    return blocks(pcm(samples[loud[0] : loud[-1]] * gain))


def voiced(heard: list[bytes]) -> list[bool]:
    """Ask a new detector about one block after the other."""
    detect = voice_detector(2)
    return [detect(block) for block in heard]


@pytest.mark.parametrize("name", SHORT_ANSWERS)
@pytest.mark.parametrize("gain", [1.0, 0.1, 0.03])
def test_a_quiet_word_is_heard_after_digital_silence(name: str, gain: float) -> None:
    word = quiet(short_answer(name), gain)
    assert sum(voiced(SILENCE + word)) >= 0.4 * len(word)


def test_a_quiet_word_is_heard_when_silence_follows_something_loud() -> None:
    loud, after = quiet(prompt("vm-sorry"), 4.0), quiet(short_answer("digits-8"), 0.1)
    assert sum(voiced(loud + SILENCE * 6 + after)[-len(after) :]) >= 0.4 * len(after)


def test_silence_is_not_speech_and_neither_is_what_stands_for_it() -> None:
    assert not any(voiced(SILENCE * 20))


def test_two_tracks_hear_the_same_alike() -> None:
    heard = SILENCE + quiet(prompt("vm-sorry"), 0.2) + SILENCE
    assert all(one == other for one, other in pairwise([voiced(heard) for _ in range(3)]))
