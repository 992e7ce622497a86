"""A thread that does one thing after the other, and keeps nobody: neither the loop nor the end of the process."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Errands:
    """What is asked for is done in that order. A disk that hangs holds up this thread alone: it is a daemon."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._wanted: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._started = False

    def start(self) -> bool:
        """Begin, if it has not; False when no thread can be had."""
        if not self._started:
            try:
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
            except RuntimeError:
                return False
            self._started = True
        return True

    def ask(self, work: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        """Have something done; what it raises, the future raises."""
        done: Future[T] = Future()

        def do() -> None:
            if not done.set_running_or_notify_cancel():
                return
            try:
                done.set_result(work(*arguments))
            except BaseException as error:  # noqa: BLE001  it is for whoever asked
                done.set_exception(error)

        self._wanted.put(do)
        return asyncio.wrap_future(done)

    def leave(self, work: Callable[[], None]) -> None:
        """Have something done that nobody waits for, and that does not raise."""
        self._wanted.put(work)

    def close(self) -> None:
        """Do nothing more after what was asked for."""
        self._wanted.put(None)

    def _run(self) -> None:
        while (do := self._wanted.get()) is not None:
            do()
