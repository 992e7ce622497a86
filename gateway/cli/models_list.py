"""`linescribe models list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from gateway.cli.check_config import config_option, settings_or_exit
from gateway.cli.models_options import as_json_option, cannot_read_cache
from gateway.inventory import inventory
from gateway.models import cache_dir

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.inventory import Known

WIDEST = 1000
"""A line for each model where no terminal sets the width."""


@click.command(name="list")
@config_option
@as_json_option
def list_models(file: Path | None, *, as_json: bool) -> None:
    """List the models that could be used, and where the weights of each lie.

    Never asks the network. The list holds what the settings name, what lies in the cache, and every model that has
    a short name. "partial" is half fetched: the next fetch goes on from there. "damaged" is fetched anew when it is
    needed.

    \b
    Examples:
      linescribe models list
      linescribe models list --config my.yaml --json | jq -r '.[] | select(.place == "cache") | .name'
    """
    settings = settings_or_exit(file)
    cache = cache_dir(settings.models)
    try:
        known = inventory(settings.models, cache)
    except OSError as error:
        cannot_read_cache(error)
    if as_json:
        click.echo(msgspec.json.encode(known, enc_hook=str))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDEST
    console.print(_table(known))
    click.echo(f"\ncache: {cache / 'weights'}")


def _table(known: list[Known]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading, options in _COLUMNS.items():
        table.add_column(heading, **options)
    for each in known:
        here = each.place not in {"not here", "partial", "damaged"}
        cells = (
            each.name,
            each.place,
            "" if each.size_bytes is None else decimal(each.size_bytes),
            " ".join(each.roles),
            {True: "English", False: "many", None: ""}[each.english_only],
            each.source or "",
        )
        # As texts, for a name may hold brackets.
        table.add_row(*map(Text, cells), style=None if here or each.roles else "dim")
    return table


_COLUMNS: dict[str, dict[str, Any]] = {
    "name": {"overflow": "fold"},
    "where": {"no_wrap": True},
    "size": {"justify": "right", "no_wrap": True},
    "used for": {"no_wrap": True},
    "languages": {"no_wrap": True},
    "source": {"no_wrap": True},
}
