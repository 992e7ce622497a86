"""What the lanes have been at, and so how long it will be until one is free. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from asr.types import ModelRole

if TYPE_CHECKING:
    from collections.abc import Sequence

WEIGHT = 0.2
"""Of the latest batch in what a request is thought to cost: the older, the less it counts."""


BATCH_SECONDS = 0.3
"""What comes while a batch is decoded is to wait for no longer, more or less."""

LEAST_BATCH = 2
"""So many are always worth decoding together."""


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """What lanes have done for a role, all in all; what was lost is not counted."""

    lanes: int
    requests: int
    """That were answered."""
    seconds: float
    """That the lanes were at them, added up."""


class _Batch(msgspec.Struct, frozen=True):
    begun_at: float
    requests: int
    role: ModelRole


class Load:
    """Follows the lanes of an engine, by their numbers."""

    def __init__(self) -> None:
        self._running: dict[int, _Batch] = {}
        self._costs: dict[int, float] = {}
        """Seconds a request, by lane."""
        self._requests = dict.fromkeys(ModelRole, 0)
        self._seconds = dict.fromkeys(ModelRole, 0.0)

    def begin(self, lane: int, now: float, requests: int, role: ModelRole) -> None:
        """Note that a batch begins, of requests for one role."""
        self._running[lane] = _Batch(now, requests, role)

    def end(self, lane: int, now: float, answered: int) -> None:
        """Note that a lane's batch has come to its end, and how many of it were answered."""
        batch = self._running.pop(lane)
        if answered:
            self._requests[batch.role] += answered
            self._seconds[batch.role] += now - batch.begun_at
            cost = (now - batch.begun_at) / answered
            self._costs[lane] = self._costs.get(lane, cost) * (1 - WEIGHT) + cost * WEIGHT

    def batch(self, lane: int) -> int | None:
        """Tell how many requests a lane decodes in a time that others can wait; None where none was at work yet."""
        cost = self._costs.get(lane)
        return max(LEAST_BATCH, int(BATCH_SECONDS / cost)) if cost else None

    def wait(self, now: float, ahead: int, *, lanes: Sequence[int]) -> float:
        """Tell how long what comes after so many waits for one of the lanes; 0 where none was at work yet."""
        costs = [self._costs[lane] for lane in lanes if lane in self._costs]
        if not costs:
            return 0.0
        cost = sum(costs) / len(costs)
        running = sum(max(0.0, self._rest(lane, now, cost)) for lane in lanes)
        return (running + ahead * cost) / len(lanes)

    def effort(self, role: ModelRole, *, lanes: Sequence[int]) -> Effort:
        """Tell what was done for a role by these lanes, which are all that serve it."""
        return Effort(lanes=len(lanes), requests=self._requests[role], seconds=self._seconds[role])

    def _rest(self, lane: int, now: float, cost: float) -> float:
        """Tell what is left of a lane's batch. One that takes longer than it should is as good as done."""
        batch = self._running.get(lane)
        return batch.begun_at + batch.requests * cost - now if batch else 0.0
