"""The file of the event store: who may read it, who may use it, what schema it has."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing, contextmanager
from importlib import resources
from typing import TYPE_CHECKING

import structlog
from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_NAME = "outbox.sqlite3"
LOCK_NAME = "outbox.lock"
BUSY_SECONDS = 1.0
"""Nobody else writes but an operator's command, in short transactions; the writer tries again when one is not."""

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)

_PRAGMAS = (
    "PRAGMA auto_vacuum = INCREMENTAL",  # first: it can only be chosen before anything is written
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # committed means on the disk, also when the power fails
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # what is forgotten is overwritten: transcripts are people's own words
)
_INCREMENTAL = 2
"""What `PRAGMA auto_vacuum` says where pages can be given back some at a time."""

log = structlog.get_logger()


class OutboxError(Exception):
    """The event store cannot do what was asked; the text says what would help."""


def load_statements(name: str) -> dict[str, str]:
    """Read the named statements of a .sql file that lies beside this module."""
    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    return dict(zip(parts[::2], parts[1::2], strict=True))


SQL = load_statements("outbox.sql")
MIGRATIONS = tuple(SQL[name] for name in sorted(SQL) if name.startswith("migration_"))
"""What leads from one schema to the next; a database's user_version counts those it has had."""


@contextmanager
def open_database(directory: Path) -> Iterator[sqlite3.Connection]:
    """Open the store for this process alone, with the present schema; make it if there is none.

    The connection is in autocommit mode and belongs to the calling thread. Raises OutboxError.
    """
    path = directory / FILE_NAME
    try:
        _make_private(directory, path)
        with _alone(directory), closing(_connect(path)) as connection:
            _migrate(connection, path)
            yield connection
    except OSError as error:
        raise OutboxError(f"{path}: expected a place this user may write to: {error}") from error


@contextmanager
def open_beside(directory: Path, *, writing: bool = False) -> Iterator[sqlite3.Connection]:
    """Open a store that is there, beside whoever uses it, to read or to write a little.

    The connection is in autocommit mode and belongs to the calling thread. Raises OutboxError.
    """
    path = directory / FILE_NAME
    try:
        if not path.stat().st_size:
            raise OutboxError(f"{path}: nothing was ever stored here")
        with closing(_connect_beside(path, writing=writing)) as connection:
            _check_schema(connection, path)
            yield connection
    except FileNotFoundError as error:
        raise OutboxError(
            f"{path}: there is no event store; name the gateway's settings file, or its state_dir"
        ) from error
    except OSError as error:
        raise OutboxError(f"{path}: {error.strerror}; use the account that the gateway runs under") from error
    except sqlite3.Error as error:
        raise OutboxError(f"{path}: {_remedy(error)}") from error


def _make_private(directory: Path, path: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    # SQLite gives its own two files beside this one the same mode.
    path.touch(mode=0o600)
    path.chmod(0o600)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    lock = FileLock(directory / LOCK_NAME, timeout=0, mode=0o600, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise OutboxError(
            f"{directory}: another gateway uses this state directory; stop it, or set another state_dir"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _remedy(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
        return f"expected an event store of Linescribe: {error}; move the file away to start with a new one"
    if code == sqlite3.SQLITE_FULL:
        return f"the event store needs room: {error}; make some on its disk, and leave the file: it may hold events"
    return f"the event store cannot be opened: {error}; see to its disk and its owner"


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
    except sqlite3.Error as error:
        connection.close()
        raise OutboxError(f"{path}: {_remedy(error)}") from error
    return connection


def _connect_beside(path: Path, *, writing: bool) -> sqlite3.Connection:
    mode = "rw" if writing else "ro"
    address = f"{path.resolve().as_uri()}?mode={mode}"
    connection = sqlite3.connect(address, timeout=10.0, isolation_level=None, uri=True)
    for pragma in _PRAGMAS[2:] if writing else ():
        connection.execute(pragma)
    return connection


def _check_schema(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise OutboxError(_newer(path, version))
    if version < len(MIGRATIONS):
        raise OutboxError(
            f"{path}: written by an older Linescribe; start this one's gateway once, and it is brought up"
        )


def _newer(path: Path, version: int) -> str:
    return (
        f"{path}: written by a newer Linescribe (schema {version}, this one knows {len(MIGRATIONS)});"
        " install that version again, or set another state_dir"
    )


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise OutboxError(_newer(path, version))
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        _apply(connection, number, script, path)
    if connection.execute("PRAGMA auto_vacuum").fetchone()[0] != _INCREMENTAL:
        _rearrange(connection, path)


def _apply(connection: sqlite3.Connection, number: int, script: str, path: Path) -> None:
    """Bring the schema to `number`, wholly or not at all."""
    try:
        connection.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT")
    except sqlite3.Error as error:
        raise OutboxError(f"{path}: the store could not be brought to schema {number}: {error}") from error


def _rearrange(connection: sqlite3.Connection, path: Path) -> None:
    """Let a store of schema 1 give back pages; once, before any call comes. It takes room for a second copy."""
    log.info("rearranging the event store, once", path=str(path))
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("VACUUM")
    except sqlite3.Error as error:
        log.warning("the event store serves as it is, but never grows smaller", path=str(path), error=str(error))
