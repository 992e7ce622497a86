"""Whether the gateway still moves: what a supervisor restarts it for. Pure.

Busy is not stuck: long queues, a full disk and endpoints that do not answer are other pages' business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CLOCK_SECONDS = 10.0
"""The timer of all calls comes round ten times a second."""

STORE_SECONDS = 60.0
"""No commit takes so long on a disk that answers; one that is full answers at once."""

MODELS_SECONDS = 300.0
"""Models that have died are back within half a minute, large ones within a few."""

OVERRUN_SECONDS = 60.0
"""A decode that hangs is ended at `models.decode_limit_seconds`; one that is still there so long after was not."""


class Decoding(Protocol):
    """What decodes."""

    @property
    def away_seconds(self) -> float:
        """For how long there have been no models for finals."""
        ...

    @property
    def longest_seconds(self) -> float:
        """How long the batch has been running that runs longest."""
        ...


class Storing(Protocol):
    """What commits events."""

    @property
    def rounds(self) -> int:
        """How often it has come round, with success or not."""
        ...

    @property
    def waiting(self) -> int:
        """What waits for it."""
        ...


class Pulse:
    """Feels it. `beat` is the timer's own, several times a second; `stuck` may be asked at any time.

    `decode_limit_seconds` gives the setting of that name.
    """

    def __init__(self, decoding: Decoding, storing: Storing, decode_limit_seconds: Callable[[], float]) -> None:
        self._decoding = decoding
        self._storing = storing
        self._decode_limit_seconds = decode_limit_seconds
        self._beat_at: float | None = None
        self._round = -1
        self._round_at = float("-inf")

    def beat(self, now: float) -> None:
        """Note that the timer came round."""
        self._beat_at = now
        if self._storing.rounds != self._round or not self._storing.waiting:
            self._round, self._round_at = self._storing.rounds, now

    def stuck(self, now: float) -> list[str]:
        """Tell what does not move any more."""
        return [what for what, is_stuck in self._signs(now).items() if is_stuck]

    def _signs(self, now: float) -> Mapping[str, bool]:
        if self._beat_at is None:  # there is no timer before there are calls
            return {}
        limit_seconds = self._decode_limit_seconds() + OVERRUN_SECONDS
        return {
            "the calls' timer has stopped": now - self._beat_at > CLOCK_SECONDS,
            "the event store's thread has stopped": now - self._round_at > STORE_SECONDS,
            "a decode has been running for too long": self._decoding.longest_seconds > limit_seconds,
            "the models have been away for too long": self._decoding.away_seconds > MODELS_SECONDS,
        }
