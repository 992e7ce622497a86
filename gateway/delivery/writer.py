"""The thread that owns the database, and commits whatever waited during one commit in the next one.

A job is a function of the connection. Of those that wait, a round commits first all that take something new in,
then some of the others, so that no event waits behind a storm of deliveries. Each job runs inside a savepoint:
one that fails does not undo its neighbours. Their callers hear of it after the commit, and not before.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from gateway.delivery.database import OutboxError
from gateway.delivery.transaction import Job, Probe, Work, is_passing, no_probe, transact

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from gateway.delivery.transaction import Result

T = TypeVar("T")
CLOSED = "The event store was closed before this could be stored"
QUEUE_LIMIT = 10_000
MOST_ACCEPTED = 1000
MOST_OTHERS = 100
"""Jobs in one transaction. What is accepted waits for one of the others at most, some milliseconds."""
RETRY_SECONDS = 1.0
ABANDON_SECONDS = 2.0
"""How long a thread that was told to let go may take to do so, before nobody waits for it."""

log = structlog.get_logger()


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
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._accepted: deque[Job] = deque()
        self._others: deque[Job] = deque()
        self._abandon = threading.Event()
        self._trouble: str | None = None
        self._waiting: set[asyncio.Future[Any]] = set()
        self._accepting = 0
        self._room = asyncio.Event()
        self._stuck: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._closing = False
        self.rounds = 0
        """How often the thread has come round, whether it could commit or not."""

    @property
    def waiting(self) -> int:
        """How many jobs of any kind have not come to their end."""
        return len(self._waiting)

    @property
    def accepting(self) -> int:
        """How many jobs that take something new in are not committed yet."""
        return self._accepting

    @property
    def full(self) -> bool:
        """Whether as many of these wait as may."""
        return self._accepting >= self._queue_limit

    @property
    def stuck(self) -> bool:
        """Whether the database could not be written to when that was last tried, or never will be again."""
        return self._closing or (self._stuck is not None and self._stuck.done())

    async def start(self) -> None:
        """Open the database. Raises OutboxError."""
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._stuck = self._loop.create_future()
        threading.Thread(target=self._run, name="outbox", daemon=True).start()
        await self.submit(lambda _connection: None)

    async def submit(self, work: Work[T]) -> T:
        """Run a job and return its result once that is committed.

        A caller that is cancelled does not take its job back. Raises what the job raises, and OutboxError.
        """
        return await self._put(work, accepts=False)

    async def accept(self, work: Work[T]) -> asyncio.Future[T]:
        """Take in a job that takes something new in, as soon as there is room, and give what it will come to.

        Those of one caller are done in the order in which they were taken in. Raises OutboxError.
        """
        while self.full and not self._closing:
            self._room.clear()
            await self._room.wait()
        future = self._put(work, accepts=True)
        self._accepting += 1
        future.add_done_callback(self._make_room)
        return future

    async def committed(self, future: asyncio.Future[None]) -> bool:
        """Wait until a job has come to its end, or cannot for now; tell whether it has."""
        assert self._stuck is not None  # noqa: S101  there is a job, so it was started
        await asyncio.wait({future, self._stuck}, return_when=asyncio.FIRST_COMPLETED)
        return future.done()

    def _put(self, work: Work[T], *, accepts: bool) -> asyncio.Future[T]:
        if self._ended is None or self._closing:
            raise OutboxError("The event store is not open")
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)
        self._jobs.put(Job(work, future, accepts))
        return future

    def _make_room(self, _future: asyncio.Future[Any]) -> None:
        self._accepting -= 1
        self._room.set()

    async def close(self, timeout_seconds: float) -> None:
        """Finish the jobs that wait. Those that cannot be by then fail with OutboxError."""
        if self._ended is None:
            return
        if not self._closing:
            self._closing = True
            self._room.set()
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
        self._room.set()
        self._fail(error)
        if self._ended and not self._ended.done():
            self._ended.set_result(None)

    def _hear_trouble(self, trouble: str | None) -> None:
        """Hear, on the loop, that the database cannot be written to, or can be again."""
        assert self._stuck is not None  # noqa: S101  the thread was started
        if trouble is None:
            self._stuck = self._loop.create_future()
            log.warning("the event store can be written to again")
            return
        self._stuck.set_result(None)
        log.error(
            "the event store cannot be written to; trying again every second, and events wait in memory",
            error=trouble,
        )

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
        while not self._abandon.is_set() and not (last and not self._accepted and not self._others):
            last = self._take() or last
            trouble = self._commit_some(connection, self._accepted, MOST_ACCEPTED)
            trouble = self._commit_some(connection, self._others, MOST_OTHERS) or trouble
            self.rounds += 1
            self._note(trouble)

    def _take(self) -> bool:
        """Take all jobs there are, waiting for one if there is none; tell whether the end was among them."""
        last = False
        with suppress(queue.Empty):
            while True:
                job = self._jobs.get(block=not last and not self._accepted and not self._others)
                if job is None:
                    last = True
                else:
                    (self._accepted if job.accepts else self._others).append(job)
        return last

    def _commit_some(self, connection: sqlite3.Connection, jobs: deque[Job], most: int) -> str | None:
        """Commit the first jobs of a line; tell what the disk or a neighbour had against it, and then keep them."""
        batch = list(islice(jobs, most))
        if not batch:
            return None
        try:
            results = transact(connection, batch, self._probe)
        except Exception as error:  # noqa: BLE001  told to those who wait
            if is_passing(error):
                return str(error)
            results = [(job.future, None, OutboxError(f"The event store failed: {error}")) for job in batch]
        for _ in batch:
            jobs.popleft()
        self._tell(_resolve, results)
        return None

    def _note(self, trouble: str | None) -> None:
        if (trouble is None) != (self._trouble is None):
            self._tell(self._hear_trouble, trouble)
        self._trouble = trouble
        if trouble is not None:
            self._abandon.wait(RETRY_SECONDS)

    def _tell(self, callback: Callable[..., None], *args: object) -> None:
        # The loop may be closed by now, and then nobody is left to hear.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *args)


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
