"""`linescribe models warm`."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.filesize import decimal
from rich.text import Text

from asr.types import ModelLoadError
from asr.weights import WeightsError
from gateway.cli.check_config import config_option, settings_or_exit
from gateway.cli.models_options import fail, log_warnings, model_option, stopped, with_model
from gateway.cli.transfers import transfers
from gateway.warming import find
from gateway.warming import warm as bring_up

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from config.settings import Models
    from gateway.warming import Found, Warmth


@click.command()
@config_option
@model_option
def warm(file: Path | None, model: str | None) -> None:
    """Load the models as a gateway would, tell what that took, and end.

    Weights that are not here are fetched first. Exit status 1 if a model cannot be had or cannot be loaded; the
    line on standard error says what to do.

    \b
    Examples:
      linescribe models warm --config my.yaml
      linescribe models warm --model small.en
      LINESCRIBE_MODELS__DEVICE=cuda LINESCRIBE_MODELS__COMPUTE_TYPE=float16 linescribe models warm
    """
    settings = settings_or_exit(file)
    log_warnings(settings)
    try:
        told = asyncio.run(_warm(with_model(settings.models, model)))
    except KeyboardInterrupt:
        stopped()
    except (WeightsError, ModelLoadError) as error:
        fail(str(error))
    for line in told:
        click.echo(line)


async def _warm(settings: Models) -> list[str]:
    clock = time.monotonic  # noqa: TID251  a command names its clock
    with transfers("preparing") as progress:
        found = await find(settings, clock=clock, progress=progress)
    with Console(stderr=True).status("beginning") as status:
        warmth = await bring_up(settings, clock=clock, on_loading=lambda name: status.update(Text(f"loading {name}")))
    return lines(found, warmth)


def lines(found: Sequence[Found], warmth: Warmth) -> list[str]:
    """Say what it took, for a person."""
    weights = [
        f"weights {each.weights.name}: found in {each.seconds:.1f} s ({each.weights.source}: {each.weights.directory})"
        for each in found
    ]
    models = [
        f"model {each.model.name}: loaded and warmed up in {each.seconds:.1f} s on {each.model.device},"
        f" for {' and '.join(each.model.roles)}"
        for each in warmth.loaded
    ]
    return [*weights, f"model process: begun in {warmth.begin_seconds:.1f} s{_memory(warmth)}", *models]


def _memory(warmth: Warmth) -> str:
    """Tell the memory; what a model holds on a GPU stands in nvidia-smi."""
    if warmth.memory is None:
        return ""
    held, peak = warmth.memory.resident_bytes, warmth.memory.peak_bytes
    beside = "" if all(each.model.device == "cpu" for each in warmth.loaded) else " of main memory, beside the GPU's"
    return f"; holds {decimal(held)}{beside}, {decimal(peak)} at most while loading"
