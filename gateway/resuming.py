"""The first moments after a pause: what was said in it may still be under way, and is not to be heard. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters.stream import AudioFrame

HOLD_SECONDS = 0.5
"""A connection that stalled in the pause has sent what it held back by then, or is in worse trouble."""


class Resuming:
    """Holds audio back for a moment, and of each track the newest alone: as much as can have been said `since`.

    In that moment more comes than time has passed only where something was held up, and what was held up is older.
    """

    def __init__(self, since: float) -> None:
        self.since = since
        self._held: deque[tuple[AudioFrame, float]] = deque()
        self._seconds: dict[str, float] = {}

    @property
    def frames(self) -> list[tuple[AudioFrame, float]]:
        """What was said since then, with its times of arrival."""
        return list(self._held)

    def is_over(self, now: float) -> bool:
        """Tell whether nothing older is to be expected any more."""
        return now - self.since >= HOLD_SECONDS

    def hold(self, frame: AudioFrame, arrived_at: float) -> None:
        """Take a frame, and drop those that are too old then."""
        self._held.append((frame, arrived_at))
        seconds = self._seconds.get(frame.track, 0.0) + _seconds(frame)
        while seconds > arrived_at - self.since:
            seconds -= self._drop_oldest(frame.track)
        self._seconds[frame.track] = seconds

    def _drop_oldest(self, track: str) -> float:
        oldest = next(held for held in self._held if held[0].track == track)
        self._held.remove(oldest)
        return _seconds(oldest[0])


def _seconds(frame: AudioFrame) -> float:
    return frame.format.seconds(frame.payload)
