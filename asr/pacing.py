"""When to decode what is still being said: interims while somebody speaks, a final on trial when they pause. Pure."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

from asr.pressure import Level
from asr.speech import TAIL_BLOCKS
from asr.vad import BLOCK_MS

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.settings import Interims

FIRST_MS = 300
"""So much of an utterance is the least that a first interim can be made of."""

PAUSE_BLOCKS = TAIL_BLOCKS
"""After so much silence what was said is decoded on trial: the audio is the same that it will be at the end."""

NEAR_MS = 1500
"""So long before the audio of an interim is as long as it may be, the times of its words are told, to cut it there."""


class Step(StrEnum):
    """What is worth doing now."""

    INTERIM = "interim"
    PAUSE = "pause"
    GO_ON = "go on"


class Pacer:
    """Follows the utterances of one track, block by block of 20 ms. Without settings for them there are no interims."""

    def __init__(self, interims: Interims | None) -> None:
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
        if self._interims is None or self._paused or spoken_ms < self._next_ms:
            return None
        pressed = level()
        eased = pressed is Level.NORMAL
        self._next_ms = spoken_ms + (self._interims.cooldown_ms if eased else self._interims.elevated_cooldown_ms)
        return Step.INTERIM if pressed < Level.CRITICAL else None


def tail_ms(interims: Interims, level: Level) -> int:
    """Tell how much audio an interim hears at most."""
    return interims.tail_ms if level is Level.NORMAL else interims.elevated_tail_ms


class Fullness(IntEnum):
    """How near the audio of an interim is to as much as one may hear."""

    ROOM = 0
    NEAR = 1
    """Some of it is to be let go of, where that does no harm."""
    FULL = 2
    """Some of it has to be."""


def fullness(audio_ms: int, interims: Interims, level: Level) -> Fullness:
    """Tell how near so much audio is."""
    longest_ms = tail_ms(interims, level)
    if audio_ms + BLOCK_MS > longest_ms:
        return Fullness.FULL
    return Fullness.NEAR if audio_ms > longest_ms - NEAR_MS else Fullness.ROOM
