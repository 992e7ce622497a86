"""`linescribe outbox show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from gateway.cli.outbox_options import as_json_option, fail, now, shop_options
from gateway.cli.outbox_output import local, printable, what_next, where
from gateway.delivery.database import SQL
from gateway.delivery.operating import Selection, about, body, describe, select

if TYPE_CHECKING:
    import sqlite3

    from gateway.cli.outbox_options import Shop
    from gateway.delivery.operating import About, Found


@click.command()
@shop_options
@click.argument("event_id", required=False)
@click.option("--call", "call_id", metavar="ID", help="All events of this call.")
@click.option("--no-body", is_flag=True, help="Leave out what was said.")
@as_json_option
def show(
    shop: Shop,
    event_id: str | None,
    call_id: str | None,
    *,
    no_body: bool,
    as_json: bool,
) -> None:
    """Show an event as its receivers are sent it, and what has become of each of its deliveries.

    EVENT_ID is its webhook-id, as linescribe outbox list and the log name it.

    \b
    Examples:
      linescribe outbox show msg_01a1f7f2-f710-751d-a860-037b3023247e_3
      linescribe outbox show --call 01a1f7f2-f710-751d-a860-037b3023247e --no-body
    """
    if (event_id is None) == (call_id is None):
        raise click.UsageError("Name an event, or a call with --call.")
    with shop.store() as db:
        events = select(db, Selection(event_id=event_id, call_id=call_id))
        if not events:
            fail(f"{event_id or call_id} is not in the store; what is delivered is kept for delivery.keep_hours")
        disabled = {name for name, *_ in db.execute(SQL["disabled_endpoints"])}
        for event in events:
            _show(db, event, disabled, no_body=no_body, as_json=as_json)


def _show(db: sqlite3.Connection, event: int, disabled: set[str], *, no_body: bool, as_json: bool) -> None:
    known = about(db, event)
    if known is None:
        return
    found = describe(db, event)
    content = b"" if no_body else body(db, event)
    if as_json:
        click.echo(msgspec.json.encode(_as_json(known, found, content)))
        return
    click.echo(printable(f"{known.event_id}  {known.type}  stored {local(known.stored_at)}"))
    for each in found:
        next_ = what_next(each, now(), disabled=each.endpoint in disabled)
        click.echo(printable(f"  {where(each)}: {next_}; attempts: {each.attempts}"))
    if not found:
        click.echo("  for nobody")
    if content:
        click.echo(_indented(content))


def _as_json(known: About, found: list[Found], content: bytes) -> dict[str, Any]:
    deliveries = [msgspec.structs.replace(each, url=None) for each in found]
    shown = msgspec.structs.asdict(known) | {"deliveries": deliveries}
    return shown | ({"body": msgspec.Raw(content)} if content else {})


def _indented(content: bytes) -> str:
    """Lay out JSON; a caller's words may hold what steers a terminal, and JSON of ours escapes only some of it."""
    lines = msgspec.json.format(content, indent=2).decode(errors="replace").splitlines()
    return "\n".join(f"  {printable(line)}" for line in lines)
