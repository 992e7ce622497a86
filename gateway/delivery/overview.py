"""How the event store fares: what waits for whom, since when, and what was given up. Read beside its writer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.delivery.database import SQL, open_beside

if TYPE_CHECKING:
    from pathlib import Path


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


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """The store at one moment."""

    lines: dict[str, Line] = {}
    used_bytes: int = 0
    """Of the file; what lies empty in it is not counted."""

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
