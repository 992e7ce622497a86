"""What metrics and status pages are read from. Nothing is counted for their sake; they look when they are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adapters.stream import RefusalReason
    from asr.pressure import Level
    from asr.tally import Done
    from asr.types import DecodeKind
    from asr.worker_batch import LoadedModel
    from config.settings import Models
    from gateway.delivery.overview import Line, Overview, State
    from gateway.tallies import Heard, Tallies


class Live(Protocol):
    """What is in progress."""

    @property
    def calls(self) -> int:
        """Calls that have not been published to their end."""
        ...

    @property
    def streams(self) -> int:
        """Streams that have not ended."""
        ...

    @property
    def most(self) -> int:
        """So many calls are let in at a time, by the settings."""
        ...

    @property
    def admitting(self) -> bool:
        """Whether a new call would be let in."""
        ...

    @property
    def tallies(self) -> Tallies:
        """What all calls came to."""
        ...

    @property
    def heard(self) -> Heard:
        """What came in on all tracks there were."""
        ...


class Entrance(Protocol):
    """Who comes in."""

    @property
    def capacity(self) -> int | None:
        """So many calls at a time, as far as is known."""
        ...

    @property
    def refused(self) -> Mapping[RefusalReason, int]:
        """How often each reason was given; all of them are there."""
        ...


class Backlog(Protocol):
    """What waits, and where its audio lies."""

    @property
    def waiting(self) -> Mapping[DecodeKind, int]:
        """Requests by kind; all of them are there."""
        ...

    @property
    def places(self) -> Mapping[str, float]:
        """Seconds of it by place; all places are there."""
        ...


class Queue(Protocol):
    """What waits for the models."""

    @property
    def backlog(self) -> Backlog:
        """All that waits."""
        ...

    @property
    def level(self) -> Level:
        """How hard pressed the models are."""
        ...

    @property
    def done(self) -> Mapping[DecodeKind, Done]:
        """What was decoded, by kind; all of them are there."""
        ...

    def predicted_wait(self, now: float) -> float:
        """Tell for how many seconds a final that came now would wait."""
        ...


class Outgoing(Protocol):
    """What goes out to endpoints."""

    @property
    def writable(self) -> bool:
        """Whether events can be committed."""
        ...

    @property
    def accepting(self) -> int:
        """Events that wait in memory to be committed."""
        ...

    @property
    def overview(self) -> Overview:
        """The store as it was some seconds ago."""
        ...

    @property
    def lines(self) -> Mapping[str, Line]:
        """The same by endpoint; all of them are there."""
        ...

    @property
    def states(self) -> Mapping[str, State]:
        """How each fares."""
        ...

    @property
    def attempts(self) -> Mapping[tuple[str, str], int]:
        """Attempts by endpoint and outcome."""
        ...


class Loaded(Protocol):
    """The models."""

    @property
    def models(self) -> Sequence[LoadedModel]:
        """What is loaded, process by process."""
        ...

    @property
    def pids(self) -> Sequence[int]:
        """The model processes."""
        ...

    @property
    def loading(self) -> Models | None:
        """What is about to take over."""
        ...
