"""When to decode what is still being said: interims while somebody speaks, a final on trial when they pause. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from asr.pressure import Level
from asr.speech import TAIL_BLOCKS
from asr.vad import BLOCK_MS

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_MS = 300
"""So much of an utterance is the least that a first interim can be made of."""

COOLDOWN_MS = {Level.NORMAL: 220, Level.ELEVATED: 800, Level.CRITICAL: 800}
"""The least time from one interim to the next; where it is critical there is none, and it is looked at again then."""

TAIL_MS = {Level.NORMAL: 7_000, Level.ELEVATED: 4_000, Level.CRITICAL: 4_000}
"""An interim hears no more of its utterance than the last so much."""

PAUSE_BLOCKS = TAIL_BLOCKS
"""After so much silence what was said is decoded on trial: the audio is the same that it will be at the end."""


class Step(StrEnum):
    """What is worth doing now."""

    INTERIM = "interim"
    PAUSE = "pause"
    GO_ON = "go on"


class Pacer:
    """Follows the utterances of one track, block by block of 20 ms."""

    def __init__(self, *, interims: bool) -> None:
        self._interims = interims
        self._utterance = 0
        self._next_ms = 0
        self._paused = False

    def step(self, utterance: int, spoken_blocks: int, silent_blocks: int, level: Callable[[], Level]) -> Step | None:
        """Tell what to do about an utterance that is open, which is so long and has been silent for so long."""
        if utterance != self._utterance:
            self._utterance, self._next_ms, self._paused = utterance, FIRST_MS, False
        if not self._paused and silent_blocks == PAUSE_BLOCKS:
            self._paused = True
            return Step.PAUSE
        if self._paused and silent_blocks < PAUSE_BLOCKS:
            self._paused = False
            return Step.GO_ON
        spoken_ms = spoken_blocks * BLOCK_MS
        if not self._interims or self._paused or spoken_ms < self._next_ms:
            return None
        self._next_ms = spoken_ms + COOLDOWN_MS[level()]
        return Step.INTERIM if level() < Level.CRITICAL else None
