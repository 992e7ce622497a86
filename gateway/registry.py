"""Which calls are live: who is admitted, who owns their tasks, and how they are drained."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from adapters.stream import Refusal, RefusalReason, StreamEnd
from gateway.ids import uuid7
from gateway.session import CallSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.stream import Peer, StreamOffer
    from gateway.record import Means

log = structlog.get_logger()


class Registry:
    """The host of every stream. `run` must be running before the first one is offered."""

    def __init__(self, means: Means, random_bytes: Callable[[int], bytes]) -> None:
        self._means = means
        self._random_bytes = random_bytes
        self._calls: dict[str, CallSession] = {}
        self._group: asyncio.TaskGroup | None = None
        self._draining = False
        self._changed = asyncio.Event()

    @property
    def calls(self) -> int:
        """Calls that have not been published to their end."""
        return len(self._calls)

    def admit(self, offer: StreamOffer, peer: Peer, arrived_at: float) -> CallSession:
        """Open a call for a stream. Raises Refusal."""
        if self._draining or self._group is None:
            raise Refusal(RefusalReason.DRAINING)
        if len(self._calls) >= self._means.settings.calls.max_calls:
            raise Refusal(RefusalReason.FULL)
        call_id = uuid7(self._means.wall(), self._random_bytes(10))
        session = CallSession(call_id, offer, peer, self._means, arrived_at)
        self._calls[call_id] = session
        self._group.create_task(self._run(session))
        return session

    def tick(self, now: float) -> None:
        """Let time pass for every call."""
        for session in tuple(self._calls.values()):
            try:
                session.tick(now)
            except Exception:  # one call's fault, ours, must not stop the others' clock
                log.exception("call failed", call_id=session.call_id)
                session.end(StreamEnd.ERROR)

    async def run(self) -> None:
        """Own the calls' tasks until drained and empty."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            while not (self._draining and not self._calls):
                self._changed.clear()
                await self._changed.wait()

    def drain(self) -> None:
        """Admit nobody from now on; `run` returns when the last call has ended."""
        self._draining = True
        self._changed.set()

    def end_all(self, reason: StreamEnd, finish_seconds: float) -> None:
        """End every call; what was heard is decoded within `finish_seconds` or reported as failed."""
        for session in tuple(self._calls.values()):
            session.end(reason, finish_seconds)

    async def _run(self, session: CallSession) -> None:
        try:
            await session.run()
        except Exception:  # the store is closed or broken; the next start gives this call its end
            log.exception("call without an end", call_id=session.call_id)
        finally:
            del self._calls[session.call_id]
            self._changed.set()
