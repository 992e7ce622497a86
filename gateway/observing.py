"""What is told of each call to whoever follows calls one by one. No method waits or raises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

# At run time too: msgspec resolves the annotations below.
from adapters.stream import TrackRole  # noqa: TC001

if TYPE_CHECKING:
    from gateway.events import Source


Outcome = Literal["final", "suppressed", "failed"]


class UtteranceTold(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance on its whole way; moments are on the monotonic clock."""

    call_id: str
    utterance_id: str
    track: str
    role: TrackRole
    outcome: Outcome
    began_at: float
    """When its first sound was said, ..."""
    heard_at: float
    """... and its last sound arrived; ..."""
    settled_at: float
    """... when it was known to have ended, ..."""
    answered_at: float
    """... when its text was there, if not before that, ..."""
    published_at: float
    """... and when its event was stored."""


class Observer(Protocol):
    """Follows calls."""

    def call_started(self, call_id: str, source: Source, route: str) -> None:
        """Note that a call has begun."""
        ...

    def utterance(self, told: UtteranceTold) -> None:
        """Note that an utterance has come to its end."""
        ...

    def call_ended(self, call_id: str, reason: str) -> None:
        """Note that a call is over; nothing more is told of it."""
        ...

    def close(self, seconds: float) -> None:
        """Hand on what is held back, in so many seconds; this may wait, and is to be done on a thread."""
        ...


class NoObserver:
    """Follows none."""

    def call_started(self, call_id: str, source: Source, route: str) -> None:
        """Do nothing."""

    def utterance(self, told: UtteranceTold) -> None:
        """Do nothing."""

    def call_ended(self, call_id: str, reason: str) -> None:
        """Do nothing."""

    def close(self, seconds: float) -> None:
        """Do nothing."""
