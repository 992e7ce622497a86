"""`linescribe outbox`: what a gateway stores for its receivers."""

from __future__ import annotations

import click

from gateway.cli import Lazy

COMMANDS = {
    "status": ("gateway.cli.outbox_status", "status", "See how every endpoint fares."),
    "list": ("gateway.cli.outbox_list", "list_deliveries", "List what is not delivered."),
    "show": ("gateway.cli.outbox_show", "show", "Show an event, or those of a call, with all its deliveries."),
    "retry": ("gateway.cli.outbox_change", "retry", "Try again now, dead letters too."),
    "redeliver": ("gateway.cli.outbox_change", "redeliver", "Send again what was sent: a call, an event, a time."),
    "discard": ("gateway.cli.outbox_change", "discard", "Deliver events no more."),
    "enable": ("gateway.cli.outbox_endpoint", "enable", "Send an endpoint what waits for it."),
    "disable": ("gateway.cli.outbox_endpoint", "disable", "Send an endpoint nothing for a while."),
}


@click.group(cls=Lazy, table=COMMANDS)
def outbox() -> None:
    """See what waits for receivers, and act on it, beside a gateway that runs or without one.

    \b
    A receiver was down, and something is missing:
      linescribe outbox status                     who waits for what, and why
      linescribe outbox list --endpoint crm        what it is
      linescribe outbox retry --endpoint crm       try now, dead letters too
      linescribe outbox redeliver --since 24h --endpoint crm
                                                   send again what it has lost

    A running gateway takes note within a second. Run it as the gateway's user, with its settings (--config or
    LINESCRIBE_CONFIG).
    """
