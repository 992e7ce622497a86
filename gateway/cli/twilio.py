"""`linescribe twilio`: the streams of Twilio's calls that are in progress."""

from __future__ import annotations

import click

from gateway.cli import Lazy

COMMANDS = {
    "start": ("gateway.cli.twilio_start", "start", "Have a call in progress transcribed."),
    "stop": ("gateway.cli.twilio_stop", "stop", "Stop it, and let the call go on."),
}


@click.group(cls=Lazy, table=COMMANDS)
def twilio() -> None:
    """Have calls of Twilio's transcribed that are in progress already, whatever has set them up.

    A call goes on as before: Twilio sends a copy of its audio. It is asked for that as the account of
    TWILIO_ACCOUNT_SID, with TWILIO_AUTH_TOKEN, by whoever runs this: the gateway itself never asks Twilio.

    \b
    Examples:
      linescribe twilio start CA5ef8732a3c49700934481addd5ce1659
      linescribe twilio stop CA5ef8732a3c49700934481addd5ce1659
    """
