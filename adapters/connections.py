"""A listener's connections: who is there, who has not said yet who he is, and when the last one has gone."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = structlog.get_logger()

MOST_WAITING = 256
"""Connections that have not introduced themselves yet; when there are more, the oldest of them is closed."""


class Connection(Protocol):
    """One of them."""

    @property
    def waiting(self) -> bool:
        """Whether its peer has yet to introduce itself."""
        ...

    def close(self) -> None:
        """End it as its protocol wants it, within the listener's farewell."""
        ...

    def drop(self, reason: str) -> None:
        """End it as one too many."""
        ...

    def abort(self) -> None:
        """End it at once."""
        ...


C = TypeVar("C", bound=Connection)


class Connections(Generic[C]):
    """The connections of one listener, in the order in which they came."""

    def __init__(self, listener: str) -> None:
        self._listener = listener
        self._open: dict[C, None] = {}
        self._last_gone = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[C]:
        return iter(tuple(self._open))

    def welcome(
        self, connection: C, most: int | None = None, alike: Callable[[C], bool] = lambda _connection: True
    ) -> None:
        """Keep a connection that was made.

        Of those that have not said who they are there may be so `most`, the connections `alike` alone counted; where
        there are more, the first of them goes.
        """
        self._open[connection] = None
        self.thin(MOST_WAITING if most is None else most, alike)

    def thin(self, most: int, alike: Callable[[C], bool]) -> None:
        """End the first that has not said who it is, where of those `alike` there are more than so `most`."""
        if len(self._open) > most:
            waiting = [each for each in self._open if each.waiting and alike(each)]
            if len(waiting) > most:
                waiting[0].drop("too many connections that have not introduced themselves")

    def forget(self, connection: C) -> None:
        """Drop a connection that is closed."""
        self._open.pop(connection, None)
        if not self._open:
            self._last_gone.set()

    def visit(self, act: Callable[[C], None]) -> None:
        """Do something to each. One connection's fault, ours, must not keep the others from their turn."""
        for connection in self:
            try:
                act(connection)
            except Exception:  # whatever it is
                log.exception("connection failed", listener=self._listener)
                connection.abort()

    async def close(self, seconds: float) -> None:
        """Close all, and wait so long for their peers to do the same."""
        self.visit(lambda connection: connection.close())
        if self._open:
            self._last_gone.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._last_gone.wait(), seconds)
        for connection in self:
            connection.abort()
