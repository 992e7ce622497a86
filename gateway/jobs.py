"""What an operator has asked for and goes on behind the answer: one of a name at a time, owned and waited for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from gateway.engines import ModelsBusyError

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

log = structlog.get_logger()


class Jobs:
    """Jobs in progress, by name, and how the last of each name failed."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[Any]] = {}
        self.failures: dict[str, str | None] = {}

    async def do(self, name: str, work: Coroutine[Any, Any, T]) -> T:
        """Do it to its end, though whoever waits may go. Raises what it raises, and ModelsBusyError."""
        return await asyncio.shield(self.begin(name, work))

    def begin(self, name: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin it. Raises ModelsBusyError while one of the same name is in progress."""
        if name in self._running:
            work.close()
            raise ModelsBusyError(f"{name} is in progress: wait until that is done")
        self.failures[name] = None
        task = self._running[name] = asyncio.get_running_loop().create_task(work, name=name)
        task.add_done_callback(self._note)
        return task

    async def close(self) -> None:
        """Break off what is in progress."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _note(self, task: asyncio.Task[Any]) -> None:
        name = task.get_name()
        del self._running[name]
        if not task.cancelled() and (error := task.exception()):
            self.failures[name] = str(error)
            log.error("not done", job=name, error=str(error))
