"""`linescribe drain`."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from gateway.cli.control import NOT_RUNNING, ControlError, fail, gateway_option, request

if TYPE_CHECKING:
    from pathlib import Path

LOOK_SECONDS = 1.0


@click.command()
@gateway_option
@click.option("--wait/--no-wait", default=True, help="Whether to wait until the gateway has ended.  [default: wait]")
def drain(directory: Path, *, wait: bool) -> None:
    """Have the gateway on this machine take no new calls, and end with the last one in progress.

    It ends by itself then, and no later than calls.drain_seconds from now; under systemd it stays down only if it was
    told to (systemctl stop, which drains just the same). Exit status 3 when no gateway answers.

    \b
    Examples:
      linescribe drain --config /etc/linescribe/gateway.yaml
      linescribe drain --no-wait
    """
    try:
        asyncio.run(_drain(directory, wait=wait))
    except ControlError as error:
        fail(error)
    except KeyboardInterrupt:
        click.echo("linescribe: it drains on without you", err=True)
        sys.exit(130)


async def _drain(directory: Path, *, wait: bool) -> None:
    status = await request(directory, "POST", "/admin/drain")
    told = None
    while True:
        calls = status["calls"]["live"]
        if calls != told:
            click.echo(f"draining: {calls} calls in progress" if calls else "draining: no calls are left")
            told = calls
        if not wait:
            return
        await asyncio.sleep(LOOK_SECONDS)
        try:
            status = await request(directory, "GET", "/admin/status")
        except ControlError as error:
            if error.status != NOT_RUNNING:
                raise
            click.echo("the gateway has ended")
            return
