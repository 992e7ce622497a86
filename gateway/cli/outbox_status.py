"""`linescribe outbox status`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.filesize import decimal

from gateway.cli.outbox_options import as_json_option, fail, now, shop_options
from gateway.cli.outbox_output import cells, console, span, table
from gateway.delivery.database import FILE_NAME, OutboxError
from gateway.delivery.overview import Line, look
from gateway.delivery.recipients import name_of

if TYPE_CHECKING:
    from gateway.cli.outbox_options import Shop
    from gateway.delivery.overview import Overview


@click.command()
@shop_options
@as_json_option
@click.option("--check", is_flag=True, help="Exit with status 1 where an endpoint is disabled or has dead letters.")
def status(shop: Shop, *, as_json: bool, check: bool) -> None:
    """See how every endpoint fares: what waits for it, since when, what was given up.

    \b
    Examples:
      linescribe outbox status --config /etc/linescribe/gateway.yaml
      linescribe outbox status --json | jq '.endpoints[] | select(.dead > 0)'
      linescribe outbox status --check || echo "see to it"
    """
    try:
        overview = look(shop.directory)
    except OutboxError as error:
        fail(str(error))
    lines = dict.fromkeys(shop.endpoints, Line()) | overview.lines
    if as_json:
        click.echo(msgspec.json.encode(_as_json(shop, overview, lines)))
    else:
        _print(shop, overview, lines)
    if check and any(line.disabled or line.dead for line in lines.values()):
        sys.exit(1)


def _as_json(shop: Shop, overview: Overview, lines: dict[str, Line]) -> dict[str, Any]:
    return {
        "running": shop.running,
        "state_dir": str(shop.directory),
        "used_bytes": overview.used_bytes,
        "endpoints": [
            {
                "name": name,
                "in_settings": name_of(name) in shop.endpoints,
                "pending": line.pending,
                "oldest_seconds": None if line.oldest_stored_at is None else max(now() - line.oldest_stored_at, 0.0),
                "dead": line.dead,
                "disabled": line.disabled,
            }
            for name, line in lines.items()
        ],
    }


def _print(shop: Shop, overview: Overview, lines: dict[str, Line]) -> None:
    shown = table("endpoint", "pending", "oldest", "dead", "state", right=("pending", "oldest", "dead"))
    for name, line in lines.items():
        oldest = "" if line.oldest_stored_at is None else span(now() - line.oldest_stored_at)
        state = f"disabled: {line.disabled}" if line.disabled else ""
        state = state if name_of(name) in shop.endpoints else "not in the settings"
        shown.add_row(*cells(name, str(line.pending), oldest, str(line.dead), state))
    console().print(shown)
    size = sum(path.stat().st_size for path in shop.directory.glob(f"{FILE_NAME}*"))
    runs = "a gateway uses it" if shop.running else "no gateway uses it"
    click.echo(f"\n{shop.directory}: {decimal(overview.used_bytes)} in use of {decimal(size)}; {runs}")
    for hint in _hints(shop, lines):
        click.echo(hint)


def _hints(shop: Shop, lines: dict[str, Line]) -> list[str]:
    """Say what can be done about it."""
    hints = []
    for name, line in lines.items():
        known = name_of(name) in shop.endpoints
        if line.disabled:
            hints.append(f"send {name} what waits for it: linescribe outbox enable {name}")
        if line.dead and known:
            hints.append(f"try the dead letters again: linescribe outbox retry --only dead --endpoint {name}")
        if line.pending and not known:
            hints.append(
                f"{name} is not in these settings: put it there again, or linescribe outbox discard --endpoint {name}"
            )
    return hints
