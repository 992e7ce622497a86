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
from gateway.delivery.recipients import Recipient
from gateway.delivery.retry import Decision, Delivered, Disable, GiveUp, RetryAt
from gateway.delivery.transaction import Probe, no_probe
from gateway.delivery.writer import QUEUE_LIMIT, Writer
from gateway.events import CallEnded

if TYPE_CHECKING:
    import asyncio
    import sqlite3
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gateway.delivery.transaction import Work
    from gateway.events import StoredEvent

__all__ = ["Claimed", "Delivery", "Outbox", "OutboxError", "Probe", "UnfinishedCall", "no_probe"]

CLOSE_SECONDS = 10.0

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(tuple[Recipient, ...])


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event on its way to one endpoint."""

    endpoint: str
    event_id: str
    call_id: str
    sequence: int
    url: str | None
    """Where it goes, if the call has said so."""
    body: bytes
    attempt: int
    """From 1; counts those before it that came to an end."""


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """What may be sent to an endpoint, and when to ask again."""

    deliveries: list[Delivery]
    next_due: float | None
    """When there will be something to claim; None if not before an event is appended."""
    disabled: bool = False
    """It wants no more, and is sent nothing."""


class UnfinishedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call whose end was never stored."""

    call_id: str
    started_body: bytes | None
    """What its call.started carried, if that was stored."""
    last_sequence: int
    finals: int
    failed: int
    """Stored events of type transcript.final and transcript.failed."""
    recipients: tuple[Recipient, ...]
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
        self._version: int | None = None
        self._writer = Writer(partial(open_database, directory), probe=probe, queue_limit=queue_limit)

    @property
    def writable(self) -> bool:
        """Whether events can be committed, as far as is known."""
        return not self._writer.stuck

    @property
    def accepting(self) -> int:
        """Events that wait in memory to be committed."""
        return self._writer.accepting

    @property
    def rounds(self) -> int:
        """How often the writer has come round, whether it could commit or not."""
        return self._writer.rounds

    @property
    def waiting(self) -> int:
        """What waits for the writer, of any kind."""
        return self._writer.waiting

    @property
    def full(self) -> bool:
        """Whether as many of them wait as may."""
        return self._writer.full

    async def start(self) -> None:
        """Open the store and free what the previous process had claimed.

        Raises OutboxError: another gateway uses the directory, it cannot be written to, or its schema is newer.
        """
        await self._writer.start()
        await self._writer.submit(partial(_release, now=self._clock()))

    async def take(
        self, event: StoredEvent, recipients: Sequence[Recipient], wanted_by: Sequence[Recipient] | None = None
    ) -> asyncio.Future[None]:
        """Take an event in to be stored for delivery, and give what is done when it is committed.

        `recipients` are those of its call, of whom it is for those of `wanted_by`; None: for all. It waits only while
        too many wait to be stored. The events of a call are to be taken in in order of sequence. An `event_id` that is
        already stored is left as it is.
        """
        wanted_by = recipients if wanted_by is None else wanted_by
        values = msgspec.structs.asdict(event) | {"recipients": _encoder.encode(recipients), "now": self._clock()}
        lines = [{"endpoint": recipient.queue, "url": recipient.url} for recipient in wanted_by]
        return await self._writer.accept(partial(_append, values=values, lines=lines))

    async def committed(self, stored: asyncio.Future[None]) -> bool:
        """Wait until what was taken in is committed, or cannot be for now; tell whether it was. It may have failed."""
        return await self._writer.committed(stored)

    async def append(self, event: StoredEvent, recipients: Sequence[Recipient]) -> None:
        """Store an event for delivery to each recipient, and return when it is committed."""
        await (await self.take(event, recipients))

    async def unfinished_calls(self) -> list[UnfinishedCall]:
        """List the calls that have events but no call.ended."""
        return await self._writer.submit(_unfinished_calls)

    async def claim(self, endpoint: str, limit: int, lease_seconds: float, hold_back_seconds: float) -> Claimed:
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

    async def hasten(self, endpoint: str, most_attempts: int) -> None:
        """Make everything due that waits for its next attempt at an endpoint, and has had no more than so many."""
        values = {"endpoint": endpoint, "now": self._clock(), "most_attempts": most_attempts}
        while await self._writer.submit(lambda db: db.execute(SQL["hasten"], values).rowcount):
            pass

    async def changed_elsewhere(self) -> bool:
        """Tell whether somebody else has written to the store since this was last asked."""
        version = await self._writer.submit(lambda db: db.execute("PRAGMA data_version").fetchone()[0])
        self._version, before = version, self._version
        return before not in {None, version}

    async def pending(self) -> int:
        """Count the deliveries that are not settled."""
        count: int = await self._writer.submit(lambda db: db.execute(SQL["pending"]).fetchone()[0])
        return count

    async def run(self, work: Work[Any]) -> Any:
        """Do something else to the store, in one short transaction."""
        return await self._writer.submit(work)

    async def close(self, timeout_seconds: float = CLOSE_SECONDS) -> None:
        """Store what waits to be stored. What cannot be by then fails with OutboxError."""
        await self._writer.close(timeout_seconds)


