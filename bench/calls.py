"""How many calls the whole gateway bears, and how soon their words come.

    python -m bench.calls [--calls N] [--seconds S] [--talk unbroken|dialogue] [--interim-model M] [--final-model M]
        [--speech DIR] [--settings FILE] [--search]

A gateway, a receiver of its webhooks and a simulator of calls, each a process, on this machine. Latencies run from the
moment at which the frame with the last (or first) speech of a prompt was sent to that at which the receiver had the
final (or the first interim). The first three seconds do not count. Exit status 1 where a call got no end.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Literal

import click
import msgspec
from rich.console import Console

from bench.options import FEWEST_SECONDS, bench_or_exit, gateway_options, run_or_exit
from bench.reporting import Asked, as_json, as_table
from bench.scripts import dialogue, unbroken
from bench.search import Goal, largest, next_count, shortfalls
from bench.trial import HAS_INTERIMS, Setup

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from bench.measuring import Figures
    from bench.options import Bench

Talk = Literal["unbroken", "dialogue"]
TALKS = {"unbroken": unbroken, "dialogue": dialogue}


@click.command()
@click.option("--calls", default=4, show_default=True, type=click.IntRange(1), help="With --search, the first number.")
@click.option("--seconds", default=30.0, show_default=True, type=click.FloatRange(FEWEST_SECONDS))
@click.option(
    "--talk",
    default="unbroken",
    show_default=True,
    type=click.Choice([*TALKS]),
    help="unbroken: one speaker a call, who pauses 0.8 s between prompts; dialogue: two, in turns.",
)
@gateway_options
@click.option("--search", is_flag=True, help="Find the most calls that hold the goal.")
@click.option("--final-p95-ms", default=900, show_default=True, type=click.IntRange(1), help="Part of the goal.")
@click.option("--first-interim-p95-ms", default=900, show_default=True, type=click.IntRange(1), help="Another.")
def main(
    *,
    calls: int,
    seconds: float,
    talk: Talk,
    interim_model: str | None,
    final_model: str | None,
    speech: Path | None,
    file: Path | None,
    seed: int,
    search: bool,
    final_p95_ms: int,
    first_interim_p95_ms: int,
) -> None:
    """Measure the whole gateway under simulated calls."""
    setup = Setup(file=file, interim_model=interim_model, final_model=final_model)
    work = _Calls(bench_or_exit(setup, speech, seconds), talk, seed)
    goal = Goal(final_p95_ms=final_p95_ms, first_interim_p95_ms=first_interim_p95_ms, interims=HAS_INTERIMS)
    run_or_exit(work.search(calls, goal) if search else work.once(calls))


class _Calls:
    def __init__(self, bench: Bench, talk: Talk, seed: int) -> None:
        self._bench = bench
        self._talk = talk
        self._seed = seed
        self._console = Console(width=120)
        self._told: dict[int, dict[str, Any]] = {}

    async def once(self, calls: int) -> list[str]:
        """Make one run."""
        figures = await self._run(calls)
        self._tell(self._told[calls])
        return [f"{figures.unended} of {calls} calls got no call.ended"] if figures.unended else []

    async def search(self, first: int, goal: Goal) -> list[str]:
        """Make runs until the most calls are found that hold the goal."""
        tried: dict[int, bool] = {}
        while (calls := next_count(tried, first)) is not None:
            missed = shortfalls(await self._run(calls), goal)
            tried[calls] = not missed
            self._console.print(f"{calls} calls: {'; '.join(missed) or 'the goal is held'}", highlight=False)
        most = largest(tried)
        self._tell({**self._told[most or min(tried)], "largest": most})
        return []

    async def _run(self, calls: int) -> Figures:
        bench, asked = self._bench, Asked(calls=calls, seconds=self._bench.seconds, talk=self._talk)
        rng = random.Random(self._seed)  # noqa: S311  the same calls every time
        outcome = await bench.run(TALKS[self._talk](bench.prompts, calls, bench.seconds, rng))
        figures = outcome.figures
        self._console.print(as_table(asked, bench.models, outcome, figures))
        self._told[calls] = as_json(asked, bench.models, outcome, figures)
        return figures

    def _tell(self, told: dict[str, Any]) -> None:
        click.echo(msgspec.json.encode(told))


if __name__ == "__main__":
    main()
