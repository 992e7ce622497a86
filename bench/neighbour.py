"""What somebody who never stops speaking costs the other calls.

    python -m bench.neighbour [--calls N] [--seconds S] [--rounds R] [--interim-model M] [--final-model M]
        [--speech DIR] [--settings FILE]

Ordinary calls say prompts with 0.8 s of silence between. Beside them, in every other run, one track goes on without
pause, so that its utterances are cut at the longest length. Compared are the finals of the ordinary calls, those of all
runs of a kind together.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from bench.measuring import latencies_ms, percentile
from bench.options import FEWEST_SECONDS, bench_or_exit, gateway_options, run_or_exit
from bench.scripts import unbroken, with_neighbour
from bench.trial import Setup

if TYPE_CHECKING:
    from pathlib import Path

    from bench.options import Bench

WITHOUT, WITH = "without", "with"


@click.command()
@click.option("--calls", default=10, show_default=True, type=click.IntRange(1), help="Ordinary ones.")
@click.option("--seconds", default=60.0, show_default=True, type=click.FloatRange(FEWEST_SECONDS), help="Each run.")
@click.option("--rounds", default=2, show_default=True, type=click.IntRange(1), help="Each is a run of either kind.")
@gateway_options
def main(
    *,
    calls: int,
    seconds: float,
    rounds: int,
    interim_model: str | None,
    final_model: str | None,
    speech: Path | None,
    file: Path | None,
    seed: int,
) -> None:
    """Measure ordinary calls with and without somebody who never stops speaking."""
    setup = Setup(file=file, interim_model=interim_model, final_model=final_model)
    run_or_exit(_compare(bench_or_exit(setup, speech, seconds), calls, rounds, seed))


async def _compare(bench: Bench, calls: int, rounds: int, seed: int) -> list[str]:
    found: dict[str, list[float]] = {WITHOUT: [], WITH: []}
    table = Table("run", "neighbour", "finals", "median, ms", "p95, ms", title=f"Finals of {calls} ordinary calls")
    for number in range(2 * rounds):
        kind = WITH if number % 2 else WITHOUT
        latencies = await _run(bench, calls, kind, random.Random(seed + number // 2))  # noqa: S311  the same every time
        found[kind] += latencies
        table.add_row(str(number + 1), kind, str(len(latencies)), *_spread(latencies))
    for kind, latencies in found.items():
        table.add_row("all", kind, str(len(latencies)), *_spread(latencies))
    Console(width=120).print(table)
    told = _told(found)
    click.echo(msgspec.json.encode({"calls": calls, "seconds": bench.seconds, "rounds": rounds, **told}))
    return [] if told["final_p95_ratio"] else ["there were no finals to compare; run for longer"]


async def _run(bench: Bench, calls: int, kind: str, rng: random.Random) -> list[float]:
    """Make one run; tell the latencies of the ordinary calls' finals."""
    script = unbroken(bench.prompts, calls, bench.seconds, rng)
    ordinary = {line.speaker for line in script.lines}
    outcome = await bench.run(with_neighbour(script, bench.seconds, rng) if kind == WITH else script)
    return latencies_ms(outcome.script, outcome.done.lines, outcome.arrivals, outcome.window, ordinary)


def _spread(latencies: list[float]) -> list[str]:
    return [str(percentile(latencies, percent)) for percent in (50, 95)]


def _told(found: dict[str, list[float]]) -> dict[str, Any]:
    alone, beside = percentile(found[WITHOUT], 95), percentile(found[WITH], 95)
    return {
        "final_p95_ms_without": alone,
        "final_p95_ms_with": beside,
        "final_p95_ratio": round(beside / alone, 2) if alone and beside else None,
    }


if __name__ == "__main__":
    main()
