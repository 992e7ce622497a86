"""Word errors of the same prompts, decoded in several ways, held against one another. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

RESAMPLES = 10_000
CONFIDENCE = 0.95


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """How many points of word error rate one way costs more than another."""

    points: float
    low: float
    high: float
    """Of the interval of 95 %, by the bootstrap."""

    def holds(self, goal_points: float) -> tuple[bool, bool]:
        """Tell whether the estimate is within a goal, and whether the interval's upper end is."""
        return self.points <= goal_points, self.high <= goal_points


def rate(errors: Sequence[float], said: Sequence[int]) -> float:
    """Tell the word error rate in percent: all errors over all words."""
    return 100 * sum(errors) / sum(said)


def paired_difference(more: Sequence[float], less: Sequence[float], said: Sequence[int], *, seed: int) -> Difference:
    """Compare the errors of two ways on the same prompts, which have `said` words each.

    The interval is of prompts drawn anew, both ways together: a hard prompt is hard for both.
    """
    gained, counted = np.subtract(more, less), np.asarray(said)
    random = np.random.default_rng(seed)
    drawn = random.integers(0, len(counted), (RESAMPLES, len(counted)))
    points = 100 * gained[drawn].sum(axis=1) / counted[drawn].sum(axis=1)
    low, high = np.quantile(points, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Difference(
        points=round(rate(more, said) - rate(less, said), 3), low=round(float(low), 3), high=round(float(high), 3)
    )
