"""`linescribe twilio stop`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from adapters.twilio.starting import STREAM_NAME
from gateway.cli.twilio_options import rest, run, twilio_options

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_NAME = 200


def _stream(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if not 0 < len(value) <= LONGEST_NAME or not value.isprintable():
        raise click.BadParameter("expected a stream's SID, or the name that it was given", ctx, param)
    return value


@click.command()
@twilio_options
@click.option(
    "--stream",
    default=STREAM_NAME,
    show_default=True,
    metavar="SID|NAME",
    callback=_stream,
    help="Which stream of the call; this is the name of those that the gateway has asked for.",
)
def stop(call_sid: str, *, account: str, auth_token_file: Path | None, api_url: str, stream: str) -> None:
    """Stop a stream of a call of Twilio's, and let the call go on.

    CALL_SID names the call: CA and 32 hexadecimal digits. A stream that the gateway's answer to Twilio has started
    with the call is stopped, too. What was said until then is transcribed. Exit status 1 if Twilio refuses.

    \b
    Examples:
      linescribe twilio stop CA5ef8732a3c49700934481addd5ce1659
      linescribe twilio stop CA5ef8732a3c49700934481addd5ce1659 --stream MZ18ad3ab5a668481ce02b83e7395059f0
    """
    sid = run(rest(account, auth_token_file, api_url).stop(call_sid, stream))
    click.echo(f"{sid} stopped")
