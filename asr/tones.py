"""Tones and music, told from noise by their spectrum. For the audio of an utterance, never for frames.

A tone - ringback, busy, a key, a fax, a beep - lies in few frequencies and stays there. Music is as steady, and richer;
noise changes all the time. So does speech, but not in every vowel: this is for audio in which little speaks for speech.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from asr.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

WINDOW = 2048
"""128 ms: lines 8 Hz apart, so that two tones of a telephone's are two."""

HOP = WINDOW // 4
BAND_HZ = (60, 3900)
QUIET = 1e-3
"""A window with less than this part of the loudest one's energy is a pause."""

FEW_LINES = 16
"""Two tones lie in five lines or so, and hardly a voice in so few ..."""

MOST_ENERGY = 0.9
"""... where this part of the energy is, and in this part of the time."""

STEADY = 0.9
"""How alike the spectra of a tone are, one after the other; of noise it is 0.7, of most words 0.5 to 0.9."""

STILL = 0.985
"""What is so much alike nearly all the time is no voice; of 1,500 short words none is even half of the time."""

NEARLY_ALL = 0.9

MUSICAL = 0.85
MUSIC_SECONDS = 1.0


class Sound(StrEnum):
    """What is heard, if it is not speech."""

    DRONE = "drone"
    """It does not change at all: ringback, hum."""
    TONE = "tone"
    MUSIC = "music"
    NOISE = "noise"


def kind_of_sound(audio: bytes) -> Sound:
    """Name what 16-bit PCM at 16 kHz sounds like."""
    power = _spectra(np.frombuffer(audio, "<i2").astype(np.float64))
    energy = power.sum(axis=1)
    active = energy > QUIET * energy.max(initial=0.0)
    if not active.any():
        return Sound.NOISE
    power, energy = power[active], energy[active]
    likenesses = _likenesses(power)
    if np.quantile(likenesses, 1 - NEARLY_ALL) >= STILL:
        return Sound.DRONE
    likeness = float(np.median(likenesses))
    if likeness >= STEADY and _narrow_part(power, energy) >= MOST_ENERGY:
        return Sound.TONE
    long_enough = len(audio) >= MUSIC_SECONDS * SAMPLE_RATE_HZ * 2
    return Sound.MUSIC if likeness >= MUSICAL and long_enough else Sound.NOISE


def _spectra(samples: Array) -> Array:
    """Give the power of each line in the telephone's band, window by window."""
    padded = np.pad(samples, (0, max(0, WINDOW - len(samples))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] * np.hanning(WINDOW)
    first, last = (round(hz * WINDOW / SAMPLE_RATE_HZ) for hz in BAND_HZ)
    power: Array = np.abs(np.fft.rfft(windows, axis=1)[:, first:last]) ** 2
    return power


def _narrow_part(power: Array, energy: Array) -> float:
    """Tell what part of the energy comes at times when most of it lies in few lines."""
    strongest = np.partition(power, -FEW_LINES, axis=1)[:, -FEW_LINES:].sum(axis=1)
    return float(energy[strongest >= MOST_ENERGY * energy].sum() / energy.sum())


def _likenesses(power: Array) -> Array:
    """Compare each spectrum with the next: their cosines."""
    shape = power / np.linalg.norm(power, axis=1, keepdims=True)
    return np.asarray((shape[1:] * shape[:-1]).sum(axis=1)) if len(shape) > 1 else np.zeros(1)
