"""`linescribe twilio start`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.callers.api import Api
from gateway.cli.call_options import TOKEN, pairs, secret, trust
from gateway.cli.twilio_options import rest, run, server_url, twilio_options

if TYPE_CHECKING:
    from gateway.twilio_rest import Rest

TRACKS = {"both": "both_tracks", "inbound": "inbound_track", "outbound": "outbound_track"}

WANTS_TOKEN = f"The gateway wants a token of its http.tokens: set {TOKEN}, or give --token-file PATH."


def _parameters(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    given = pairs(ctx, param, values)
    if len(dict(given)) < len(given):
        raise click.BadParameter("expected each NAME once", ctx, param)
    return dict(given)


@click.command()
@twilio_options
@click.option(
    "--track",
    default="both",
    show_default=True,
    type=click.Choice(list(TRACKS)),
    help="Whom to hear: inbound is what Twilio hears from the call, outbound what it plays to it.",
)
@click.option(
    "--parameter",
    "parameters",
    multiple=True,
    callback=_parameters,
    metavar="NAME=VALUE",
    help="What else the gateway is to know of the call: for its events, and for routes.",
)
@click.option(
    "--gateway",
    "gateway_url",
    default="http://127.0.0.1:8080",
    show_default=True,
    metavar="URL",
    callback=server_url,
    help="The HTTP API of the gateway.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help=f"Where a token for it lies, if it is not in {TOKEN}.",
)
@click.option(
    "--ca",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Trust the authority of this PEM file, or a certificate that it signed itself, for --gateway.",
)
@click.option("--listener", metavar="NAME", help="Which of the gateway's twilio listeners; its first by default.")
def start(
    call_sid: str,
    *,
    account: str,
    auth_token_file: Path | None,
    api_url: str,
    track: str,
    gateway_url: str,
    token_file: Path | None,
    ca: Path | None,
    **wanted: Any,
) -> None:
    """Have a call of Twilio's transcribed that is in progress already.

    CALL_SID names it: CA and 32 hexadecimal digits. The gateway is asked where the stream is to come, and Twilio to
    send it there. It must reach the gateway by the https:// URL of its setting http.public_url. On standard output
    stands the SID of the stream. It ends with the call. Exit status 1 if the gateway or Twilio refuses.

    \b
    Examples:
      linescribe twilio start CA5ef8732a3c49700934481addd5ce1659 --token-file pbx.token
      linescribe twilio start CA5ef8732a3c49700934481addd5ce1659 --track inbound --parameter queue=support
      linescribe twilio start CA5ef8732a3c49700934481addd5ce1659 --gateway https://calls.example --listener sales
    """
    twilio = rest(account, auth_token_file, api_url)
    gateway = Api(url=gateway_url, token=secret(token_file, TOKEN, WANTS_TOKEN), tls=trust(ca))
    asked = {"call_sid": call_sid, "account_sid": account, **wanted}
    click.echo(run(_start(gateway, twilio, asked, TRACKS[track])))
    click.echo(f"to stop it: linescribe twilio stop {call_sid}", err=True)


async def _start(gateway: Api, twilio: Rest, wanted: dict[str, Any], track: str) -> str:
    """Start it; give the stream's SID."""
    place = await gateway.twilio_stream(wanted)
    return await twilio.start(wanted["call_sid"], place, track)
