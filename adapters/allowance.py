"""How much of something a peer may send: so much at once, and so much a second in the long run. Pure."""

from __future__ import annotations


class Allowance:
    """What is left of it. Time is that of arrivals."""

    __slots__ = ("_at_once", "_left", "_per_second", "_refilled_at")

    def __init__(self, per_second: float, at_once: float, now: float) -> None:
        self._per_second = per_second
        self._at_once = self._left = at_once
        self._refilled_at = now

    def take(self, now: float, cost: float = 1.0) -> bool:
        """Take as much as something costs, if it is left."""
        if now > self._refilled_at:
            self._left = min(self._at_once, self._left + (now - self._refilled_at) * self._per_second)
            self._refilled_at = now
        self._left -= cost
        return self._left >= 0
