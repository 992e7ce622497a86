"""Which models decode: brought up at the start, changed under calls, and ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import structlog

from asr.types import Engine

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asr.scheduler import Scheduler
    from asr.worker_batch import LoadedModel
    from config.settings import Models

    Load = Callable[[Models], Awaitable["Pool"]]
    """Bring up the models that settings name, warm. Raises WeightsError or ModelLoadError."""

log = structlog.get_logger()


class Pool(Engine, Protocol):
    """An engine with its processes."""

    @property
    def pids(self) -> Sequence[int]:
        """The processes that are there."""
        ...

    @property
    def models(self) -> Sequence[LoadedModel]:
        """What is loaded, process by process, final first."""
        ...

    async def close(self) -> None:
        """End the processes."""
        ...


class ModelsBusyError(Exception):
    """Other models are being loaded already."""


class Engines:
    """The engine that decodes, and the one that is about to; `load` brings one up."""

    def __init__(self, scheduler: Scheduler, load: Load) -> None:
        self._scheduler = scheduler
        self._load = load
        self._pool: Pool | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        """Those before it, which `close` waits for."""
        self.loading: Models | None = None
        """What is being loaded."""

    @property
    def pids(self) -> Sequence[int]:
        """The processes of the engine that decodes."""
        return self._pool.pids if self._pool else ()

    @property
    def models(self) -> Sequence[LoadedModel]:
        """What is loaded, and decodes."""
        return self._pool.models if self._pool else ()

    async def load(self, settings: Models) -> Pool:
        """Bring up other models, beside those that decode.

        Raises WeightsError, ModelLoadError, and ModelsBusyError while this is being done already.
        """
        if self.loading is not None:
            raise ModelsBusyError("other models are being loaded: wait until that is done")
        self.loading = settings
        try:
            return await self._load(settings)
        finally:
            self.loading = None

    def take_over(self, pool: Pool) -> None:
        """Let an engine decode from here on, under calls in progress; the one before is closed when it has ended."""
        left, self._pool = self._pool, pool
        loop = asyncio.get_running_loop()
        leaving = loop.create_task(self._leave(self._scheduler.swap(pool), left), name="models leave")
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """End all processes."""
        if self._pool:
            await self._pool.close()
        if self._leaving:
            await asyncio.wait(self._leaving)

    @staticmethod
    async def _leave(left: Awaitable[None], pool: Pool | None) -> None:
        await left
        if pool:
            await pool.close()
            log.info("models swapped")
