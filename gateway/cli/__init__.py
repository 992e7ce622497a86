"""The command `linescribe`. Each subcommand is a file, imported only when it is called."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import click

from gateway import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMANDS = {
    "run": ("gateway.cli.run", "run", "Run the gateway."),
    "check-config": ("gateway.cli.check_config", "check_config", "Check a settings file and show what it means."),
    "route": ("gateway.cli.route", "route", "Tell which route a stream takes, and why."),
    "reload": ("gateway.cli.reload", "reload", "Have a running gateway read its settings again."),
    "drain": ("gateway.cli.drain", "drain", "Have a running gateway end with its last call."),
    "top": ("gateway.cli.top", "top", "Watch a running gateway."),
    "doctor": ("gateway.cli.doctor", "doctor", "Find out what is wrong with this machine, and how to mend it."),
    "install-systemd": ("gateway.cli.install_systemd", "install_systemd", "Run the gateway as a service of systemd."),
    "outbox": ("gateway.cli.outbox", "outbox", "See what waits for receivers, and act on it."),
    "receive": ("gateway.cli.receive", "receive", "Receive webhooks, verify them and print them."),
    "call": ("gateway.cli.call", "call", "Play files into a gateway as a telephone system would."),
    "twilio": ("gateway.cli.twilio", "twilio", "Have calls of Twilio's transcribed that are in progress."),
    "transcribe": ("gateway.cli.transcribe", "transcribe", "Transcribe audio files."),
    "models": ("gateway.cli.models", "models", "See, fetch, check and try the models that transcribe."),
    "demo": ("gateway.cli.demo", "demo", "Watch four calls being transcribed, start to end."),
}


class Lazy(click.Group):
    """Knows the subcommands by name, and loads one when it is needed.

    `table` tells of each name its module, the command's name in there, and what it is for.
    """

    def __init__(self, *args: Any, table: Mapping[str, tuple[str, str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  the base's signature
        """Name them in the table's order."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import it; None for what is not in the table."""
        if cmd_name not in self._table:
            return None
        module, name, _ = self._table[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Show what each is for without importing it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in self._table.items()])


@click.command(
    cls=Lazy, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="linescribe")
def main() -> None:
    """Transcribe live telephone calls and deliver the transcripts as signed webhooks.

    \b
    First steps:
      linescribe demo                     see it work, with nothing to set up
      linescribe receive                  a receiver that prints what it is sent
      linescribe run --config FILE        the gateway itself
      linescribe call asterisk call.wav   a call to try it with
      linescribe transcribe call.wav      the words of a recording, without a gateway
    """
