"""The thread that owns the database, and commits whatever waited during one commit in the next one.

A job is a function of the connection. Jobs run in the order they were submitted; all that wait form one
transaction, each inside a savepoint, so that one that fails does not undo its neighbours. Their callers
hear of it after the commit, and not before.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from gateway.delivery.database import OutboxError

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
Probe = Callable[[str], None]
Result = tuple["asyncio.Future[Any]", object, Exception | None]

CLOSED = "The event store was closed before this could be stored"
QUEUE_LIMIT = 10_000
RETRY_SECONDS = 1.0
ABANDON_SECONDS = 2.0
"""How long a thread that was told to let go may take to do so, before nobody waits for it."""

PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
}
"""Primary result codes of trouble that is the disk's or a neighbour's, not the statement's."""

log = structlog.get_logger()


def no_probe(_name: str) -> None:
    """Stand where a test may put its own function, to be told of a moment or to end the process at it."""


@dataclass(frozen=True, eq=False)
class _Job:
    work: Work[object]
    future: asyncio.Future[Any]
    accepts: bool


class Writer:
    """Run jobs on one thread. `open_database` is entered and left on that thread."""

    def __init__(
        self,
        open_database: Callable[[], AbstractContextManager[sqlite3.Connection]],
        *,
        probe: Probe = no_probe,
        queue_limit: int = QUEUE_LIMIT,
    ) -> None:
        self._open_database = open_database
        self._probe = probe
        self._queue_limit = queue_limit
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._abandon = threading.Event()
        self._blocked = False
        self._waiting: set[asyncio.Future[Any]] = set()
        self._ended: asyncio.Future[None] | None = None
        self._closing = False

    async def start(self) -> None:
        """Open the database. Raises OutboxError."""
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        threading.Thread(target=self._run, name="outbox", daemon=True).start()
        await self.submit(lambda _connection: None)

    async def submit(self, work: Work[T], *, accepts: bool = False) -> T:
        """Run a job and return its result once that is committed.

        `accepts` marks a job that takes something new in: it alone is refused when too much waits. A caller
        that is cancelled does not take its job back. Raises what the job raises, and OutboxError.
        """
        if self._ended is None or self._closing:
            raise OutboxError("The event store is not open")
        if accepts and self._jobs.qsize() >= self._queue_limit:
            raise OutboxError(f"{self._queue_limit} events wait to be stored: is the disk full, or very slow?")
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)
        self._jobs.put(_Job(work, future, accepts))
        return await future

    async def close(self, timeout_seconds: float) -> None:
        """Finish the jobs that wait. Those that cannot be by then fail with OutboxError."""
        if self._ended is None:
            return
        if not self._closing:
            self._closing = True
            self._jobs.put(None)
        if not await _within(timeout_seconds, self._ended):
            self._abandon.set()
            await _within(ABANDON_SECONDS, self._ended)
        self._fail(OutboxError(CLOSED))

    def _fail(self, error: OutboxError) -> None:
        for future in list(self._waiting):
            if not future.done():
                future.set_exception(error)

    def _end(self, error: OutboxError) -> None:
        """Hear, on the loop, that the thread has ended."""
        self._closing = True
        self._fail(error)
        if self._ended and not self._ended.done():
            self._ended.set_result(None)

    # From here on: the thread.

    def _run(self) -> None:
        error = OutboxError(CLOSED)
        try:
            with self._open_database() as connection:
                self._serve(connection)
        except OutboxError as reason:
            error = reason
        except Exception as reason:  # whatever it was, those who wait must hear of it
            log.exception("the event store stopped")
            error = OutboxError(f"The event store stopped: {reason!r}")
        finally:
            self._tell(self._end, error)

    def _serve(self, connection: sqlite3.Connection) -> None:
        last = False
        while not last and not self._abandon.is_set():
            batch, last = self._take()
            if batch:
                self._commit(connection, batch)

    def _take(self) -> tuple[list[_Job], bool]:
        """Wait for a job and take all that came with it; also tell whether the end was among them."""
        taken = [self._jobs.get()]
        with suppress(queue.Empty):
            while True:
                taken.append(self._jobs.get_nowait())
        return [job for job in taken if job], None in taken

    def _commit(self, connection: sqlite3.Connection, batch: list[_Job]) -> None:
        """Commit a batch; for as long as the disk is in the way, keep it and try again."""
        while not self._abandon.is_set():
            try:
                results = self._transact(connection, batch)
            except Exception as error:  # noqa: BLE001  told to those who wait
                if _is_passing(error):
                    self._wait(error)
                    continue
                results = [(job.future, None, OutboxError(f"The event store failed: {error}")) for job in batch]
            self._unblock()
            self._tell(_resolve, results)
            return

    def _transact(self, connection: sqlite3.Connection, batch: list[_Job]) -> list[Result]:
        accepts = any(job.accepts for job in batch)
        connection.execute("BEGIN IMMEDIATE")
        try:
            results = [_attempt(connection, job) for job in batch]
            if accepts:
                self._probe("outbox.before_commit")
            connection.execute("COMMIT")
        finally:
            # Some errors end the transaction by themselves (sqlite.org/lang_transaction.html, 3).
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        if accepts:
            self._probe("outbox.after_commit")
        return results

    def _wait(self, error: Exception) -> None:
        if not self._blocked:
            self._blocked = True
            log.error("the event store cannot be written to; trying again every second", error=str(error))
        self._abandon.wait(RETRY_SECONDS)

    def _unblock(self) -> None:
        if self._blocked:
            self._blocked = False
            log.warning("the event store can be written to again")

    def _tell(self, callback: Callable[..., None], *args: object) -> None:
        # The loop may be closed by now, and then nobody is left to hear.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *args)


def _attempt(connection: sqlite3.Connection, job: _Job) -> Result:
    """Run one job inside its savepoint. Raises only what concerns the whole transaction."""
    connection.execute("SAVEPOINT job")
    try:
        result, failure = job.work(connection), None
    except Exception as error:  # the job's own: told to its caller, and no neighbour is undone
        if _is_passing(error):
            raise
        connection.execute("ROLLBACK TO job")
        result, failure = None, error
    connection.execute("RELEASE job")
    if isinstance(failure, sqlite3.Error):
        failure = OutboxError(f"The event store refused this: {failure}")
    return job.future, result, failure


def _is_passing(error: Exception) -> bool:
    # The low byte is the primary code (sqlite.org/rescode.html).
    return isinstance(error, sqlite3.OperationalError) and (error.sqlite_errorcode & 0xFF) in PASSING


def _resolve(results: list[Result]) -> None:
    for future, result, failure in results:
        if future.done():  # its caller was cancelled
            continue
        if failure is None:
            future.set_result(result)
        else:
            future.set_exception(failure)


async def _within(seconds: float, future: asyncio.Future[None]) -> bool:
    done, _ = await asyncio.wait([future], timeout=seconds)
    return bool(done)
