"""Jobs of several callers in one transaction of the event store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.delivery.database import OutboxError

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
Probe = Callable[[str], None]
Result = tuple["asyncio.Future[Any]", object, Exception | None]

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


def no_probe(_name: str) -> None:
    """Stand where a test may put its own function, to be told of a moment or to end the process at it."""


@dataclass(frozen=True, eq=False)
class Job:
    """A function of the connection, and who waits for what comes of it."""

    work: Work[object]
    future: asyncio.Future[Any]
    accepts: bool
    """Whether it takes something new in."""


def transact(connection: sqlite3.Connection, batch: list[Job], probe: Probe) -> list[Result]:
    """Run jobs, each inside a savepoint, and commit; give what to tell each caller.

    The jobs are of one kind. Raises what concerns all of them, such as a full disk; then nothing has happened.
    """
    accepts = batch[0].accepts
    connection.execute("BEGIN IMMEDIATE")
    try:
        results = [_attempt(connection, job) for job in batch]
        if accepts:
            probe("outbox.before_commit")
        connection.execute("COMMIT")
    finally:
        # Some errors end the transaction by themselves (sqlite.org/lang_transaction.html, 3).
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    if accepts:
        probe("outbox.after_commit")
    return results


def _attempt(connection: sqlite3.Connection, job: Job) -> Result:
    """Run one job inside its savepoint. Raises only what concerns the whole transaction."""
    connection.execute("SAVEPOINT job")
    try:
        result, failure = job.work(connection), None
    except Exception as error:  # the job's own: told to its caller, and no neighbour is undone
        if is_passing(error):
            raise
        connection.execute("ROLLBACK TO job")
        result, failure = None, error
    connection.execute("RELEASE job")
    if isinstance(failure, sqlite3.Error):
        failure = OutboxError(f"The event store refused this: {failure}")
    return job.future, result, failure


def is_passing(error: Exception) -> bool:
    """Tell whether an error is one of PASSING."""
    # The low byte is the primary code (sqlite.org/rescode.html).
    return isinstance(error, sqlite3.OperationalError) and (error.sqlite_errorcode & 0xFF) in PASSING
