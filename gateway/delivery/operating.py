"""What an operator asks of an event store, and does to it, beside the gateway that uses it.

Everything is done in short transactions with pauses between them: live calls store their events in the same file. The
gateway notices what was changed within a second. Time is an argument; a connection is one of `open_beside`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from gateway.delivery.database import SQL, load_statements

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

STEP = 50
"""Events in one transaction."""

WORDS = load_statements("operating.sql")

PENDING, DEAD, DELIVERED, DISCARDED = "pending", "dead", "delivered", "discarded"

_STATES = {"given_up": DEAD, "delivered": DELIVERED, "discarded": DISCARDED}


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are meant; what is left out is no condition."""

    event_id: str | None = None
    call_id: str | None = None
    since: float | None = None
    until: float | None = None
    """When they were stored, in seconds since the epoch: from the one on, and before the other."""

    @property
    def narrow(self) -> bool:
        """Whether it says anything."""
        return self != Selection()


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an event."""

    event_id: str
    call_id: str
    sequence: int
    type: str
    stored_at: float


class Found(About, frozen=True, kw_only=True):
    """One delivery of an event."""

    endpoint: str
    url: str | None
    state: str
    """PENDING, DEAD, DELIVERED or DISCARDED."""
    place: str | None
    """Of one that is pending: `front`, `held` or `passed`."""
    leased: bool
    """It is being tried, or a gateway died while it was."""
    due_at: float | None
    attempts: int
    reason: str | None
    settled_at: float | None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """How far a change has come."""

    done: int
    total: int
    """Events."""
    changed: int
    """Deliveries."""
    skipped: int
    """Deliveries that are being tried, and were left."""


def select(db: sqlite3.Connection, selection: Selection, *, states: Iterable[str] = ()) -> list[int]:
    """Give the events that are meant, oldest first; with `states`, PENDING and DEAD, those in one of them alone."""
    values: dict[str, object] = {
        "event_id": selection.event_id,
        "call_id": selection.call_id,
        "since": selection.since or 0.0,
        "until": selection.until or float("inf"),
    }
    wanted = {PENDING: "events_pending", DEAD: "events_dead"}
    sets: list[set[int]] = []
    if states:
        sets.append(set().union(*(_events(db, wanted[state], {}) for state in states)))
    if selection.event_id is not None:
        sets.append(_events(db, "event_named", values))
    if selection.call_id is not None:
        sets.append(_events(db, "events_of_call", values))
    if not sets or selection.since is not None or selection.until is not None:
        sets.append(_events(db, "events_between", values))
    return sorted(set.intersection(*sets))


def about(db: sqlite3.Connection, event: int) -> About | None:
    """Give what is known of an event; None when it has been forgotten since it was selected."""
    row = db.execute(WORDS["event"], {"event": event}).fetchone()
    return row and About(**dict(zip(About.__struct_fields__, row, strict=True)))


def describe(db: sqlite3.Connection, event: int, endpoint: str | None = None) -> list[Found]:
    """Give an event's deliveries."""
    known = about(db, event)
    if known is None:
        return []
    fields = msgspec.structs.asdict(known)
    rows = db.execute(WORDS["deliveries"], {"event": event, "endpoint": endpoint})
    return [
        Found(
            **fields,
            endpoint=name,
            url=url,
            state=_STATES.get(state, PENDING),
            place=None if state in _STATES else state,
            leased=bool(leased),
            due_at=due_at,
            attempts=attempts,
            reason=reason,
            settled_at=settled_at,
        )
        for name, url, state, leased, due_at, attempts, reason, settled_at in rows
    ]


def body(db: sqlite3.Connection, event: int) -> bytes:
    """Give what an event's receivers are sent."""
    row = db.execute(WORDS["body"], {"event": event}).fetchone()
    return b"" if row is None else bytes(row[0])


