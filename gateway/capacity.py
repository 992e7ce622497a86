"""What a machine can do, from what it took to decode. Pure."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import msgspec

from asr.types import BYTES_PER_MS
from gateway.bearing import FREE_SHARE
from gateway.demo.score import word_errors, words

if TYPE_CHECKING:
    from collections.abc import Sequence


class Utterance(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt."""

    text: str
    audio: bytes
    """16 kHz PCM, as a call brings it: through the gateway's own media path."""

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return len(self.audio) / BYTES_PER_MS / 1000


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One batch that was decoded."""

    seconds: float
    said: tuple[Utterance, ...]
    heard: tuple[str, ...]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of decoding so many at a time."""

    batch: int
    utterances: int
    """That were decoded, all in all; each prompt comes again when all have had their turn."""
    ms_per_utterance: float
    """The median over the batches."""
    audio_seconds_per_second: float
    word_errors: int
    """Of each prompt's first turn."""
    words: int
    """Said in those."""


def batch_sizes(largest: int) -> list[int]:
    """Choose the sizes to try: powers of two, and the largest."""
    return sorted({*(1 << power for power in range(largest.bit_length())), largest})


def outcome(batch: int, rounds: Sequence[Round], prompts: int) -> Outcome:
    """Sum up. Word errors are of the first turn of each of the `prompts`: what is heard again is heard alike."""
    pairs = [pair for each in rounds for pair in zip(each.said, each.heard, strict=True)]
    first = [(words(said.text), words(heard)) for said, heard in pairs[:prompts]]
    seconds = sum(each.seconds for each in rounds)
    return Outcome(
        batch=batch,
        utterances=len(pairs),
        ms_per_utterance=statistics.median(each.seconds / batch for each in rounds) * 1000,
        audio_seconds_per_second=sum(said.seconds for said, _ in pairs) / seconds,
        word_errors=sum(word_errors(said, heard) for said, heard in first),
        words=sum(len(said) for said, _ in first),
    )


def people(outcomes: Sequence[Outcome]) -> int:
    """Tell how many may speak without pause at the same time: what the best batch decodes, less what is kept free."""
    return int(max(each.audio_seconds_per_second for each in outcomes) * (1 - FREE_SHARE))
