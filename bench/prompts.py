"""Prompts for simulated calls: 8 kHz as a telephone sends it, with the place of the speech within each."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from adapters.media.g711 import decoder
from adapters.stream import Encoding
from gateway.callers.plan import BYTES_PER_MS
from gateway.demo.score import words
from gateway.demo.script import scripts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FRAME_MS = 20
FRAME_BYTES = FRAME_MS * BYTES_PER_MS
FRAMES_PER_SECOND = 1000 // FRAME_MS

QUIETEST_SPEECH = 0.02
"""A frame whose RMS is less than this part of the loudest frame's (-34 dB) is a pause, or the file's own silence."""

LONGEST_SECONDS = 10.0
"""Longer prompts would go on long after a run is to end, and nobody talks like that."""


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """One thing said."""

    text: str
    pcm: bytes
    """16-bit mono at 8 kHz, whole frames of 20 ms."""
    first_frame: int
    """The first that holds speech."""
    last_frame: int
    """The last that does."""
    longest_pause_frames: int
    """Within the speech."""

    @property
    def frames(self) -> int:
        """How many frames it takes to say."""
        return len(self.pcm) // FRAME_BYTES

    @property
    def speech_frames(self) -> int:
        """How long it is without the silence around it."""
        return self.last_frame - self.first_frame + 1


def make_prompt(text: str, pcm: bytes) -> Prompt:
    """Find the speech in a prompt. Raises ValueError where there is none."""
    whole = pcm + bytes(-len(pcm) % FRAME_BYTES)
    samples = np.frombuffer(whole, "<i2").astype(np.float64).reshape(-1, FRAME_BYTES // 2)
    loudness = np.sqrt(np.mean(samples**2, axis=1)) if len(samples) else np.zeros(1)
    if not loudness.any():
        raise ValueError("there is nothing but silence in it")
    speech = np.flatnonzero(loudness >= QUIETEST_SPEECH * loudness.max())
    return Prompt(
        text=text,
        pcm=whole,
        first_frame=int(speech[0]),
        last_frame=int(speech[-1]),
        longest_pause_frames=int(np.diff(speech).max(initial=1)) - 1,
    )


def trimmed(prompt: Prompt) -> Prompt:
    """Cut the silence around a prompt off."""
    speech = prompt.pcm[prompt.first_frame * FRAME_BYTES : (prompt.last_frame + 1) * FRAME_BYTES]
    return make_prompt(prompt.text, speech)


def read_prompts(speech: Path | None) -> tuple[Prompt, ...]:
    """Read the prompts of a directory (`dev.tsv`: file, seconds, text; `dev/`: raw mu-law at 8 kHz), or those shipped.

    Leaves out what takes longer than ten seconds. Raises ValueError, which names the file and what is wrong.
    """
    found = [each for each in (_shipped() if speech is None else _directory(speech)) if words(each.text)]
    prompts = tuple(each for each in found if each.frames <= LONGEST_SECONDS * FRAMES_PER_SECOND)
    if not prompts:
        raise ValueError(f"{speech}: expected prompts of at most {LONGEST_SECONDS:g} seconds in dev.tsv")
    return prompts


def _shipped() -> Iterator[Prompt]:
    for script in scripts():
        for each in script.prompts:
            yield make_prompt(each.text, script.pcm[each.start_ms * BYTES_PER_MS : each.end_ms * BYTES_PER_MS])


def _directory(speech: Path) -> Iterator[Prompt]:
    decode = decoder(Encoding.PCMU)
    try:
        with (speech / "dev.tsv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file, delimiter="\t"))[1:]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{speech / 'dev.tsv'}: expected a table of file, seconds and text: {error}") from error
    for number, row in enumerate(rows, 2):
        try:
            name, _seconds, text = row
            yield make_prompt(text, decode((speech / "dev" / name).read_bytes()))
        except (OSError, ValueError) as error:
            raise ValueError(f"{speech / 'dev.tsv'}:{number}: {error}") from error