def _release(db: sqlite3.Connection, *, now: float) -> None:
    db.execute(SQL["release_leases"], {"now": now})


def _append(db: sqlite3.Connection, *, values: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    db.execute(SQL["append_call"], values)
    inserted = db.execute(SQL["append_event"], values)
    if inserted.rowcount == 0:
        return
    values["event"] = inserted.lastrowid
    for line in lines:
        db.execute(SQL["append_delivery"], values | line)
    if values["type"] == CallEnded.type:
        db.execute(SQL["end_call"], values)


def _unfinished_calls(db: sqlite3.Connection) -> list[UnfinishedCall]:
    return [
        UnfinishedCall(
            call_id=call_id,
            started_body=body,
            last_sequence=last_sequence,
            finals=finals,
            failed=failed,
            recipients=_decoder.decode(recipients),
        )
        for call_id, body, last_sequence, finals, failed, recipients in db.execute(SQL["unfinished_calls"])
    ]


def _claim(db: sqlite3.Connection, *, values: dict[str, Any]) -> Claimed:
    if db.execute(SQL["disabled_since"], values).fetchone():
        return Claimed(deliveries=[], next_due=None, disabled=True)
    for event, endpoint, call_id in db.execute(SQL["overdue_fronts"], values).fetchall():
        db.execute(SQL["pass_front"], {"event": event, "endpoint": endpoint})
        db.execute(SQL["advance_line"], {"call_id": call_id, "endpoint": endpoint, "now": values["now"]})
    rows = db.execute(SQL["due_deliveries"], values).fetchall()
    db.executemany(SQL["lease"], [values | {"event": event} for event, *_ in rows])
    deliveries = [
        Delivery(
            endpoint=values["endpoint"],
            event_id=event_id,
            call_id=call_id,
            sequence=sequence,
            url=url,
            body=body,
            attempt=attempt,
        )
        for _, event_id, call_id, sequence, url, body, attempt in rows
    ]
    return Claimed(deliveries=deliveries, next_due=db.execute(SQL["next_due"], values).fetchone()[0])


def _settle(db: sqlite3.Connection, *, delivery: Delivery, decision: Decision, now: float) -> None:
    values = msgspec.structs.asdict(delivery) | {"now": now}
    match decision:
        case Delivered():
            db.execute(SQL["settle_delivered"], values)
        case RetryAt(due_at, reason):
            db.execute(SQL["settle_retry"], values | {"due_at": due_at, "reason": reason})
        case GiveUp(reason):
            db.execute(SQL["settle_given_up"], values | {"reason": reason})
        case Disable(reason):
            db.execute(SQL["settle_retry"], values | {"due_at": now, "reason": reason})
            db.execute(SQL["disable"], values | {"reason": reason})
    db.execute(SQL["advance_line"], values)
