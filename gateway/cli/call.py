"""`linescribe call`: simulated telephone systems and carriers."""

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
    "twilio": ("gateway.cli.call_carriers", "twilio", "Call like Twilio's media streams."),
    "telnyx": ("gateway.cli.call_carriers", "telnyx", "Call like Telnyx's media streaming."),
    "signalwire": ("gateway.cli.call_carriers", "signalwire", "Call like SignalWire's media streams."),
    "plivo": ("gateway.cli.call_carriers", "plivo", "Call like Plivo's, or Vobiz's, audio streaming."),
    "exotel": ("gateway.cli.call_carriers", "exotel", "Call like Exotel's Stream applet."),
}


@click.group(cls=Lazy, table=COMMANDS)
def call() -> None:
    """Play files into a gateway as a telephone system, or a carrier, would.

    \b
    Examples:
      linescribe call asterisk greeting.wav answer.ulaw
      linescribe call asterisk-websocket greeting.wav
      linescribe call freeswitch --both caller.wav agent.wav
      linescribe call twilio --both caller.wav agent.wav
    """
