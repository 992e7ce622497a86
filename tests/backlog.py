"""A scheduler with finals that wait, on a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from asr.scheduler import Scheduler
from asr.types import DecodeKind, DecodeRequest
from tests.fakes import FakeEngine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from asr.types import Hypothesis

COST_SECONDS = 1.0
"""What a final takes."""


class Desk:
    """One lane, which decodes when it is told to."""

    def __init__(self, clock: Callable[[], float], advance: Callable[[float], None]) -> None:
        self.engine = FakeEngine()
        self.scheduler = Scheduler(self.engine, clock=clock)
        self._advance = advance
        self._submitted = 0

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run the scheduler, nothing of which is decoded unless it is told to; in the end everything is."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.scheduler.run())
            await self.engine.hold()
            yield
            await self.engine.let_go()
            self.scheduler.close()

    async def decode(self, finals: int) -> None:
        """Decode so many finals, one after the other, in so many seconds."""
        for _ in range(finals):
            future = self.submit()
            await self.engine.wait_begun(self._submitted)
            self._advance(COST_SECONDS)
            await self.engine.release()
            await future

    async def fall_behind(self, finals: int = 20) -> list[asyncio.Future[Hypothesis]]:
        """Let so many finals wait, of which one has come to be decoded."""
        await self.decode(1)
        return [self.submit() for _ in range(finals)]

    async def catch_up(self, waiting: list[asyncio.Future[Hypothesis]]) -> None:
        """Decode what waits, at once."""
        await self.engine.let_go()
        await asyncio.gather(*waiting)

    def submit(self) -> asyncio.Future[Hypothesis]:
        """Let a final wait, of a call of its own."""
        self._submitted += 1
        name = f"backlog {self._submitted}"
        return self.scheduler.submit(
            DecodeRequest(
                request_id=name,
                stream_key=name,
                group_key=name,
                kind=DecodeKind.FINAL,
                audio=bytes(64_000),
                origin_sample=0,
            )
        )
