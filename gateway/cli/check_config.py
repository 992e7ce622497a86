"""`linescribe check-config`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from config.errors import ConfigError
from config.load import dump, load

if TYPE_CHECKING:
    from config.settings import Settings

BAD_SETTINGS = 2
"""Exit status of every command that is given settings it cannot use."""


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False, envvar="LINESCRIBE_CONFIG")
def check_config(file: Path | None) -> None:
    """Check FILE and the environment, and print the settings that come out, secrets masked.

    Nothing is started. Without FILE (or LINESCRIBE_CONFIG) the environment alone is laid over the
    defaults. Exit status 2 and one
    line on standard error when something is wrong.

    \b
    Examples:
      linescribe check-config /etc/linescribe/gateway.yaml
      LINESCRIBE_LOG__LEVEL=debug linescribe check-config
    """
    click.echo(dump(settings_or_exit(file)), nl=False)


def settings_or_exit(file: Path | None) -> Settings:
    """Load settings; on an error say it in one line and exit with status 2."""
    try:
        return load(file)
    except ConfigError as error:
        click.echo(f"linescribe: {error}", err=True)
        sys.exit(BAD_SETTINGS)
