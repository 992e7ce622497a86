"""Whether two channels carry the same sound: then one was said to be two, or both sides were forked as one. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SOUND_SECONDS = 3.0
"""So much must be heard before it is decided."""

QUIET = 200.0
"""Samples below this, on the average, are no sound that tells anything."""

SAME = 0.8
"""Above so much correlation it is the same sound. Two speakers have next to none, a loud echo half of it; the even and
the odd samples of one have 0.9 and more."""


class Alike:
    """Watches two channels until it is sure. It looks once a second: for each message that would cost too much."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._left = SOUND_SECONDS * rate_hz
        self._unseen: list[NDArray[np.int16]] = []
        self._unseen_samples = 0
        self._sums = np.zeros(3)
        """Of the products of both channels, and of each with itself."""

    @property
    def decided(self) -> bool:
        """Whether there is nothing more to be found out."""
        return self._left <= 0

    def push(self, pairs: NDArray[np.int16]) -> bool:
        """Take what both channels hold, sample by sample in turn; tell True, once, when it is the same."""
        self._unseen.append(pairs)
        self._unseen_samples += len(pairs)
        if self._unseen_samples < 2 * self._rate_hz:
            return False
        seen = np.concatenate(self._unseen)
        self._unseen, self._unseen_samples = [], 0
        return self._look(seen[::2].astype(np.float64), seen[1::2].astype(np.float64))

    def _look(self, first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
        products = np.array([first @ second, first @ first, second @ second])
        if max(products[1:]) < QUIET**2 * len(first):
            return False
        self._sums += products
        self._left -= len(first)
        both, one, other = self._sums
        return self.decided and bool(both > SAME * math.sqrt(one * other))
