"""Whether an endpoint is tried now, and with how many requests at once. Pure: time and chance are arguments.

A receiver that is down gets one request now and then instead of one for every event; one that says it has too much
to do gets fewer at once, and none while it asks for rest. Neither costs the events that wait any of their attempts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.delivery.retry import Answered

if TYPE_CHECKING:
    from gateway.delivery.retry import Outcome

PRESSED = frozenset({429, 502, 503, 504})
"""What a receiver, or the proxy before it, answers that is pressed for room."""

FIRST_REST_SECONDS = 1.0
LONGEST_ASKED_SECONDS = 3600.0
"""An endpoint rests no longer at a time, whatever its receiver asks for."""

JITTER = 0.2


class Breaker:
    """Follows what comes of the attempts at one endpoint.

    After `failures` in a row it rests, for twice as long each time up to `rest_seconds`; then one attempt tells whether
    it is well. At most `most` are in progress at once, fewer after it was pressed.
    """

    def __init__(self, *, most: int, failures: int, rest_seconds: float) -> None:
        self._window = most
        self.adopt(most=most, failures=failures, rest_seconds=rest_seconds)
        self._failures = 0
        self._rests = 0
        self._until: float | None = None

    def adopt(self, *, most: int, failures: int, rest_seconds: float) -> None:
        """Keep to other limits; how the endpoint is goes on as it was."""
        self._most = most
        self._limit = failures
        self._longest_rest_seconds = rest_seconds
        self._window = min(self._window, most)

    @property
    def until(self) -> float | None:
        """When it may be tried again; None while it is well."""
        return self._until

    def slots(self, now: float, in_progress: int) -> int:
        """Tell how many attempts may begin now."""
        if self._until is None:
            return max(self._window - in_progress, 0)
        return int(now >= self._until and in_progress == 0)

    def hasten(self, now: float) -> None:
        """Let it be tried now: somebody says that it is well."""
        if self._until is not None:
            self._until = min(self._until, now)

    def hear(self, outcome: Outcome, now: float, random: float) -> bool:
        """Take what came of an attempt; tell whether it shows that an endpoint that was down is well again."""
        if outcome.accepted:
            return self._recover()
        self._failures += 1
        # Attempts that began before a rest, and fail while it lasts, say nothing new.
        if self._failures >= self._limit and (self._until is None or now >= self._until):
            self._rest(now, random)
        if isinstance(outcome, Answered) and outcome.status in PRESSED:
            self._window = max(self._window // 2, 1)
            asked_seconds = outcome.retry_after_seconds or 0.0
            if asked_seconds > 0:
                self._rest_until(now + min(asked_seconds, LONGEST_ASKED_SECONDS))
        return False

    def _recover(self) -> bool:
        was_down = self._rests > 0
        self._failures, self._rests, self._until = 0, 0, None
        self._window = 1 if was_down else min(self._window + 1, self._most)
        return was_down

    def _rest(self, now: float, random: float) -> None:
        seconds = min(FIRST_REST_SECONDS * 2.0**self._rests, self._longest_rest_seconds)
        self._rests = min(self._rests + 1, 32)
        self._rest_until(now + seconds * (1 + JITTER * (2 * random - 1)))

    def _rest_until(self, until: float) -> None:
        self._until = until if self._until is None else max(self._until, until)
