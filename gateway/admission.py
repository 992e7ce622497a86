"""Whether new calls are let in, by how long a final would have to wait. Pure.

Calls in progress are heard out in any case: what can be spared them is company.
"""

from __future__ import annotations

RELIEF = 0.5
"""New calls are let in again when the wait has fallen below so much of the limit: at the limit itself the next call
would be one too many at once."""


class Admission:
    """Follows the wait of a final. It closes, and opens, when there has been reason to for so long without a break."""

    def __init__(self, limit_seconds: float | None, patience_seconds: float) -> None:
        self.adopt(limit_seconds, patience_seconds)
        self._open = True
        self._since: float | None = None
        """Since when there has been reason to change."""

    def adopt(self, limit_seconds: float | None, patience_seconds: float) -> None:
        """Go by another limit from here on."""
        self._limit_seconds = float("inf") if limit_seconds is None else limit_seconds
        self._patience_seconds = patience_seconds

    @property
    def open(self) -> bool:
        """Whether new calls are let in."""
        return self._open

    def update(self, now: float, wait_seconds: float) -> bool:
        """Take the wait as it is now; tell whether this has closed or opened it."""
        if not self._has_reason(wait_seconds):
            self._since = None
            return False
        if self._since is None:
            self._since = now
        if now - self._since < self._patience_seconds:
            return False
        self._open, self._since = not self._open, None
        return True

    def _has_reason(self, wait_seconds: float) -> bool:
        if self._open:
            return wait_seconds > self._limit_seconds
        return wait_seconds < self._limit_seconds * RELIEF
