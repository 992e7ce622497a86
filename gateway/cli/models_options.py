"""What the subcommands of `linescribe models` have in common."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

import click
import msgspec

from gateway import log
from gateway.cli.check_config import BAD_SETTINGS

if TYPE_CHECKING:
    from config.settings import Models, Settings

INTERRUPTED = 130

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
model_option = click.option(
    "--model", metavar="NAME", help="A name or a directory, to be tried in the place of the settings' models."
)


def with_model(settings: Models, name: str | None) -> Models:
    """Let one model have both roles; exit with status 2 where it does not go with the language."""
    if name is None:
        return settings
    try:
        return msgspec.structs.replace(settings, interim=name, final=name)
    except ValueError as error:
        complain(f"--model {name}: {error}")
        sys.exit(BAD_SETTINGS)


def log_warnings(settings: Settings) -> None:
    """Let only what an operator at the terminal must know interrupt a command's own words."""
    log.configure(msgspec.structs.replace(settings.log, level="warning", format="text"))


def complain(text: str) -> None:
    """Say on standard error what went wrong, in one line."""
    click.echo(f"linescribe: {text}", err=True)


def fail(text: str) -> NoReturn:
    """Say what went wrong, and exit with status 1."""
    complain(text)
    sys.exit(1)


def cannot_read_cache(error: OSError) -> NoReturn:
    """Exit where it cannot be told what lies in the cache; the error names the place."""
    fail(f"cannot read the cache: {error}; see to it, or set models.cache_dir")


def stopped() -> NoReturn:
    """Exit as what Ctrl-C has ended."""
    complain("stopped")
    sys.exit(INTERRUPTED)
