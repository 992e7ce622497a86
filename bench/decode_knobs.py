"""What turning a knob of the decoder costs and brings: one change at a time, beside what is shipped.

    python -m bench.decode_knobs --speech DIR [--model base] [--only floor,beam]

DIR is as for bench.decode_cost. CPU milliseconds per utterance singly and eight together, second looks, word errors.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.console import Console
from rich.progress import track
from rich.table import Table

from asr.transcriber import Transcriber
from asr.windows import LONGEST_SECONDS, STEPS_SECONDS
from bench.utterances import decode_all, find_weights, one_thread, read_utterances
from config.profiles import PROFILES, Profile
from config.settings import Models
from gateway.demo.score import words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from asr.weights import Weights
    from bench.utterances import Utterance

BATCH = 8
SHORTER_STEPS = (5.0, 6.0, *STEPS_SECONDS)


class Knob(msgspec.Struct, frozen=True, kw_only=True):
    """One change."""

    name: str
    profile: Profile = Profile()
    windows: dict[str, Any] = {}
    """Fields of `Windows`."""
    suppress: bool = True
    threads: int = 1


def knobs() -> Iterator[Knob]:
    """List what is tried."""
    yield Knob(name="as shipped")
    for floor in (5.0, 6.0, 7.0, 8.0, 10.0, 12.0, LONGEST_SECONDS):
        yield Knob(name=f"floor {floor:g} s", windows={"floor_seconds": floor, "steps_seconds": SHORTER_STEPS})
    for margin in (1.0, 1.5, 3.0, 4.0):
        yield Knob(name=f"margin {margin:g} s", windows={"margin_seconds": margin})
    yield Knob(name="no tokens suppressed", suppress=False)
    yield Knob(name="nothing tried again by chance", profile=Profile(temperatures=()))
    for beam in (2, 3, 5):
        yield Knob(name=f"beam {beam}", profile=Profile(beam_size=beam))
    for floor in (8.0, 10.0, 12.0, 15.0, LONGEST_SECONDS):
        yield Knob(name=f"beam 5, floor {floor:g} s", profile=Profile(beam_size=5), windows={"floor_seconds": floor})
    yield Knob(name="profile accurate", profile=PROFILES["accurate"])
    yield Knob(name="threads 2", threads=2)


class _Turned(Transcriber):
    """Has a knob turned, and counts how often something is encoded."""

    def __init__(self, weights: Weights, knob: Knob) -> None:
        super().__init__(weights, Models(threads=knob.threads))
        self.looks = 0
        self._windows = msgspec.structs.replace(self._windows, **knob.windows)
        if not knob.suppress:
            self._whisper.suppressed = []

    def _encode(self, jobs: Sequence[Any]) -> None:
        self.looks += len(jobs)
        super()._encode(jobs)


@click.command()
@click.option("--speech", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--model", default="base", show_default=True, help="A name or a directory.")
@click.option("--only", default="", help="Only knobs whose names begin with one of these, with commas between.")
@click.option("--limit", type=click.IntRange(1), help="Take only so many prompts, for a quick look.")
def main(speech: Path, model: str, only: str, limit: int | None) -> None:
    """Turn one knob after the other."""
    one_thread("bench.decode_knobs")
    utterances = read_utterances(speech)[:limit]
    chosen = [knob for knob in knobs() if knob.name == "as shipped" or knob.name.startswith(tuple(only.split(",")))]
    console, weights = Console(width=140), find_weights(model)
    progress = track(chosen, console=Console(stderr=True), description="decoding", transient=True)
    results = [_try(knob, weights, utterances) for knob in progress]
    console.print(_table(results, sum(len(words(each.text)) for each in utterances)))
    click.echo(msgspec.json.encode({"model": weights.name, "utterances": len(utterances), "results": results}))


def _try(knob: Knob, weights: Weights, utterances: Sequence[Utterance]) -> dict[str, Any]:
    model = _Turned(weights, knob)
    model.warm_up()
    model.looks = 0
    begin = time.perf_counter()
    single = decode_all(model, knob.profile, 1, time.process_time, utterances)
    wall = (time.perf_counter() - begin) / len(utterances)
    looks = model.looks - 1 - len(utterances)  # one was to warm up
    batched = decode_all(model, knob.profile, BATCH, time.process_time, utterances)
    return {
        "knob": knob.name,
        "cpu_seconds_single": round(single.seconds, 4),
        "wall_seconds_single": round(wall, 4),
        "cpu_seconds_batch8": round(batched.seconds, 4),
        "second_looks": looks,
        "errors_single": sum(single.errors),
        "errors_batch8": sum(batched.errors),
    }


def _table(results: Sequence[dict[str, Any]], total: int) -> Table:
    table = Table(title=f"CPU ms per utterance, and word errors of {total}")
    for heading in ("knob", "single", "of shipped", "wall", f"{BATCH} at once", "of shipped", "second looks"):
        table.add_column(heading, justify="left" if heading == "knob" else "right")
    table.add_column("errors", justify="right")
    table.add_column(f"{BATCH} at once", justify="right")
    first = results[0]
    for each in results:
        table.add_row(
            each["knob"],
            f"{each['cpu_seconds_single'] * 1000:.0f}",
            f"{each['cpu_seconds_single'] / first['cpu_seconds_single']:.2f}",
            f"{each['wall_seconds_single'] * 1000:.0f}",
            f"{each['cpu_seconds_batch8'] * 1000:.0f}",
            f"{each['cpu_seconds_batch8'] / first['cpu_seconds_batch8']:.2f}",
            *(str(each[name]) for name in ("second_looks", "errors_single", "errors_batch8")),
        )
    return table


if __name__ == "__main__":
    main()
