"""What the benchmarks of the whole gateway are told, and how they begin and end."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
import msgspec
from rich.console import Console

from bench.processes import PROC
from bench.prompts import read_prompts
from bench.trial import Outcome, Setup, Trial, TrialError
from config.errors import ConfigError
from gateway.demo.process import GatewayProcessError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from bench.prompts import Prompt
    from bench.scripts import Script
    from config.settings import Models

FEWEST_SECONDS = 5
"""The first three do not count."""

Decorated = TypeVar("Decorated", bound="Callable[..., Any]")

_OPTIONS = (
    click.option("--interim-model", help="A name or a directory; else the settings'."),
    click.option("--final-model", help="The same for the text that stays."),
    click.option(
        "--speech",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="Prompts to be said: dev.tsv (file, seconds, text) and dev/, raw mu-law at 8 kHz; else those shipped.",
    ),
    click.option(
        "--settings",
        "file",
        type=click.Path(path_type=Path),
        help="Settings of the gateway; its listeners and endpoints are the benchmark's.",
    ),
    click.option("--seed", default=1, show_default=True, help="The same seed makes the same calls."),
)


def gateway_options(command: Decorated) -> Decorated:
    """Give a benchmark the options that say what is measured, and with what."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured, and with what."""

    setup: Setup
    prompts: tuple[Prompt, ...]
    seconds: float
    models: Models
    """As the gateway will have them."""

    async def run(self, script: Script) -> Outcome:
        """Make one run, and say on standard error what goes on. Raises TrialError, GatewayProcessError."""
        errors = Console(stderr=True)
        show = partial(errors.print, style="dim", highlight=False, markup=False, soft_wrap=True)
        with errors.status("") as status:
            on_stage = status.update if errors.is_terminal else show
            return await Trial(self.setup, script, self.seconds, on_stage=on_stage, on_trouble=show).run()


def bench_or_exit(setup: Setup, speech: Path | None, seconds: float) -> Bench:
    """Check everything that can be checked before the gateway is started; exit with 2 and the reason."""
    if not (PROC / "self" / "stat").exists():
        _exit("this needs Linux: what processes use is read from /proc", 2)
    try:
        models = setup.settings().models
        return Bench(setup=setup, prompts=read_prompts(speech), seconds=seconds, models=models)
    except (ConfigError, ValueError) as error:
        _exit(str(error), 2)


def run_or_exit(work: Coroutine[Any, Any, Sequence[str]]) -> None:
    """Do the work; exit with 1 where it tells reasons to, or cannot be done, and with 130 on Ctrl-C."""
    try:
        reasons = asyncio.run(work)
    except KeyboardInterrupt:
        _exit("stopped", 130)
    except (TrialError, GatewayProcessError, OSError) as error:
        _exit(str(error), 1)
    if reasons:
        _exit("\n".join(reasons), 1)


def _exit(reason: str, status: int) -> NoReturn:
    click.echo(reason, err=True)
    sys.exit(status)
