"""What every call of the gateway shares, and what it needs of whoever shows interims."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from gateway.observing import NoObserver
from gateway.tallies import Tallies

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asr.types import Decoder
    from config.settings import Settings
    from gateway.delivery.recipients import Recipient
    from gateway.events import EncodedInterim, StoredEvent
    from gateway.normalizing import Normalizer
    from gateway.observing import Observer


class Interims(Protocol):
    """Shows interims to those who want them: at once or not at all. No method waits or raises."""

    def wanted(self, recipients: Sequence[Recipient], /) -> bool:
        """Tell whether any of these wants interims."""
        ...

    def show(self, interim: EncodedInterim, recipients: Sequence[Recipient], /) -> None:
        """Show an interim to those of these that want it."""
        ...

    def close(self, utterance_id: str, /) -> None:
        """Send no more of an utterance than what is on its way."""
        ...

    def end(self, call_id: str, /) -> int:
        """Send no more of a call; tell how many of its interims did not get where they were wanted."""
        ...


class NoInterims:
    """Shows none."""

    def wanted(self, _recipients: Sequence[Recipient], /) -> bool:
        """Tell that nobody wants them."""
        return False

    def show(self, interim: EncodedInterim, recipients: Sequence[Recipient], /) -> None:
        """Do nothing."""

    def close(self, utterance_id: str, /) -> None:
        """Do nothing."""

    def end(self, _call_id: str, /) -> int:
        """Tell that none was shed."""
        return 0


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """What every call of the gateway shares."""

    settings: Settings
    decoder: Decoder
    publish: Callable[[StoredEvent, Sequence[Recipient]], Awaitable[None]]
    """Store an event for these; returns once it is committed, or at once while the disk takes nothing."""
    storable: Callable[[], bool] = lambda: True
    """Whether there is room for the events of another call."""
    interims: Interims = NoInterims()
    normalizer: Normalizer | None = None
    clock: Callable[[], float]
    wall: Callable[[], float]
    observer: Observer = NoObserver()
    tallies: Tallies = msgspec.field(default_factory=Tallies)
    """What all calls came to."""
