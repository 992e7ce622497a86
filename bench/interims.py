"""How far interims can be trusted: what they take back, when they are sure, what they get wrong.

    python -m bench.interims [--speech DIR] [--interim-model tiny.en] [--final-model base] [--limit N]

Prompts are said one by one, and joined into utterances of 20 to 28 seconds that do not pause; one call at a time, on a
simulated clock, faster than real time. DIR is as for bench.decode_cost (for instance prompts of Debian's
asterisk-core-sounds-en-wav with their texts); without it, the few that are shipped. What is counted, and how:
bench/interim_scores.py. A model is a name or a directory.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
import structlog
from rich.console import Console
from rich.table import Table

from asr.in_process import InProcess
from asr.transcriber import Transcriber
from asr.weights import WeightsError
from bench.interim_lines import joined, single
from bench.interim_scores import measure
from bench.interim_trial import Simulation, stream
from bench.prompts import read_prompts
from bench.utterances import find_weights, one_thread
from config.settings import Models, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.interim_lines import Line

GOALS = {"retractions": "0", "unstable_rate": "<= 0.05"}


@click.command()
@click.option("--speech", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--interim-model", default="base", show_default=True)
@click.option("--final-model", default="base", show_default=True)
@click.option("--decode-ms", type=click.IntRange(0), default=250, show_default=True, help="What each decode takes.")
@click.option("--limit", type=click.IntRange(1), help="Take only so many lines of each kind, for a quick look.")
@click.option("--seed", default=1, show_default=True, help="The same seed joins the same prompts.")
def main(
    speech: Path | None, interim_model: str, final_model: str, decode_ms: int, limit: int | None, seed: int
) -> None:
    """Measure interims, of short utterances and of long ones."""
    one_thread("bench.interims")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        prompts = read_prompts(speech)
        settings = Settings(models=Models(interim=interim_model, final=final_model, threads=1))
        engine = _engine(settings.models)
    except (ValueError, WeightsError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    kinds = {
        "single": [single(each) for each in prompts][:limit],
        "joined": list(joined(prompts, random.Random(seed)))[:limit],  # noqa: S311  chance that can be repeated
    }
    results = {kind: _measure(lines, engine, decode_ms, settings) for kind, lines in kinds.items()}
    engine.close()
    Console().print(_table(results))
    told = {"interim_model": interim_model, "final_model": final_model, "decode_ms": decode_ms, "seed": seed}
    click.echo(msgspec.json.encode({**told, **results}))


def _engine(models: Models) -> InProcess:
    weights = [find_weights(name) for name in (models.final, models.interim)]
    final = Transcriber(weights[0], models)
    interim = final if weights[1] == weights[0] else Transcriber(weights[1], models)
    for model in (final, interim):
        model.warm_up()
    return InProcess(interim, final)


def _measure(lines: Sequence[Line], engine: InProcess, decode_ms: int, settings: Settings) -> dict[str, Any]:
    simulation = Simulation(engine, decode_ms)
    heard = asyncio.run(stream(lines, simulation, settings))
    speech_ms = sum(each.audio_ms for each in heard)
    return {
        **msgspec.structs.asdict(measure(heard)),
        "decodes": simulation.decodes,
        "decodes_with_times": simulation.timed,
        "decoded_seconds_per_second": round(simulation.decoded_ms / speech_ms, 2) if speech_ms else None,
    }


def _table(results: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(title="Interims")
    table.add_column("")
    for kind in results:
        table.add_column(kind, justify="right")
    table.add_column("goal", justify="right")
    for name in next(iter(results.values())):
        table.add_row(name, *(str(figures[name]) for figures in results.values()), GOALS.get(name, ""))
    return table


if __name__ == "__main__":
    main()
