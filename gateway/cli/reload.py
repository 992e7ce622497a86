"""`linescribe reload`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gateway.cli.control import ask_or_exit, gateway_option

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@gateway_option
def reload(directory: Path) -> None:
    """Have the gateway on this machine read its settings again, and take over what can change.

    Limits, routes, endpoints and their secrets, speech, interims, transcripts, the log's level, tokens and models
    change under calls in progress; these keep the settings that they began with. Ports, the state directory and the
    spool want a restart: what differs there is named. Where anything is wrong nothing changes at all. Other models are
    loaded first, beside those that decode, which may take minutes.

    SIGHUP does the same, and the log tells the outcome. Exit status 1 when the gateway refuses, 2 when the settings
    cannot be used, 3 when no gateway answers.

    \b
    Examples:
      linescribe reload --config /etc/linescribe/gateway.yaml
      systemctl reload linescribe
    """
    told = ask_or_exit(directory, "POST", "/admin/reload")
    if not told["taken"] and not told["restart"]:
        click.echo("nothing has changed")
    for key in told["taken"]:
        click.echo(f"taken over: {key}")
    for key in told["restart"]:
        click.echo(f"needs a restart: {key}")
