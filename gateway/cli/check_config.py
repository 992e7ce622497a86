"""`linescribe check-config`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapters.tls import ServerTls, TlsError
from config.errors import ConfigError
from config.load import dump, load
from gateway.delivery.trust import EndpointTls
from gateway.normalizing import load_function

if TYPE_CHECKING:
    from config.settings import Settings

BAD_SETTINGS = 2
"""Exit status of every command that is given settings it cannot use."""


config_option = click.option(
    "--config", "-c", "file", type=click.Path(path_type=Path), envvar="LINESCRIBE_CONFIG", help="Settings file (YAML)."
)
"""For every command that is given the settings of a gateway."""


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
    settings = settings_or_exit(file)
    check_files_or_exit(settings)
    click.echo(dump(settings), nl=False)


def check_files_or_exit(settings: Settings) -> None:
    """Read the files that settings name; on an error say it in one line and exit with status 2."""
    try:
        check_files(settings)
    except (TlsError, ConfigError) as error:
        click.echo(f"linescribe: {error}", err=True)
        sys.exit(BAD_SETTINGS)


def read_settings(file: Path | None) -> Settings:
    """Load settings and look at the files that they name. Raises ConfigError and TlsError."""
    settings = load(file)
    check_files(settings)
    return settings


def check_files(settings: Settings) -> None:
    """Read the files of TLS, and import the normalizer. Raises TlsError and ConfigError."""
    listeners = {"http": settings.http.tls} | {each.name: each.tls for each in settings.audiosocket}
    for name, tls in listeners.items():
        if tls is not None:
            ServerTls(tls, name)
    for endpoint in settings.delivery.endpoints:
        if endpoint.tls is not None:
            EndpointTls(endpoint.tls, endpoint.name)
    if settings.transcripts.normalizer:
        load_function(settings.transcripts.normalizer)


def settings_or_exit(file: Path | None) -> Settings:
    """Load settings; on an error say it in one line and exit with status 2."""
    try:
        return load(file)
    except ConfigError as error:
        click.echo(f"linescribe: {error}", err=True)
        sys.exit(BAD_SETTINGS)