def retry(
    db: sqlite3.Connection, events: Sequence[int], *, endpoint: str | None, states: Iterable[str], now: float
) -> Iterator[Step]:
    """Have what waits for its next attempt tried now (PENDING), and what was given up tried again (DEAD)."""
    hurries, reopens = PENDING in states, DEAD in states

    def work(event: int) -> tuple[int, int]:
        values = {"event": event, "endpoint": endpoint, "now": now}
        changed = db.execute(WORDS["hurry"], values).rowcount if hurries else 0
        return changed + (_reopen(db, event, endpoint, now, every=False) if reopens else 0), 0

    return _in_steps(db, events, work)


def redeliver(
    db: sqlite3.Connection, events: Sequence[int], *, endpoint: str | None, to: str | None, now: float
) -> Iterator[Step]:
    """Send events again whatever came of them, in order; `to` an endpoint also those that it was never to have."""

    def work(event: int) -> tuple[int, int]:
        changed = _reopen(db, event, to or endpoint, now, every=True)
        return changed + (_add(db, event, to, now) if to else 0), 0

    return _in_steps(db, events, work)


def discard(
    db: sqlite3.Connection, events: Sequence[int], *, endpoint: str | None, dead: bool, alone: bool, now: float
) -> Iterator[Step]:
    """Deliver events no more, and with `dead` forget that they were given up.

    What is being tried is skipped; `alone`, without a gateway, nothing is.
    """

    def work(event: int) -> tuple[int, int]:
        lines = db.execute(WORDS["unsettled"], {"event": event, "endpoint": endpoint, "dead": dead}).fetchall()
        for name, call_id, leased in lines:
            if alone or not leased:
                values = {"event": event, "endpoint": name, "call_id": call_id, "now": now}
                db.execute(WORDS["discard"], values)
                db.execute(SQL["advance_line"], values)
        skipped = 0 if alone else sum(leased for *_, leased in lines)
        return len(lines) - skipped, skipped

    # The last first: what waits behind an event would else begin to be sent as soon as that is gone.
    return _in_steps(db, events[::-1], work)


def enable(db: sqlite3.Connection, endpoint: str) -> bool:
    """Send an endpoint what waits for it; False where it was not disabled."""
    return bool(db.execute(WORDS["enable"], {"endpoint": endpoint}).rowcount)


def disable(db: sqlite3.Connection, endpoint: str, reason: str, now: float) -> bool:
    """Send an endpoint nothing, until it is enabled; False where it was disabled already."""
    return bool(db.execute(SQL["disable"], {"endpoint": endpoint, "reason": reason, "now": now}).rowcount)


def _events(db: sqlite3.Connection, name: str, values: Mapping[str, object]) -> set[int]:
    return {event for (event,) in db.execute(WORDS[name], values)}


def _reopen(db: sqlite3.Connection, event: int, endpoint: str | None, now: float, *, every: bool) -> int:
    """Put an event back into the lines that have it behind them; count them."""
    lines = db.execute(WORDS["settled"], {"event": event, "endpoint": endpoint, "every": every}).fetchall()
    for name, call_id in lines:
        values = {"event": event, "endpoint": name, "call_id": call_id, "now": now}
        db.execute(WORDS["reopen"], values)
        db.execute(SQL["advance_line"], values)
    return len(lines)


def _add(db: sqlite3.Connection, event: int, endpoint: str, now: float) -> int:
    values = {"event": event, "endpoint": endpoint, "now": now}
    added = db.execute(WORDS["add"], values).rowcount
    if added:
        (call_id,) = db.execute(WORDS["call_of"], values).fetchone()
        db.execute(SQL["advance_line"], values | {"call_id": call_id})
    return added


def _in_steps(db: sqlite3.Connection, events: Sequence[int], work: Callable[[int], tuple[int, int]]) -> Iterator[Step]:
    """Do some work for each event; `work` tells how many deliveries it has changed, and how many skipped."""
    changed = skipped = 0
    for start in range(0, len(events), STEP):
        step = events[start : start + STEP]
        with _transaction(db):
            for event in step:
                more, left = work(event)
                changed, skipped = changed + more, skipped + left
        yield Step(done=start + len(step), total=len(events), changed=changed, skipped=skipped)


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
