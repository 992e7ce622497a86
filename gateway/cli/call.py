"""`linescribe call`: simulated telephone systems."""

from __future__ import annotations

import click

from gateway.cli import Lazy

COMMANDS = {
    "asterisk": ("gateway.cli.call_asterisk", "asterisk", "Call like Asterisk's AudioSocket()."),
    "asterisk-websocket": (
        "gateway.cli.call_asterisk_websocket",
        "asterisk_websocket",
        "Call like Asterisk's chan_websocket.",
    ),
    "freeswitch": ("gateway.cli.call_freeswitch", "freeswitch", "Call like FreeSWITCH's mod_audio_fork."),
}


@click.group(cls=Lazy, table=COMMANDS)
def call() -> None:
    """Play files into a gateway as a telephone system would.

    \b
    Examples:
      linescribe call asterisk greeting.wav answer.ulaw
      linescribe call asterisk-websocket greeting.wav
      linescribe call freeswitch --both caller.wav agent.wav
    """
