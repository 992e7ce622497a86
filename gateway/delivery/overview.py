"""How the event store fares: what waits for whom, since when, and what was given up. Read beside its writer."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import msgspec

from gateway.delivery.database import SQL, open_beside
from gateway.delivery.recipients import name_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

UNKNOWN = "unknown"
"""Stands for endpoints that are not in the settings."""


class State(IntEnum):
    """How an endpoint fares."""

    WELL = 0
    RESTING = 1
    """It does not answer, or asked for a rest: it is tried now and then."""
    DISABLED = 2
    """It wants no more: what is for it waits for the operator."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What the store holds for one endpoint, by its name in the store."""

    pending: int = 0
    """Deliveries that are not settled."""
    oldest_stored_at: float | None = None
    """When the oldest of these was stored; seconds since the epoch."""
    dead: int = 0
    """Deliveries that were given up."""
    disabled: str | None = None
    """Why it is sent nothing."""

    def merged(self, other: Line) -> Line:
        """Take two lines for one."""
        oldest = [each for each in (self.oldest_stored_at, other.oldest_stored_at) if each is not None]
        return Line(
            pending=self.pending + other.pending,
            oldest_stored_at=min(oldest, default=None),
            dead=self.dead + other.dead,
            disabled=self.disabled or other.disabled,
        )


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """The store at one moment."""

    lines: dict[str, Line] = {}
    used_bytes: int = 0
    """Of the file; what lies empty in it is not counted."""

    def by_name(self, names: Collection[str]) -> dict[str, Line]:
        """Give a line for each of the settings' endpoints; what is for others comes under UNKNOWN, if anything is."""
        merged = dict.fromkeys(names, Line())
        for queue, line in self.lines.items():
            name = name_of(queue) if name_of(queue) in names else UNKNOWN
            merged[name] = merged.get(name, Line()).merged(line)
        return merged

    def state(self, name: str, resting: Sequence[bool]) -> State:
        """Tell how an endpoint fares; one that calls bring rests, or is disabled, when all of it is.

        `resting` tells it of each of its senders.
        """
        lines = [line for queue, line in self.lines.items() if name_of(queue) == name]
        if lines and all(line.disabled for line in lines):
            return State.DISABLED
        return State.RESTING if resting and all(resting) else State.WELL

    @property
    def pending(self) -> int:
        """Deliveries that are not settled."""
        return sum(line.pending for line in self.lines.values())


def look(directory: Path) -> Overview:
    """Take a look, which takes some time where much waits. Raises OutboxError."""
    with open_beside(directory) as db:
        lines = {
            endpoint: Line(pending=pending, oldest_stored_at=oldest, dead=dead)
            for endpoint, pending, oldest, dead in db.execute(SQL["figures"])
        }
        for endpoint, _, reason in db.execute(SQL["disabled_endpoints"]):
            lines[endpoint] = msgspec.structs.replace(lines.get(endpoint, Line()), disabled=reason)
        pages, free, page_bytes = (
            db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
    return Overview(lines=lines, used_bytes=(pages - free) * page_bytes)
