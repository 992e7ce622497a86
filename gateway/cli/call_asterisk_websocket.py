"""`linescribe call asterisk-websocket`: calls of Asterisk's chan_websocket."""

from __future__ import annotations

import secrets
import time
from functools import partial
from pathlib import Path
from typing import Any

import click

from gateway.callers.asterisk_websocket import call_asterisk_websocket
from gateway.callers.asterisk_websocket_plan import CODECS, Dialect, Direction, Leg
from gateway.callers.plan import At, CallPlan, parse_digit, parse_hold
from gateway.cli.call_options import credentials, each, named_values, read_files, socket_options, trust
from gateway.cli.call_sockets import Planned, run

URL = "ws://127.0.0.1:8080/asterisk"

POINTER_BYTES = 6


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@socket_options(URL, ["10", "20", "30", "40"])
@click.option(
    "--format", "codec", default="ulaw", show_default=True, type=click.Choice(list(CODECS)), help="Asterisk's codec."
)
@click.option(
    "--dialect",
    default=Dialect.JSON.value,
    show_default=True,
    type=click.Choice([dialect.value for dialect in Dialect]),
    help="How events are written; Asterisk itself writes plain-text unless it is told otherwise.",
)
@click.option(
    "--direction",
    default=Direction.BOTH.value,
    show_default=True,
    type=click.Choice([direction.value for direction in Direction]),
    help="Which way audio flows, as the gateway sees it.",
)
@click.option(
    "--variable",
    "variables",
    multiple=True,
    callback=named_values,
    metavar="NAME=VALUE",
    help="A variable of the channel, as the JSON dialect spells it: of _NAME it is NAME, of __NAME it is __NAME.",
)
@click.option(
    "--digit",
    "digits",
    multiple=True,
    callback=each(parse_digit),
    metavar="AT:KEY",
    help="Press a key at that second.",
)
@click.option(
    "--hold", "holds", multiple=True, callback=each(parse_hold), metavar="AT:SECONDS", help="Send nothing for so long."
)
@click.option("--reset", is_flag=True, help="End with a reset of the connection, as a broken call does.")
@click.option(
    "--hangup-after",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0, 3600),
    metavar="SECONDS",
    help="Stay connected, sending nothing, after the end of the file.",
)
def asterisk_websocket(
    files: tuple[Path, ...],
    *,
    url: str,
    user: str | None,
    password_file: Path | None,
    ca: Path | None,
    calls: int,
    interims: bool,
    codec: str,
    dialect: str,
    direction: str,
    variables: tuple[tuple[str, str], ...],
    **plan: Any,
) -> None:
    """Call like Asterisk's chan_websocket: one call for each FILE, all at the same time.

    FILE is a WAV file (PCM of 8 or 16 bits, any rate) or raw mu-law at 8 kHz (any other name). It is sent in
    real time, packet by packet, as --format has it. A key leaves a hole of 200 ms in the audio, as it does in
    Asterisk. What the gateway says is printed. Exit status 1 if a file cannot be read or a call does not come
    about, after four attempts, or is ended by the gateway or broken off.

    \b
    Examples:
      linescribe call asterisk-websocket greeting.wav
      linescribe call asterisk-websocket --format slin16 --variable GW_FROM=+15550100 greeting.wav
      linescribe call asterisk-websocket --dialect plain-text --digit 1.5:5 --hold 3:10 greeting.wav
      linescribe call asterisk-websocket --url wss://gateway.example/asterisk --user pbx greeting.wav
    """
    play = partial(
        call_asterisk_websocket,
        url=url,
        plan=_plan(**plan),
        credentials=credentials(user, password_file),
        tls=trust(ca),
    )
    planned = []
    for path, pcm in zip(files, read_files(files, CODECS[codec].rate_hz), strict=True):
        payload = CODECS[codec].encode(pcm)
        for _ in range(calls):
            leg = Leg(
                channel_id=f"{int(time.time())}.{secrets.randbelow(1 << 31)}",  # noqa: TID251  a command names a clock
                channel=f"WebSocket/gw/0x{secrets.token_hex(POINTER_BYTES)}",
                format=codec,
                dialect=Dialect(dialect),
                direction=Direction(direction),
                variables=variables,
            )
            planned.append(Planned(name=leg.channel_id, files=(path,), url=url, play=partial(play, payload, leg=leg)))
    run(planned, interims=interims)


def _plan(
    packet_ms: str,
    digits: tuple[At, ...],
    holds: tuple[At, ...],
    hangup_at: float | None,
    reset: bool,
    hangup_after: float,
) -> CallPlan:
    return CallPlan(
        packet_ms=int(packet_ms), digits=digits, holds=holds, hang_up_at=hangup_at, reset=reset, linger=hangup_after
    )
