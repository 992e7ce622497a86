"""`linescribe outbox enable` and `disable`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gateway.cli.outbox_options import check_endpoint, now, shop_options
from gateway.delivery import operating

if TYPE_CHECKING:
    from gateway.cli.outbox_options import Shop


@click.command()
@shop_options
@click.argument("endpoint")
def enable(shop: Shop, endpoint: str) -> None:
    """Send ENDPOINT what waits for it: it was disabled by its own 410 Gone, or by linescribe outbox disable.

    \b
    Example:
      linescribe outbox enable crm
    """
    with shop.store(writing=True) as db:
        check_endpoint(shop, db, endpoint)
        done = operating.enable(db, endpoint)
    click.echo(f"{endpoint} is enabled" if done else f"{endpoint} was not disabled")


@click.command()
@shop_options
@click.argument("endpoint")
@click.option("--reason", default="disabled by the operator", help="Why; linescribe outbox status shows it.")
def disable(shop: Shop, endpoint: str, reason: str) -> None:
    """Send ENDPOINT nothing until linescribe outbox enable; what is for it waits, and is not lost.

    After delivery.keep_dead_hours what waits becomes a dead letter.

    \b
    Example:
      linescribe outbox disable crm --reason "new database until 14:00"
    """
    with shop.store(writing=True) as db:
        check_endpoint(shop, db, endpoint)
        done = operating.disable(db, endpoint, reason, now())
    click.echo(f"{endpoint} is disabled" if done else f"{endpoint} was disabled already")
