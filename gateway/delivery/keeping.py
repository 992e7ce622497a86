"""How long the event store keeps what: the delivered by age, the undeliverable by age, all of it by size.

What can be forgotten is looked up beside the writer, and forgotten a little at a time: live calls never wait for it.
What is still to be delivered is given up by age alone, and never for want of room.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from gateway.delivery.database import SQL, OutboxError, open_beside

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

    from config.delivery import Delivery
    from gateway.delivery.outbox import Outbox

LOOKED_UP = 1000
"""Calls or deliveries at a time."""

VACUUM_PAGES = 200
"""Given back to the disk in one transaction."""

TIDY_SECONDS = 600.0

SPARE = 0.25
"""So much of the file may lie empty, for what comes next."""

SPARE_PAGES = 1000

MIB = 1024 * 1024

log = structlog.get_logger()


class Keeper:
    """Forgets and gives up as the settings say. `clock` gives seconds since the epoch."""

    def __init__(self, outbox: Outbox, directory: Path, limits: Delivery, clock: Callable[[], float]) -> None:
        self._outbox = outbox
        self._directory = directory
        self._limits = limits
        self._clock = clock
        self._warned = False

    def adopt(self, limits: Delivery) -> None:
        """Keep to other settings from the next time on."""
        self._limits = limits

    async def run(self) -> None:
        """Do it now and then, until cancelled."""
        while True:
            try:
                forgotten = await self.tidy()
            except OutboxError as error:
                log.warning("old events are kept for now", error=str(error))
            else:
                log.debug("old events forgotten", events=forgotten)
            await asyncio.sleep(TIDY_SECONDS)

    async def tidy(self) -> int:
        """Do it once; tell how many events were forgotten. Raises OutboxError."""
        now = self._clock()
        dead_before = now - self._limits.keep_dead_hours * 3600
        await self._give_up(dead_before)
        forgotten = await self._forget(now - self._limits.keep_hours * 3600, dead_before)
        forgotten += await self._make_room(now)
        await self._give_back()
        return forgotten

    async def _give_up(self, before: float) -> None:
        """Give up what nobody took for so long."""
        given_up = 0
        reason = f"not delivered within {self._limits.keep_dead_hours:g} hours"
        while stale := await self._look_up("stale_deliveries", before=before):
            for at in range(0, len(stale), 100):
                work = partial(_give_up, stale=stale[at : at + 100], reason=reason, now=self._clock())
                given_up += await self._outbox.run(work)
            if len(stale) < LOOKED_UP:
                break
        if given_up:
            log.error("given up: nobody took it for too long (delivery.keep_dead_hours)", deliveries=given_up)

    async def _forget(self, before: float, dead_before: float, *, enough: Callable[[], Any] | None = None) -> int:
        """Forget calls that ended before one moment and have no dead letter since another; count their events.

        `enough` tells, after each call, whether to leave it at that.
        """
        forgotten = 0
        while calls := await self._look_up("forgettable_calls", before=before, dead_before=dead_before):
            for (call_id,) in calls:
                while removed := await self._outbox.run(partial(_forget, call_id=call_id)):
                    forgotten += removed
                if enough is not None and await enough():
                    return forgotten
            if len(calls) < LOOKED_UP:
                break
        return forgotten

    async def _make_room(self, now: float) -> int:
        """Forget what was delivered before its time while the store is too large, and then dead letters."""

        async def small_enough() -> bool:
            used_bytes, _ = await self._outbox.run(_size)
            return bool(used_bytes <= self._limits.most_store_mib * MIB)

        forgotten = 0
        for dead_before in (float("-inf"), now):
            if not await small_enough():
                forgotten += await self._forget(now, dead_before, enough=small_enough)
        if forgotten:
            log.warning("forgotten before its time: the store is full (delivery.most_store_mib)", events=forgotten)
        self._warn(too_large=not await small_enough())
        return forgotten

    def _warn(self, *, too_large: bool) -> None:
        if too_large and not self._warned:
            log.error(
                "the store is larger than it may be, and all of it is to be delivered yet (delivery.most_store_mib):"
                " see linescribe outbox status"
            )
        self._warned = too_large

    async def _give_back(self) -> None:
        """Give empty pages back to the disk, but for some that are soon used again."""
        while await self._outbox.run(_vacuum):
            pass

    async def _look_up(self, name: str, **values: float) -> list[Any]:
        return await asyncio.to_thread(_read, self._directory, name, values | {"limit": LOOKED_UP})


def _read(directory: Path, name: str, values: dict[str, float]) -> list[Any]:
    with open_beside(directory) as db:
        return db.execute(SQL[name], values).fetchall()


def _give_up(db: sqlite3.Connection, *, stale: list[Any], reason: str, now: float) -> int:
    given_up = 0
    for event, endpoint, call_id in stale:
        values = {"event": event, "endpoint": endpoint, "call_id": call_id, "reason": reason, "now": now}
        given_up += db.execute(SQL["give_up_stale"], values).rowcount
        db.execute(SQL["advance_line"], values)
    return given_up


def _forget(db: sqlite3.Connection, *, call_id: str) -> int:
    """Forget some events of a call, or the call when none is left; count the events."""
    removed = db.execute(SQL["forget_events"], {"call_id": call_id}).rowcount
    if not removed:
        db.execute(SQL["forget_call"], {"call_id": call_id})
    return removed


def _size(db: sqlite3.Connection) -> tuple[int, int]:
    """Tell how many bytes of the file are in use, and how many pages are not."""
    pages, free, page_bytes = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * page_bytes, free


def _vacuum(db: sqlite3.Connection) -> bool:
    """Give some pages back, unless few are empty; tell whether there may be more."""
    pages, free = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
    if free <= max(SPARE_PAGES, pages * SPARE):
        return False
    db.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
    return bool(db.execute("PRAGMA freelist_count").fetchone()[0] < free)
