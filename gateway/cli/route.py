"""`linescribe route`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from adapters.asterisk.audiosocket import KIND as AUDIOSOCKET
from config.settings import Settings
from gateway.cli.check_config import config_option, settings_or_exit
from gateway.routes import CALLED, CALLING, Facts, Routes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from config.voice import TwilioVoice
    from gateway.routes import CallSettings, Verdict

WIDEST = 110

ADAPTERS = (AUDIOSOCKET, *Settings().websockets)
"""Each is called by the name of its section of the settings."""


@click.command()
@config_option
@click.option(
    "--adapter", type=click.Choice(ADAPTERS), default=AUDIOSOCKET, show_default=True, help="What it comes in by."
)
@click.option("--listener", help="The listener's name; that adapter's first one, if it is left out.")
@click.option("--account", help="The account; the listener's, if it is left out.")
@click.option("--called", help="The number that was called (parameter called).")
@click.option("--calling", help="The number of the caller (parameter calling).")
@click.option("--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="Any other parameter.")
@click.option("--explain", is_flag=True, help="Tell of every route why it fits or does not.")
def route(file: Path | None, *, explain: bool, parameters: tuple[str, ...], **given: Any) -> None:
    """Tell which route a stream takes, and which settings come of it.

    Nothing is started. What is left out is not known of the stream, so no condition on it holds. Exit status 2
    when the settings cannot be used.

    \b
    Examples:
      linescribe route --config my.yaml --listener customers
      linescribe route --adapter freeswitch --explain --called +18005551212 --parameter queue=support
    """
    settings = settings_or_exit(file)
    facts = _facts(settings, parameters, **given)
    routes = Routes(settings)
    console = Console(width=WIDEST, highlight=False, soft_wrap=False)
    if explain:
        console.print(_table(routes.explain(facts)))
        console.print()
    click.echo(_summary(routes.choose(facts)), nl=False)


def _facts(
    settings: Settings,
    parameters: Sequence[str],
    *,
    adapter: str,
    listener: str | None,
    account: str | None,
    called: str | None,
    calling: str | None,
) -> Facts:
    numbers = {name: value for name, value in ((CALLED, called), (CALLING, calling)) if value is not None}
    accounts = {each.name: each.account for each in getattr(settings, adapter)}
    listener = listener or next(iter(accounts), "")
    if listener not in accounts:
        there = ", ".join(accounts) or "none"
        click.echo(f"linescribe: there is no listener {listener!r} under {adapter} (there are: {there})", err=True)
    return Facts(
        adapter=adapter,
        listener=listener,
        account=account or accounts.get(listener),
        parameters=numbers | dict(map(_parameter, parameters)),
    )


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"expected NAME=VALUE, got {text!r}", param_hint="--parameter")
    return name, value


def _table(verdicts: Sequence[Verdict]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("route", "fits", "why"):
        table.add_column(heading, overflow="fold")
    reached = True
    for verdict in verdicts:
        fits = ("yes" if verdict.fits else "no") if reached else "not reached"
        table.add_row(verdict.route, fits, Text("\n".join(verdict.reasons)))  # which may hold brackets
        reached = reached and not verdict.fits
    return table


def _summary(chosen: CallSettings) -> str:
    """Show what a route comes to, in the words of the settings file."""
    content: dict[str, Any] = {
        "route": chosen.route,
        "language": chosen.language,
        "languages": list(chosen.languages),
        "task": chosen.decode.task,
        "profile": chosen.profile,
        "condition_on_previous_text": chosen.condition_on_previous_text,
        "endpointing": chosen.speech.endpointing,
        "hotwords": chosen.decode.hotwords,
        "initial_prompt": chosen.decode.initial_prompt,
        "labels": chosen.labels,
        **msgspec.structs.asdict(chosen.transcripts),
        "endpoints": list(chosen.endpoints),
        "max_calls": chosen.max_calls,
        "twilio": _as_written(chosen.voice),
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _as_written(voice: TwilioVoice | None) -> dict[str, Any] | None:
    """Leave out what does not apply."""
    if voice is None:
        return None
    return {name: value for name, value in msgspec.structs.asdict(voice).items() if value is not None}
