"""One life of the model process, as its parent holds it: begun, spoken to, heard, ended."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import multiprocessing
import signal
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from asr import worker_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from asr.worker_process import Batch, Plan, Report

CONTEXT = multiprocessing.get_context("spawn")
"""A forked process would inherit the threads' locks and the sockets of the gateway."""


class Child:
    """A process that has been started; `on_report` and `on_death` are called on the event loop."""

    def __init__(
        self, plan: Plan, slots: Sequence[Any], on_report: Callable[[Report], None], on_death: Callable[[], None]
    ) -> None:
        self._on_report = on_report
        self._on_death = on_death
        self._pipe, theirs = CONTEXT.Pipe()
        # Daemonic, lest an exit without close() wait for it before it closes the pipe.
        self._process = CONTEXT.Process(
            target=worker_process.main, args=(theirs, slots), name="linescribe-models", daemon=True
        )
        resource_tracker.ensure_running()  # the process's start would start it, and that lets the signals go
        with _signals_held(), theirs:
            self._process.start()
        self.pid = self._process.pid
        self.send(plan)
        # multiprocessing ends daemons by SIGTERM, which this one ignores, and then waits for them.
        atexit.register(self._process.kill)
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._readable)

    def send(self, message: Plan | Batch) -> None:
        """Hand over a message; it is small, and the process always reads. To a dead one it is lost."""
        with contextlib.suppress(OSError):  # the reader is about to hear of the death
            self._pipe.send_bytes(worker_process.encode(message))

    def kill(self) -> None:
        """End the process at once; `on_death` follows."""
        self._process.kill()

    def hang_up(self) -> None:
        """Close the pipe, at which the process ends itself."""
        asyncio.get_running_loop().remove_reader(self._pipe.fileno())
        self._pipe.close()

    def reap(self, grace_seconds: float) -> int | None:
        """Wait for the end, bring it about after the grace, and tell the exit code. Blocks."""
        self._process.join(grace_seconds)
        self._process.kill()
        self._process.join()
        atexit.unregister(self._process.kill)
        exit_code = self._process.exitcode
        self._process.close()
        return exit_code

    def _readable(self) -> None:
        try:
            report = worker_process.read_report(self._pipe.recv_bytes())
        except (EOFError, OSError):
            self._on_death()
        else:
            self._on_report(report)


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Hold back what a terminal or systemd sends to the whole group; a process started now never hears it.

    It inherits the mask and keeps it in all of its threads: when it ends is for its parent to say.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
