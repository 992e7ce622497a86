"""Hours in which nobody speaks: hold music, tones, noise, silence, as a gateway hears them."""

from __future__ import annotations

import wave
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from bench.line import A_LAW, MOBILE, MU_LAW, Codec, decode, utterances
from bench.noises import RATE_HZ, Clip, noises, pink, resampled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from asr.transcriber import Transcriber
    from bench.noises import Samples

NOISE_SECONDS = 30.0
SAMPLES_PER_MS = 16


class Playing(msgspec.Struct, frozen=True):
    """One way to play the music."""

    gain_db: float
    speed: float
    codec: Codec
    hiss: float
    """RMS of pink noise that is mixed in."""


PLAYINGS = (
    Playing(0, 1.0, MU_LAW, 0),
    Playing(-12, 0.9, A_LAW, 30),
    Playing(-20, 1.1, MU_LAW, 8),
    Playing(-6, 1.0, MOBILE, 0),
)


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an utterance in which nobody spoke."""

    clip: str
    at_ms: int
    text: str
    reason: str | None
    """Why there is no text."""


def clips(music: Sequence[Path], playings: Sequence[Playing], noise_seconds: float) -> Iterator[tuple[Clip, Codec]]:
    """Play all music in each way, then everything else. Raises ValueError for music in another form than 8 kHz."""
    rng = np.random.default_rng(6)
    for playing in playings:
        for file in music:
            samples = resampled(_read(file), playing.speed) * 10 ** (playing.gain_db / 20)
            hiss = pink(rng, len(samples) / RATE_HZ) * playing.hiss
            name = f"{file.stem}, {playing.gain_db:+g} dB, speed {playing.speed:g}, {playing.codec.name}"
            yield Clip(name, samples + hiss), playing.codec
    for clip in noises(noise_seconds):
        for gain_db in (0, -20):
            yield Clip(f"{clip.name}, {gain_db:+d} dB", clip.samples * 10 ** (gain_db / 20)), MU_LAW


def listen(model: Transcriber, heard: Iterable[tuple[Clip, Codec]]) -> Iterator[tuple[float, list[Made]]]:
    """Decode what an utterance was taken from; give each clip's seconds, and what became of its utterances."""
    for clip, codec in heard:
        found = list(utterances(clip.samples, codec))
        answers = decode(model, [each.audio for each in found])
        yield (
            len(clip.samples) / RATE_HZ,
            [
                Made(
                    clip=clip.name,
                    at_ms=utterance.start_sample // SAMPLES_PER_MS,
                    text=answer.text,
                    reason=None if answer.suppressed is None else answer.suppressed.reason,
                )
                for utterance, answer in zip(found, answers, strict=True)
            ],
        )


def _read(path: Path) -> Samples:
    with wave.open(str(path)) as file:
        if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, RATE_HZ):
            raise ValueError(f"{path}: expected 16-bit mono at 8 kHz")
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64)
