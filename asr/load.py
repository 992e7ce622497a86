"""What the lanes have been at, and so how long it will be until one is free. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from asr.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asr.types import DecodeKind

WEIGHT = 0.2
"""Of the latest batch in what a request is thought to cost: the older, the less it counts."""


BATCH_SECONDS = 0.3
"""What comes while a batch is decoded is to wait for no longer, more or less ..."""

MANY_SECONDS = 1.0
"""... unless so many finals wait that it has to wait anyway."""

LEAST_BATCH = 2
"""So many are always worth decoding together."""


class _Batch(msgspec.Struct, frozen=True):
    begun_at: float
    requests: int
    kind: DecodeKind


class Load:
    """Follows the lanes of an engine, by their numbers."""

    def __init__(self) -> None:
        self._running: dict[int, _Batch] = {}
        self._costs: dict[int, float] = {}
        """Seconds a request, by lane."""
        self.tally = Tally()
        """All of it."""

    def begin(self, lane: int, now: float, requests: int, kind: DecodeKind) -> None:
        """Note that a batch begins, of requests of one kind."""
        self._running[lane] = _Batch(now, requests, kind)

    def end(self, lane: int, now: float, answered: int, retries: int = 0) -> float:
        """Note that a lane's batch has come to its end, how many of it were answered, and how many decoded again.

        Give the seconds that it took.
        """
        batch = self._running.pop(lane)
        seconds = now - batch.begun_at
        self.tally.add(batch.kind, batch.requests, answered=answered, retries=retries, seconds=seconds)
        if answered:
            cost = seconds / answered
            self._costs[lane] = self._costs.get(lane, cost) * (1 - WEIGHT) + cost * WEIGHT
        return seconds

    def longest(self, now: float) -> float:
        """Tell how long the batch has been running that runs longest; 0 where none runs."""
        return max((now - batch.begun_at for batch in self._running.values()), default=0.0)

    def batch(self, lane: int, seconds: float) -> int | None:
        """Tell how many requests a lane decodes in a time, two at least; None where none was at work yet."""
        cost = self._costs.get(lane)
        return max(LEAST_BATCH, int(seconds / cost)) if cost else None

    def wait(self, now: float, ahead: int, *, lanes: Sequence[int]) -> float:
        """Tell how long what comes after so many waits for one of the lanes; 0 where none was at work yet."""
        costs = [self._costs[lane] for lane in lanes if lane in self._costs]
        if not costs:
            return 0.0
        cost = sum(costs) / len(costs)
        running = sum(max(0.0, self._rest(lane, now, cost)) for lane in lanes)
        return (running + ahead * cost) / len(lanes)

    def _rest(self, lane: int, now: float, cost: float) -> float:
        """Tell what is left of a lane's batch. One that takes longer than it should is as good as done."""
        batch = self._running.get(lane)
        return batch.begun_at + batch.requests * cost - now if batch else 0.0
