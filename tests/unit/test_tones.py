from __future__ import annotations

import audioop
from typing import TYPE_CHECKING

import numpy as np
import pytest

from asr.tones import Sound, kind_of_sound
from bench.line import pcm
from bench.noises import CADENCES, noises, tone
from tests.sound import SHORT_ANSWERS, blocks, prompt, short_answer

if TYPE_CHECKING:
    from bench.noises import Samples

SECONDS = 6.0


def heard(samples: Samples) -> bytes:
    """Bring 8 kHz samples to 16 kHz by way of mu-law."""
    return b"".join(blocks(audioop.ulaw2lin(audioop.lin2ulaw(pcm(samples), 2), 2)))


@pytest.mark.parametrize("name", sorted({*CADENCES} - {"call waiting"} | {"keys pressed", "beeps", "mains hum"}))
@pytest.mark.parametrize("gain", [1.0, 0.1])
def test_tones_of_a_telephone_are_tones(name: str, gain: float) -> None:
    clip = next(each for each in noises(SECONDS) if each.name == name)
    assert kind_of_sound(heard(clip.samples * gain)) in {Sound.TONE, Sound.DRONE}


@pytest.mark.parametrize("seconds", [0.12, 0.4, 1.0])
def test_one_beep_is_enough(seconds: float) -> None:
    pause = np.zeros(3200)
    sound = kind_of_sound(heard(np.concatenate([pause, tone((1000,), seconds), pause])))
    assert sound in {Sound.TONE, Sound.DRONE}


@pytest.mark.parametrize("name", sorted(each.name for each in noises(1.0) if "noise" in each.name))
def test_noise_is_noise(name: str) -> None:
    clip = next(each for each in noises(SECONDS) if each.name == name)
    assert kind_of_sound(heard(clip.samples)) is Sound.NOISE


def test_chords_that_follow_one_another_are_music() -> None:
    chords = [(220, 277, 330, 440, 554), (247, 311, 370, 494, 622), (196, 247, 294, 392, 494)]
    rich = [tuple(n * hz for hz in chord for n in (1, 2, 3, 4)) for chord in chords]
    tune = np.concatenate([tone(each, 0.6, 20_000.0) for each in rich * 3])
    assert kind_of_sound(heard(tune)) is Sound.MUSIC


@pytest.mark.parametrize("name", SHORT_ANSWERS)
def test_words_are_not_tones(name: str) -> None:
    sound = kind_of_sound(heard(np.frombuffer(short_answer(name), "<i2").astype(float)))
    assert sound not in {Sound.TONE, Sound.DRONE}


def test_a_sentence_is_neither_tone_nor_music() -> None:
    assert kind_of_sound(heard(np.frombuffer(prompt("vm-sorry"), "<i2").astype(float))) is Sound.NOISE


@pytest.mark.parametrize("samples", [0, 1, 100, 5000])
def test_silence_of_any_length_is_no_tone(samples: int) -> None:
    assert kind_of_sound(bytes(2 * samples)) is Sound.NOISE
