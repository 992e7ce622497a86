"""Short answers, as callers give them: words cut from prompts, and words, letters and digits spoken by espeak-ng."""

from __future__ import annotations

import io
import subprocess
import wave
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from scipy import signal

from asr.types import DecodeOptions
from bench.line import decode, utterances
from bench.noises import RATE_HZ
from gateway.demo.score import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from asr.transcriber import Transcriber
    from asr.types import Word
    from bench.noises import Samples
    from bench.utterances import Utterance

SPOKEN = (
    "yes no okay yeah nope sure right one two three four five six seven eight nine zero oh ten hello stop help agent"
    " operator please thanks maybe true false left monday friday hi bye what who me you"
    " A B C D E F G H I J K L M N O P Q R S T U V W X Y Z"
)
VOICES = ("en-us", "en-gb", "en-gb-scotland", "en-us+f2", "en-us+f4", "en-us+m3", "en-us+m7")
ESPEAK = "espeak-ng"

SHORTEST_MS = 160
"""What takes less time is a part of its neighbours, such as an article."""

CLEAR = 0.5
"""A word of which the model is less confident may not be where it says."""

AROUND_MS = 40
FADE = 80
"""Samples over which a cut fades in and out, for it not to click."""

PAUSE_SECONDS = 1.0
PEAK = 16_000.0
"""Half of full scale."""

LEVELS = ((0.0, 0.0), (0.0, 8.0), (-20.0, 0.0), (-20.0, 8.0))
"""How answers come: gain in dB, RMS of the line's noise."""

ALIKE = {"okay": "ok", "oh": "o", "zero": "0", "yeah": "yes"}
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


class Answer(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One word said."""

    name: str
    text: str
    samples: Samples


def cut_words(name: str, samples: Samples, found: Sequence[Word]) -> Iterator[Answer]:
    """Cut the clear words out of a prompt of 8 kHz samples."""
    for word in found:
        if word.end_ms - word.start_ms >= SHORTEST_MS and word.confidence >= CLEAR:
            start, end = (round(ms * RATE_HZ / 1000) for ms in (word.start_ms - AROUND_MS, word.end_ms + AROUND_MS))
            part = samples[max(0, start) : end]
            yield Answer(name=f"{name}@{word.start_ms}", text=word.text, samples=part * _faded(len(part)))


def spoken_words(voices: Sequence[str] = VOICES) -> Iterator[Answer]:
    """Let espeak-ng say each word in each voice. Raises FileNotFoundError where it is not installed."""
    for voice in voices:
        for word in SPOKEN.split():
            said = subprocess.run([ESPEAK, "-v", voice, "--stdout", word], check=True, capture_output=True).stdout  # noqa: S603
            yield Answer(name=f"{ESPEAK} {voice}", text=word, samples=_telephone(said))


def _telephone(data: bytes) -> Samples:
    """Read what espeak-ng writes, at the rate of a telephone."""
    with wave.open(io.BytesIO(data)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64)
        return np.asarray(signal.resample_poly(samples, RATE_HZ, file.getframerate()), np.float64)


def from_prompts(model: Transcriber, prompts: Iterable[Utterance]) -> Iterator[Answer]:
    """Cut prompts into words, where a model says that they are."""
    said = list(prompts)
    answers = decode(model, [prompt.audio for prompt in said], DecodeOptions(word_times=True))
    for prompt, heard in zip(said, answers, strict=True):
        samples = np.frombuffer(prompt.audio, "<i2").astype(np.float64)[::2]  # it came from 8 kHz
        yield from cut_words(prompt.name, samples, heard.words)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an answer."""

    name: str
    said: str
    gain_db: float
    hiss: float
    heard: str
    """All finals of it, together."""
    reason: str | None
    """Why there is none."""


def ask(model: Transcriber, answers: Sequence[Answer], gain_db: float, hiss: float) -> Iterator[Outcome]:
    """Send every answer over a line of its own, and see what is published."""
    rng = np.random.default_rng(7)
    found = [list(utterances(on_a_line(each, gain_db, hiss, rng))) for each in answers]
    heard = iter(decode(model, [utterance.audio for each in found for utterance in each]))
    for answer, parts in zip(answers, found, strict=True):
        finals = [next(heard) for _ in parts]
        reasons = [final.suppressed.reason for final in finals if final.suppressed]
        text = " ".join(final.text for final in finals if final.text)
        yield Outcome(
            name=answer.name,
            said=answer.text,
            gain_db=gain_db,
            hiss=hiss,
            heard=text,
            reason=None if text else reasons[0] if reasons else "no utterance",
        )


def on_a_line(answer: Answer, gain_db: float, hiss: float, rng: np.random.Generator) -> Samples:
    """Put an answer between two pauses, its loudest sample at half of full scale and the gain; add the line's noise."""
    loud = answer.samples / max(1.0, float(np.abs(answer.samples).max())) * PEAK * 10 ** (gain_db / 20)
    pause = np.zeros(round(PAUSE_SECONDS * RATE_HZ))
    placed = np.concatenate([pause, loud, pause])
    return placed + rng.normal(0, hiss, len(placed))


def is_right(said: str, heard: str) -> bool:
    """Tell whether the same was heard, however a number or a letter is written."""
    return [_plain(word) for word in words(said)] == [_plain(word) for word in words(heard)]


def _plain(word: str) -> str:
    return ALIKE.get(word, str(NUMBERS.index(word)) if word in NUMBERS else word)


def _faded(count: int) -> Samples:
    shape = np.ones(count)
    ramp = np.linspace(0, 1, min(FADE, count // 4))
    shape[: len(ramp)] = ramp
    shape[count - len(ramp) :] = ramp[::-1]
    return shape
