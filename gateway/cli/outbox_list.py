"""`linescribe outbox list`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from gateway.cli.outbox_options import (
    as_json_option,
    check_endpoint,
    now,
    selection_options,
    shop_options,
)
from gateway.cli.outbox_output import cells, console, local, table, what_next, where
from gateway.delivery.database import SQL
from gateway.delivery.operating import DEAD, DELIVERED, DISCARDED, PENDING, describe, select

if TYPE_CHECKING:
    import sqlite3

    from gateway.cli.outbox_options import Shop
    from gateway.delivery.operating import Found, Selection

STATES = (PENDING, DEAD, DELIVERED, DISCARDED)


@click.command(name="list")
@shop_options
@selection_options
@click.option(
    "--state",
    "states",
    type=click.Choice(STATES),
    multiple=True,
    help="Only deliveries in this state; can be given more than once (pending and dead).",
)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many, the newest.")
@as_json_option
def list_deliveries(
    shop: Shop,
    selection: Selection,
    endpoint: str | None,
    states: tuple[str, ...],
    limit: int,
    *,
    as_json: bool,
) -> None:
    """List deliveries: which event, for whom, and what becomes of it. The newest come last.

    Texts are not shown; linescribe outbox show does.

    \b
    Examples:
      linescribe outbox list
      linescribe outbox list --endpoint crm --state dead --limit 1000
      linescribe outbox list --call 01a1f7f2-f710-751d-a860-037b3023247e --state delivered --json
    """
    with shop.store() as db:
        check_endpoint(shop, db, endpoint)
        found, more = _find(db, selection, endpoint, states or (PENDING, DEAD), limit)
        disabled = {name for name, *_ in db.execute(SQL["disabled_endpoints"])}
    if as_json:
        click.echo(msgspec.json.encode([msgspec.structs.replace(each, url=None) for each in found]))
        return
    shown = table("stored", "event", "type", "endpoint", "attempts", "what next", right=("attempts",))
    for each in found:
        next_ = what_next(each, now(), disabled=each.endpoint in disabled)
        row = (local(each.stored_at), each.event_id, each.type, where(each), str(each.attempts), next_)
        shown.add_row(*cells(*row))
    console().print(shown if found else "nothing")
    if more:
        click.echo("there are more: --limit, --since, --call and --endpoint say which", err=True)


def _find(
    db: sqlite3.Connection, selection: Selection, endpoint: str | None, states: tuple[str, ...], limit: int
) -> tuple[list[Found], bool]:
    """Look through events from the newest on, until there are enough; tell whether there are more."""
    narrow = states if set(states) <= {PENDING, DEAD} else ()
    found: list[Found] = []
    for event in reversed(select(db, selection, states=narrow)):
        found += [each for each in describe(db, event, endpoint) if each.state in states]
        if len(found) > limit:
            return found[:limit][::-1], True
    return found[::-1], False
