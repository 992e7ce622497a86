"""Whether audio comes at the rate it is labelled with. Pure.

Wires that do not name their codec can be told one thing and sent another: Asterisk's `Dial(AudioSocket/...)`
without `c()` sends mu-law under the kind of 16-bit PCM. Half the bytes a second, or twice, give it away.
"""

from __future__ import annotations

from enum import StrEnum

WATCH_SECONDS = 1.0
"""Two such watches in a row must come to the same: a burst that makes up for a stall is over by then."""

HOLE_SECONDS = 0.15
"""After a longer pause between frames the watch begins anew: nothing was sent, or a burst will follow."""

SLOW, FAST = 0.8, 1.25
"""Outside of these the label is wrong, by a third (24 kHz under the label of 32) or more; clocks and jitter stay far
within."""


class RateVerdict(StrEnum):
    """How the audio comes."""

    RIGHT = "right"
    SLOW = "slow"
    FAST = "fast"


class RateCheck:
    """Watches one track until it is sure."""

    def __init__(self) -> None:
        self._began_at = 0.0
        self._last_at: float | None = None
        self._seconds = 0.0
        self._suspected: RateVerdict | None = None
        """What the watch before came to."""
        self._decided = False

    def push(self, seconds: float, arrived_at: float) -> RateVerdict | None:
        """Take a frame that lasts so long by its label; give the verdict, once."""
        if self._decided:
            return None
        last_at, self._last_at = self._last_at, arrived_at
        if last_at is None or arrived_at - last_at > HOLE_SECONDS:
            self._watch(arrived_at, None)
            return None
        self._seconds += seconds
        elapsed = arrived_at - self._began_at
        if elapsed < WATCH_SECONDS:
            return None
        verdict = _judge(self._seconds / elapsed)
        self._decided = verdict is self._suspected
        self._watch(arrived_at, verdict)
        return verdict if self._decided else None

    def _watch(self, begin: float, suspected: RateVerdict | None) -> None:
        self._began_at, self._seconds, self._suspected = begin, 0.0, suspected


def _judge(ratio: float) -> RateVerdict:
    if ratio < SLOW:
        return RateVerdict.SLOW
    return RateVerdict.FAST if ratio > FAST else RateVerdict.RIGHT
