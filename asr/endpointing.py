"""Where utterances begin and end, decided from voiced and unvoiced blocks alone. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

ONSET_SLACK_BLOCKS = 5
"""Speech may begin with pauses: the minimum is looked for in a window so much longer than itself."""

RUN_BLOCKS = 2
"""A single voiced block in silence is a click; it takes two in a row to go on speaking."""


class Began(msgspec.Struct, frozen=True):
    """Speech began at this block, counted from the track's first."""

    block: int


class Ended(msgspec.Struct, frozen=True):
    """Speech was last heard in this block."""

    last_voiced: int


class Endpointer:
    """Follows one track. `minimum_blocks` of speech begin an utterance, `hangover_blocks` of silence end it."""

    def __init__(self, *, minimum_blocks: int, hangover_blocks: int) -> None:
        self._minimum = minimum_blocks
        self.hangover_blocks = hangover_blocks
        """May be changed at any time."""
        self._recent: deque[bool] = deque(maxlen=minimum_blocks + ONSET_SLACK_BLOCKS)
        self._block = -1
        self._run = 0
        self._last_voiced = -1
        self._speaking = False

    @property
    def last_voiced(self) -> int:
        """The block in which speech was last heard."""
        return self._last_voiced

    @property
    def silent_blocks(self) -> int:
        """How long ago that was."""
        return self._block - self._last_voiced

    def push(self, voiced: bool) -> Began | Ended | None:  # noqa: FBT001  the one thing a block is
        """Take the next block's verdict."""
        self._block += 1
        self._run = self._run + 1 if voiced else 0
        return self._while_speaking() if self._speaking else self._while_silent(voiced)

    def finish(self) -> Ended | None:
        """End an utterance that is open, because nothing more will come."""
        return self._end() if self._speaking else None

    def _while_silent(self, voiced: bool) -> Began | None:  # noqa: FBT001
        self._recent.append(voiced)
        if not voiced or sum(self._recent) < self._minimum:
            return None
        self._speaking = True
        self._last_voiced = self._block
        first = self._block - len(self._recent) + 1 + self._recent.index(True)
        self._recent.clear()
        return Began(first)

    def _while_speaking(self) -> Ended | None:
        if self._run >= RUN_BLOCKS:
            self._last_voiced = self._block
        return self._end() if self.silent_blocks >= self.hangover_blocks else None

    def _end(self) -> Ended:
        self._speaking = False
        return Ended(self._last_voiced)


def quietest(levels: Sequence[int], first: int, width: int) -> int:
    """Find where to cut: the middle of the quietest `width` blocks among `levels[first:]`.

    The result is an index of `levels`; of equally quiet places the latest is taken.
    """
    sums = [sum(levels[start : start + width]) for start in range(first, len(levels) - width + 1)]
    if not sums:
        return len(levels)
    best = min(range(len(sums)), key=lambda index: (sums[index], -index))
    return first + best + width // 2
