"""How deliveries look to people."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from config.checks import http_url
from gateway.delivery.operating import PENDING
from gateway.delivery.recipients import name_of

if TYPE_CHECKING:
    from gateway.delivery.operating import Found

WIDEST = 1000
"""A line for each delivery where no terminal sets the width."""

_SPANS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def console() -> Console:
    """Make what tables are printed on."""
    made = Console(highlight=False)
    if not made.is_terminal:
        made.width = WIDEST
    return made


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """Make a table without frames."""
    made = Table(box=None, pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", no_wrap=True)
    return made


def printable(text: str) -> str:
    """Take out what could steer a terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def cells(*texts: str, style: str | None = None) -> list[Text]:
    """Make texts of what may hold brackets."""
    return [Text(printable(text), style=style or "") for text in texts]


def span(seconds: float) -> str:
    """Say how long, in one unit: 42 s, 7 m, 30 h."""
    for size, unit in _SPANS:
        if seconds >= 2 * size or size == 1:
            return f"{int(max(seconds, 0)) // size} {unit}"
    raise AssertionError("the last unit fits always")


def local(moment: float | None) -> str:
    """Say when, on the clock of whoever reads it."""
    return "" if moment is None else f"{datetime.fromtimestamp(moment).astimezone():%Y-%m-%d %H:%M:%S}"


def where(found: Found) -> str:
    """Name the endpoint, and the host that the call has brought, and no more of its URL, which may be a secret."""
    if found.url is None:
        return found.endpoint
    try:
        return f"{name_of(found.endpoint)} at {http_url(found.url).hostname}"
    except ValueError:
        return found.endpoint


def what_next(found: Found, now: float, *, disabled: bool) -> str:
    """Say what becomes of a delivery, or has become of it, and why."""
    why = f" ({found.reason})" if found.reason else ""
    if found.state != PENDING:
        return f"{found.state} {local(found.settled_at)}{why}"
    if found.leased:
        return f"being tried{why}"
    if found.place == "held":
        return "waits for the events before it"
    if disabled:
        return f"the endpoint is disabled{why}"
    if found.due_at is not None and found.due_at > now:
        return f"tried again in {span(found.due_at - now)}{why}"
    return f"due{why}"
