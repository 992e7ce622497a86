"""How many calls the machine bears, from what those in progress have cost it lately. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asr.tally import Effort

WINDOW_SECONDS = 180.0
"""What was so long ago counts about a third of what is now."""

FREE_SHARE = 0.25
"""Of what the machine can decode, so much is not counted on: utterances come in clumps."""

LEAST_CALL_SECONDS = 60.0
LEAST_DECODES = 20
LEAST_BUSY_SECONDS = 1e-3
"""Less than these, within the window, is no measurement."""


class Bearing:
    """Follows calls in progress and what their finals cost.

    The lanes' seconds for finals and finals on trial, the dropped ones included, make up the cost of a second of call;
    interims give way, and cost nothing that a call could be refused for. Since finals that come at the same time are
    decoded together, for less, few calls make the estimate too low; and since what waits has cost nothing yet, finals
    that wait make it too high.
    """

    def __init__(self) -> None:
        self._at: float | None = None
        self._before: Effort | None = None
        self._lanes = 0
        self._call_seconds = 0.0
        self._busy_seconds = 0.0
        self._decodes = 0.0

    @property
    def calls(self) -> int | None:
        """So many calls like those of the last minutes can be in progress at a time; None: too little is known."""
        if self._call_seconds < LEAST_CALL_SECONDS or self._decodes < LEAST_DECODES:
            return None
        if self._busy_seconds < LEAST_BUSY_SECONDS:
            return None
        return int(self._lanes * (1 - FREE_SHARE) * self._call_seconds / self._busy_seconds)

    def update(self, now: float, calls: int, effort: Effort) -> None:
        """Take what is so now: calls that have a stream, and all that was done for finals since the models' start."""
        if self._at is None or self._before is None:
            self._at, self._before = now, effort
        if effort.requests < self._before.requests:
            self._forget()  # other models decode, and these were the old ones' costs
            self._before = effort
        passed, self._at = now - self._at, now
        kept = math.exp(-passed / WINDOW_SECONDS)
        self._call_seconds = self._call_seconds * kept + calls * passed
        self._busy_seconds = self._busy_seconds * kept + effort.seconds - self._before.seconds
        self._decodes = self._decodes * kept + effort.requests - self._before.requests
        self._before, self._lanes = effort, effort.lanes

    def _forget(self) -> None:
        self._call_seconds = self._busy_seconds = self._decodes = 0.0
