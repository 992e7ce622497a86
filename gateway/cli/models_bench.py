"""`linescribe models bench`."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from asr.types import DecodeOptions, ModelError, ModelLoadError
from asr.weights import WeightsError, unheard
from gateway.bearing import FREE_SHARE
from gateway.benching import Plan, measure, utterances
from gateway.capacity import batch_sizes, people
from gateway.cli.check_config import config_option, settings_or_exit
from gateway.cli.models_options import (
    as_json_option,
    fail,
    log_warnings,
    model_option,
    stopped,
    with_model,
)
from gateway.cli.transfers import transfers
from gateway.models import find_weights, start_models

if TYPE_CHECKING:
    from pathlib import Path

    from asr.pool import ModelPool
    from asr.worker_batch import LoadedModel
    from config.settings import Models, Settings
    from gateway.capacity import Outcome

BUSY_SHARE = 0.3


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` prints."""

    model: str
    """Name and compute type."""
    device: str
    profile: str
    language: str
    outcomes: tuple[Outcome, ...]
    people: int
    """Who may speak without pause at the same time."""


@click.command()
@config_option
@model_option
@click.option(
    "--seconds",
    default=20.0,
    show_default=True,
    type=click.FloatRange(1, 3600),
    help="How long to decode, all sizes of batches together; a slow model takes longer.",
)
@as_json_option
def bench(file: Path | None, model: str | None, seconds: float, *, as_json: bool) -> None:
    """Decode shipped prompts, alone and together, and tell how many people this machine can listen to.

    The settings' final model decodes English telephone prompts as finals, in one model process, with the settings'
    device, profile and window; first one at a time, then so many together as wait in a busy gateway, up to
    models.batch_size. Nothing else should run meanwhile. With --json the table goes to standard error, and the
    last line, the only one of standard output, is JSON.

    \b
    Examples:
      linescribe models bench
      linescribe models bench --model small.en --seconds 60
      LINESCRIBE_MODELS__PROFILE=accurate linescribe models bench --json | jq .people
    """
    settings = settings_or_exit(file)
    log_warnings(settings)
    load = os.getloadavg()[0]
    chosen = with_model(_one_process(_in_english(settings.models)), model or settings.models.final)
    try:
        report = asyncio.run(_bench(msgspec.structs.replace(settings, models=chosen), seconds))
    except KeyboardInterrupt:
        stopped()
    except (WeightsError, ModelLoadError) as error:
        fail(str(error))
    except ModelError as error:
        fail(f"the model could not decode: {error.message}; is every byte of it intact? linescribe models verify")
    console = Console(stderr=as_json, highlight=False)
    console.print(table(report))
    click.echo("\n" + sentence(report), err=as_json)
    if note := busy(load, os.cpu_count() or 1):
        click.echo(note, err=as_json)
    if as_json:
        click.echo(msgspec.json.encode(report))


def _in_english(settings: Models) -> Models:
    """Take the prompts' language, unless the model is to find it, which has its price."""
    return settings if settings.language == "auto" else msgspec.structs.replace(settings, language="en")


def _one_process(settings: Models) -> Models:
    return msgspec.structs.replace(settings, processes=1, device_index=settings.device_index[:1])


async def _bench(settings: Settings, seconds: float) -> Report:
    models = settings.models
    with transfers("preparing") as progress:
        await find_weights(models.final, models, progress)
    with Console(stderr=True).status(Text(f"loading {models.final}")):
        engine = await start_models(models, unheard)
    try:
        return _report(models, engine.models[0], await _measure(engine, settings, seconds))
    finally:
        await engine.close()


async def _measure(engine: ModelPool, settings: Settings, seconds: float) -> list[Outcome]:
    models = settings.models
    options = DecodeOptions(
        profile=models.known_profiles[models.profile], task=models.task, word_times=settings.transcripts.words
    )
    plan = Plan(
        utterances=utterances(),
        language=None if models.language == "auto" else models.language,
        options=options,
        seconds=seconds,
    )
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=seconds)
        return await measure(
            engine,
            batch_sizes(models.batch_size),
            plan,
            clock=time.monotonic,  # noqa: TID251  a command names its clock
            on_round=lambda size, gone: progress.update(task, completed=gone, description=f"decoding {size} at once"),
        )


def _report(settings: Models, model: LoadedModel, outcomes: list[Outcome]) -> Report:
    return Report(
        model=model.name,
        device=model.device,
        profile=settings.profile,
        language=settings.language,
        outcomes=tuple(outcomes),
        people=people(outcomes),
    )


def table(report: Report) -> Table:
    """Show the outcomes side by side."""
    title = f"{report.model} on {report.device}, profile {report.profile}, language {report.language}"
    made = Table(box=None, pad_edge=False, title=Text(title), title_justify="left")
    for heading in ("at once", "ms per utterance", "seconds of speech a second", "word errors"):
        made.add_column(heading, justify="right")
    for each in report.outcomes:
        made.add_row(
            str(each.batch),
            f"{each.ms_per_utterance:.0f}",
            f"{each.audio_seconds_per_second:.1f}",
            f"{each.word_errors} of {each.words}",
        )
    return made


def sentence(report: Report) -> str:
    """Say what the figures mean, and how that was found."""
    best = max(report.outcomes, key=lambda each: each.audio_seconds_per_second)
    listeners = f"About {report.people} people" if report.people > 1 else "One person"
    who = (
        f"{listeners} speaking without pause."
        if report.people
        else "Not even one person speaking without pause: take a smaller model, or a machine that is faster."
    )
    return (
        f"{who} With {best.batch} at once this machine decodes {best.audio_seconds_per_second:.1f} seconds of speech"
        f" in a second, of which {FREE_SHARE * 100:.0f} % are kept free, for utterances come in clumps.\n"
        f"A text comes {report.outcomes[0].ms_per_utterance / 1000:.2f} s after the end of its utterance was noticed,"
        " when nothing else waits. All this is for finals alone."
    )


def busy(load: float, cores: int) -> str | None:
    """Say that the machine was busy before it began, if it was: threads that wait for a core hold up all the others."""
    if load < cores * BUSY_SHARE:
        return None
    return (
        f"Mind that something else was running (load {load:.1f} on {cores} cores): without it, the figures are better,"
        " often many times."
    )
