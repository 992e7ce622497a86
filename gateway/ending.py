"""The end of a gateway: calls run out, are ended in a hurry, and what can be sent is sent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from adapters.stream import StreamEnd

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.settings import Calls
    from gateway.delivery.deliveries import Deliveries
    from gateway.registry import Registry

log = structlog.get_logger()

# How the time of a hurried end is spent. Beside these, connections have two seconds for their farewell.
DECODE_SHARE = 0.4
"""What is not decoded by then is given up."""
CALLS_SHARE = 0.5
"""Calls whose events are not committed by then are left to the next start."""
SEND_SHARE = 0.1
STORE_SHARE = 0.1


class Ending:
    """When it begins, and when it has to be quick. `limits` gives the settings that apply."""

    def __init__(self, registry: Registry, deliveries: Deliveries, limits: Callable[[], Calls]) -> None:
        self._registry = registry
        self._deliveries = deliveries
        self._limits = limits
        self._hurry = asyncio.Event()
        self.begun = asyncio.Event()
        """Set when no new calls are to be taken."""

    def begin(self) -> None:
        """Take no new calls; those in progress run on. A second time: end them, quickly."""
        if self.begun.is_set():
            self._hurry.set()
            log.warning("ending all calls", calls=self._registry.calls)
        else:
            self.begun.set()
            log.info(
                "draining: no new calls; a second signal ends those in progress",
                calls=self._registry.calls,
                at_most_seconds=self._limits().drain_seconds,
            )

    async def finish_calls(self, group: asyncio.TaskGroup, calls: asyncio.Task[None]) -> None:
        """Let the calls run out; end them when the drain's time is over or somebody is in a hurry."""
        limits = self._limits()
        hurry = group.create_task(self._hurry.wait())
        await asyncio.wait({calls, hurry}, timeout=limits.drain_seconds, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if calls.done():
            return
        self._registry.end_all(StreamEnd.SHUTDOWN, limits.hurry_seconds * DECODE_SHARE)
        await asyncio.wait({calls}, timeout=limits.hurry_seconds * CALLS_SHARE)
        if not calls.done():
            log.error("calls left without an end; the next start gives them one", calls=self._registry.calls)
            calls.cancel()

    async def finish_sending(self) -> None:
        """Send what can be sent now; the rest is stored."""
        undelivered = await self._deliveries.finish(self._limits().hurry_seconds * SEND_SHARE)
        log.info("stopped", undelivered=undelivered)

    async def close_store(self) -> None:
        """Commit what waits, in so much time as there is."""
        await self._deliveries.close(self._limits().hurry_seconds * STORE_SHARE)
