"""The event store: an event is kept on disk before anything else happens to it, until it was delivered.

Per endpoint, the events of one call form a line and are sent in turn; outbox.sql tells how. The store
knows nothing of HTTP: a sender claims deliveries, tries them and settles them. What was claimed by a
process that died is due again as soon as the next one starts, so an event may be sent more than once,
always under the same `event_id`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.delivery.database import SQL, OutboxError, open_database
from gateway.delivery.retry import Decision, Delivered, GiveUp, RetryAt
from gateway.delivery.writer import QUEUE_LIMIT, Probe, Writer, no_probe
from gateway.events import CallEnded

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gateway.events import StoredEvent

__all__ = ["Delivery", "Outbox", "OutboxError", "Probe", "UnfinishedCall", "no_probe"]

CLOSE_SECONDS = 10.0
FORGET_CALLS = 50
"""Calls forgotten in one transaction: few, so that live calls need not wait behind it."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event on its way to one endpoint."""

    endpoint: str
    event_id: str
    call_id: str
    sequence: int
    body: bytes
    attempt: int
    """From 1; counts those before it that came to an end."""


class UnfinishedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call whose end was never stored."""

    call_id: str
    started_body: bytes | None
    """What its call.started carried, if that was stored."""
    last_sequence: int
    finals: int
    failed: int
    """Stored events of type transcript.final and transcript.failed."""
    endpoints: tuple[str, ...]
    """Who was to be sent its events."""


class Outbox:
    """The store in one directory. `clock` gives seconds since the epoch.

    `probe` is told "outbox.before_commit" and "outbox.after_commit", on the writer's thread, around each
    commit that takes events in. All methods raise OutboxError when the store is not open.
    """

    def __init__(
        self,
        directory: Path,
        *,
        clock: Callable[[], float],
        probe: Probe = no_probe,
        queue_limit: int = QUEUE_LIMIT,
    ) -> None:
        self._clock = clock
        self._writer = Writer(partial(open_database, directory), probe=probe, queue_limit=queue_limit)

    async def start(self) -> None:
        """Open the store and free what the previous process had claimed.

        Raises OutboxError: another gateway uses the directory, it cannot be written to, or its schema is newer.
        """
        await self._writer.start()
        await self._writer.submit(partial(_release, now=self._clock()))

    async def append(self, event: StoredEvent, endpoints: Sequence[str]) -> None:
        """Store an event for delivery to each endpoint, and return when it is committed.

        The events of a call are to be appended in order of sequence. An `event_id` that is already stored
        is left as it is. Raises OutboxError, also when too many events wait to be stored.
        """
        work = partial(_append, event=event, endpoints=tuple(endpoints), now=self._clock())
        await self._writer.submit(work, accepts=True)

    async def unfinished_calls(self) -> list[UnfinishedCall]:
        """List the calls that have events but no call.ended."""
        return await self._writer.submit(_unfinished_calls)

    async def claim(self, endpoint: str, limit: int, lease_seconds: float, hold_back_seconds: float) -> list[Delivery]:
        """Take up to `limit` deliveries that are due, longest due first; each is to be settled.

        Of each call only the first undelivered one is taken, unless that one was first claimed
        `hold_back_seconds` ago or earlier: then those behind it no longer wait for it. What is not settled
        within `lease_seconds` can be claimed again.
        """
        now = self._clock()
        values = {
            "endpoint": endpoint,
            "limit": limit,
            "now": now,
            "lease_until": now + lease_seconds,
            "holds_until": now + hold_back_seconds,
        }
        return await self._writer.submit(partial(_claim, values=values))

    async def settle(self, delivery: Delivery, decision: Decision) -> None:
        """Record what came of an attempt. One that was overtaken by another attempt changes nothing."""
        await self._writer.submit(partial(_settle, delivery=delivery, decision=decision, now=self._clock()))

    async def next_due(self, endpoint: str) -> float | None:
        """Tell when a claim can next find something; None if not before an event is appended."""
        return await self._writer.submit(lambda db: _scalar(db, "next_due", {"endpoint": endpoint}))

    async def pending(self) -> int:
        """Count the deliveries that are not settled."""
        count: int = await self._writer.submit(lambda db: _scalar(db, "pending", {}))
        return count

    async def prune(self, before: float) -> int:
        """Forget calls that ended before this time and have nothing left to deliver; count their events."""
        removed, more = 0, True
        while more:
            forgotten, more = await self._writer.submit(partial(_forget, before=before))
            removed += forgotten
        return removed

    async def close(self, timeout_seconds: float = CLOSE_SECONDS) -> None:
        """Store what waits to be stored. What cannot be by then fails with OutboxError."""
        await self._writer.close(timeout_seconds)


def _scalar(db: sqlite3.Connection, name: str, values: dict[str, Any]) -> Any:
    return db.execute(SQL[name], values).fetchone()[0]


def _release(db: sqlite3.Connection, *, now: float) -> None:
    db.execute(SQL["release_leases"], {"now": now})


def _append(db: sqlite3.Connection, *, event: StoredEvent, endpoints: tuple[str, ...], now: float) -> None:
    values = msgspec.structs.asdict(event) | {"now": now}
    db.execute(SQL["append_call"], values)
    inserted = db.execute(SQL["append_event"], values)
    if inserted.rowcount == 0:
        return
    values["event"] = inserted.lastrowid
    for endpoint in endpoints:
        db.execute(SQL["append_delivery"], values | {"endpoint": endpoint})
    if event.type == CallEnded.type:
        db.execute(SQL["end_call"], values)


def _unfinished_calls(db: sqlite3.Connection) -> list[UnfinishedCall]:
    return [
        UnfinishedCall(
            call_id=call_id,
            started_body=body,
            last_sequence=last_sequence,
            finals=finals,
            failed=failed,
            endpoints=tuple(endpoints.split(",")) if endpoints else (),  # a name holds no comma
        )
        for call_id, body, last_sequence, finals, failed, endpoints in db.execute(SQL["unfinished_calls"])
    ]


def _claim(db: sqlite3.Connection, *, values: dict[str, Any]) -> list[Delivery]:
    for event, endpoint, call_id in db.execute(SQL["overdue_fronts"], values).fetchall():
        db.execute(SQL["pass_front"], {"event": event, "endpoint": endpoint})
        db.execute(SQL["advance_line"], {"call_id": call_id, "endpoint": endpoint, "now": values["now"]})
    rows = db.execute(SQL["due_deliveries"], values).fetchall()
    db.executemany(SQL["lease"], [values | {"event": event} for event, *_ in rows])
    return [
        Delivery(
            endpoint=values["endpoint"],
            event_id=event_id,
            call_id=call_id,
            sequence=sequence,
            body=body,
            attempt=attempt,
        )
        for _, event_id, call_id, sequence, body, attempt in rows
    ]


def _settle(db: sqlite3.Connection, *, delivery: Delivery, decision: Decision, now: float) -> None:
    values = msgspec.structs.asdict(delivery) | {"now": now}
    match decision:
        case Delivered():
            db.execute(SQL["settle_delivered"], values)
        case RetryAt(due_at):
            db.execute(SQL["settle_retry"], values | {"due_at": due_at})
        case GiveUp(reason):
            db.execute(SQL["settle_given_up"], values | {"reason": reason})
    db.execute(SQL["advance_line"], values)


def _forget(db: sqlite3.Connection, *, before: float) -> tuple[int, bool]:
    """Forget some calls; count their events and tell whether there may be more calls."""
    calls = db.execute(SQL["forgettable_calls"], {"before": before, "limit": FORGET_CALLS}).fetchall()
    names = [{"call_id": call_id} for (call_id,) in calls]
    removed = db.executemany(SQL["forget_events"], names).rowcount if names else 0
    db.executemany(SQL["forget_call"], names)
    return removed, len(calls) == FORGET_CALLS
