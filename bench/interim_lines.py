"""What is said to measure interims: prompts one by one, and joined into utterances that do not pause. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from bench.prompts import FRAME_BYTES, FRAME_MS, Prompt, make_prompt, trimmed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

LEAD_FRAMES = 25
BEHIND_FRAMES = 50
"""Silence before what is said, and behind it: that is longer than any hangover."""

LONGEST_GAP_FRAMES = 12
"""240 ms: shorter than any hangover."""

QUIETEST = 0.05
"""What is quieter than this part of a prompt's loudest frame may be a pause."""

SHORTEST_SECONDS, LONGEST_SECONDS = 20.0, 28.0
"""An utterance may last thirty seconds."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What is said on one call."""

    text: str
    pcm: bytes
    """16-bit mono at 8 kHz, whole frames of 20 ms, with silence around."""
    onset_ms: int
    """Where speech begins."""

    @property
    def audio_ms(self) -> int:
        """How long it takes."""
        return len(self.pcm) // FRAME_BYTES * FRAME_MS


def single(prompt: Prompt) -> Line:
    """Let a prompt be said alone, as it is."""
    return _line([prompt], prompt.first_frame)


def joined(prompts: Sequence[Prompt], rng: Random) -> Iterator[Line]:
    """Join prompts, in another order, into utterances of 20 to 28 seconds; those that do not fill one are left out."""
    shortest, longest = (seconds * 1000 / FRAME_MS for seconds in (SHORTEST_SECONDS, LONGEST_SECONDS))
    taken: list[Prompt] = []
    frames = 0
    for prompt in map(fluent, rng.sample(prompts, len(prompts))):
        if frames + prompt.frames > longest:
            continue
        taken.append(prompt)
        frames += prompt.frames + LONGEST_GAP_FRAMES
        if frames >= shortest:
            yield _line(taken, 0)
            taken, frames = [], 0


def fluent(prompt: Prompt) -> Prompt:
    """Cut the silence around a prompt off, and its pauses short."""
    speech = trimmed(prompt)
    frames = np.frombuffer(speech.pcm, "<i2").reshape(-1, FRAME_BYTES // 2)
    loudness = np.sqrt(np.mean(frames.astype(np.float64) ** 2, axis=1))
    kept, pause = [], 0
    for frame, loud in zip(frames, loudness >= QUIETEST * loudness.max(), strict=True):
        pause = 0 if loud else pause + 1
        if pause <= LONGEST_GAP_FRAMES:
            kept.append(frame.tobytes())
    return make_prompt(prompt.text, b"".join(kept))


def _line(prompts: Sequence[Prompt], first_frame: int) -> Line:
    said = bytes(LONGEST_GAP_FRAMES * FRAME_BYTES).join(each.pcm for each in prompts)
    return Line(
        text=" ".join(each.text for each in prompts),
        pcm=bytes(LEAD_FRAMES * FRAME_BYTES) + said + bytes(BEHIND_FRAMES * FRAME_BYTES),
        onset_ms=(LEAD_FRAMES + first_frame) * FRAME_MS,
    )
