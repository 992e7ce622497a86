"""Steady silence for the caller: how much of it is due, and what beats the time for a whole listener."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FRAME_SECONDS = 0.02

MOST_AT_ONCE = 3
"""Asterisk passes on at once whatever it is given; a telephone's buffer makes up for a few frames, no more."""


class Pace:
    """Counts one connection's frames by the clock, so that in the long run neither more nor fewer go out."""

    def __init__(self) -> None:
        self._next_at: float | None = None

    def due(self, now: float) -> int:
        """Tell how many frames to send now; the first is due when first asked.

        A timer half a frame early or late is on time. What a longer stall held up is dropped.
        """
        if self._next_at is None:
            self._next_at = now
        owed = math.floor((now - self._next_at) / FRAME_SECONDS + 0.5) + 1
        if owed <= 0:
            return 0
        self._next_at += owed * FRAME_SECONDS
        return min(owed, MOST_AT_ONCE)


class Metronome:
    """Calls `beat` every 20 ms from `start` to `stop`, both of which may be repeated. Its owner must stop it."""

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat = beat
        self._next_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def running(self) -> bool:
        """Whether it costs anything."""
        return self._timer is not None

    def start(self) -> None:
        """Begin, in a running loop."""
        if self._timer is None:
            self._next_at = asyncio.get_running_loop().time()
            self._wind()

    def stop(self) -> None:
        """End, also from within a beat."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wind(self) -> None:
        loop = asyncio.get_running_loop()
        self._next_at = max(self._next_at + FRAME_SECONDS, loop.time())  # beats that a stall swallowed stay swallowed
        self._timer = loop.call_at(self._next_at, self._strike)

    def _strike(self) -> None:
        self._wind()  # first, so that a beat can stop it, and a beat that fails cannot
        self._beat()
