"""`linescribe outbox retry`, `redeliver` and `discard`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.cli.check_config import BAD_SETTINGS
from gateway.cli.outbox_options import (
    check_endpoint,
    complain,
    fail,
    now,
    selection_options,
    shop_options,
)
from gateway.cli.transfers import Tenths
from gateway.delivery import operating
from gateway.delivery.operating import DEAD, PENDING, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.cli.outbox_options import Shop
    from gateway.delivery.operating import Selection

PAUSE_SECONDS = 0.02
"""Between two steps, for the gateway: its writer asks again for the file after some milliseconds."""

LONG = 1000
"""Events of which a bar or lines tell how far it is."""

INTERRUPTED = 130


@click.command()
@shop_options
@selection_options
@click.option(
    "--only", type=click.Choice([PENDING, DEAD]), help="What waits for its next attempt, or what was given up (both)."
)
def retry(
    shop: Shop,
    selection: Selection,
    endpoint: str | None,
    only: str | None,
) -> None:
    """Try again now what is not delivered; dead letters get all their attempts anew.

    Without options all of it. What waits behind another event of its call goes on waiting for that.

    \b
    Examples:
      linescribe outbox retry
      linescribe outbox retry --endpoint crm --only dead
      linescribe outbox retry --call 01a1f7f2-f710-751d-a860-037b3023247e
    """
    states = [only] if only else [PENDING, DEAD]
    with shop.store(writing=True) as db:
        check_endpoint(shop, db, endpoint)
        events = operating.select(db, selection, states=states)
        step = _run("trying again", operating.retry(db, events, endpoint=endpoint, states=states, now=now()))
    _tell(shop, step, "to be tried now")


@click.command()
@shop_options
@selection_options
@click.option(
    "--to", metavar="NAME", help="Send it to this endpoint of the settings, also what it was never to be sent."
)
def redeliver(
    shop: Shop,
    selection: Selection,
    endpoint: str | None,
    to: str | None,
) -> None:
    """Send events again that a receiver has had, or that were given up or discarded, under the same webhook-id.

    Name a call, an event or a time. The events of a call are sent in order, before later ones that still wait.

    \b
    Examples:
      linescribe outbox redeliver --call 01a1f7f2-f710-751d-a860-037b3023247e
      linescribe outbox redeliver --endpoint crm --since 2026-11-25T08:00 --until 2026-11-25T12:00
      linescribe outbox redeliver --to archive --since 7d
    """
    if not selection.narrow:
        raise click.UsageError("Say what: --call, --event, or a time by --since and --until.")
    _check_target(shop, endpoint, to)
    with shop.store(writing=True) as db:
        check_endpoint(shop, db, endpoint)
        events = operating.select(db, selection)
        step = _run("sending again", operating.redeliver(db, events, endpoint=endpoint, to=to, now=now()))
    _tell(shop, step, "to be sent again")


@click.command()
@shop_options
@selection_options
@click.option("--all", "everything", is_flag=True, help="All that is not delivered.")
@click.option("--dead", is_flag=True, help="Dead letters, too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def discard(
    shop: Shop,
    selection: Selection,
    endpoint: str | None,
    *,
    everything: bool,
    dead: bool,
    yes: bool,
) -> None:
    """Deliver events no more that are not delivered. They can be sent after all: linescribe outbox redeliver.

    What is just being tried is left.

    \b
    Examples:
      linescribe outbox discard --endpoint old-crm
      linescribe outbox discard --event msg_01a1f7f2-f710-751d-a860-037b3023247e_3 --yes
      linescribe outbox discard --until 7d --dead
    """
    if not (selection.narrow or endpoint or everything):
        raise click.UsageError("Say what: --endpoint, --call, --event, a time, or --all.")
    with shop.store(writing=True) as db:
        check_endpoint(shop, db, endpoint)
        events = operating.select(db, selection, states=[PENDING, DEAD] if dead else [PENDING])
        if events and not yes:
            click.confirm(f"Discard what is not delivered of {len(events)} events?", abort=True, err=True)
        steps = operating.discard(db, events, endpoint=endpoint, dead=dead, alone=not shop.running, now=now())
        step = _run("discarding", steps)
    _tell(shop, step, "discarded")


def _check_target(shop: Shop, endpoint: str | None, to: str | None) -> None:
    if to is None:
        return
    if endpoint is not None:
        raise click.UsageError("--endpoint and --to say different things: name one of them.")
    there = [each.name for each in shop.settings.delivery.endpoints if each.url is not None]
    if to not in there:
        fail(
            f"--to {to}: expected an endpoint of the settings that has a url: {', '.join(there) or 'none'}",
            BAD_SETTINGS,
        )


def _run(verb: str, steps: Iterator[Step]) -> Step:
    """Go through the steps, telling how far it is where that takes long; on Ctrl-C say what is done, and exit."""
    step = Step(done=0, total=0, changed=0, skipped=0)
    tenths = Tenths()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    try:
        with bar:
            task = bar.add_task(verb, total=None)
            for step in steps:
                bar.update(task, completed=step.done, total=step.total)
                percent = tenths.percent(verb, step.done, step.total) if step.total > LONG else None
                if percent is not None and not sys.stderr.isatty():
                    click.echo(f"{verb}: {percent} % of {step.total} events", err=True)
                time.sleep(PAUSE_SECONDS)
    except KeyboardInterrupt:
        complain(f"stopped after {step.done} of {step.total} events; {step.changed} deliveries are changed")
        sys.exit(INTERRUPTED)
    return step


def _tell(shop: Shop, step: Step, what: str) -> None:
    click.echo(f"{step.changed} {'delivery' if step.changed == 1 else 'deliveries'} {what}")
    if step.skipped:
        click.echo(f"{step.skipped} are just being tried, and left; try again in a moment", err=True)
    if step.changed and not shop.running and what != "discarded":
        click.echo("no gateway uses the store: that happens once one runs", err=True)
