"""What decoding costs, and what it gets wrong: ours beside faster-whisper's own `transcribe`, with the same weights.

    python -m bench.decode_cost --speech DIR [--models base,tiny.en] [--beams 1,5] [--device cpu]

DIR holds `dev.tsv` (file, seconds, text) and the files in `dev/`, raw mu-law at 8 kHz. One thread, language given.
Costs are CPU seconds per utterance, features and second looks included (on a GPU, seconds of the wall). A model is a
name or a directory.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import msgspec
import numpy as np
from faster_whisper import WhisperModel
from rich.console import Console
from rich.table import Table

from asr.cublas import preload_cublas
from asr.transcriber import Transcriber
from bench.utterances import decode_all, find_weights, one_thread, outcome_of, read_utterances
from config.profiles import Profile
from config.settings import Models
from gateway.demo.score import words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asr.weights import Weights
    from bench.utterances import Outcome, Utterance

BATCH = 8
Device = Literal["cpu", "cuda"]
COMPUTE_TYPES: dict[Device, Literal["int8", "int8_float16"]] = {"cpu": "int8", "cuda": "int8_float16"}


@click.command()
@click.option("--speech", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--models", default="base", show_default=True, help="Names or directories, with commas between.")
@click.option("--beams", default="1,5", show_default=True)
@click.option("--device", default="cpu", show_default=True, type=click.Choice(["cpu", "cuda"]))
@click.option("--limit", type=click.IntRange(1), help="Take only so many prompts, for a quick look.")
def main(speech: Path, models: str, beams: str, device: Device, limit: int | None) -> None:
    """Compare our decoding with faster-whisper's own."""
    one_thread("bench.decode_cost")
    utterances = read_utterances(speech)[:limit]
    console = Console(width=140)
    found = [find_weights(each) for each in models.split(",")]
    widths = [int(each) for each in beams.split(",")]
    results = [_compare(console, weights, beam, device, utterances) for weights in found for beam in widths]
    console.print(_table(results, sum(len(words(each.text)) for each in utterances)))
    first = next((each for each in results if (each["model"], each["beam"]) == ("base", 1)), results[0])
    told = {key: first[key] for key in ("cpu_ratio_single", "cpu_ratio_batch8", "wer_ours", "wer_reference")}
    click.echo(msgspec.json.encode({**told, "device": device, "utterances": len(utterances), "results": results}))


def _compare(
    console: Console, weights: Weights, beam: int, device: Device, utterances: Sequence[Utterance]
) -> dict[str, Any]:
    clock = time.process_time if device == "cpu" else time.perf_counter
    reference = _reference(weights, beam, device, clock, utterances)
    settings = Models(device=device, threads=1, compute_type=COMPUTE_TYPES[device])
    ours = _Counting(weights, settings)
    single = decode_all(ours, Profile(beam_size=beam), 1, clock, utterances)
    retries = ours.looks - len(utterances)
    batched = decode_all(ours, Profile(beam_size=beam), BATCH, clock, utterances)
    for each, theirs, our, before, now in zip(
        utterances, reference.texts, single.texts, reference.errors, single.errors, strict=True
    ):
        if before != now:
            console.print(f"{each.name}: {before} -> {now} errors\n  [dim]{theirs}[/]\n  {our}", highlight=False)
    total = sum(len(words(each.text)) for each in utterances)
    return {
        "model": weights.name,
        "beam": beam,
        "cpu_seconds_reference": round(reference.seconds, 4),
        "cpu_seconds_single": round(single.seconds, 4),
        "cpu_seconds_batch8": round(batched.seconds, 4),
        "cpu_ratio_single": round(reference.seconds / single.seconds, 2),
        "cpu_ratio_batch8": round(reference.seconds / batched.seconds, 2),
        "retries": retries,
        "errors_reference": sum(reference.errors),
        "errors_ours": sum(single.errors),
        "errors_batch8": sum(batched.errors),
        "wer_reference": round(sum(reference.errors) / total, 4),
        "wer_ours": round(sum(single.errors) / total, 4),
    }


class _Counting(Transcriber):
    """Counts how often something is encoded."""

    looks = 0

    def _encode(self, jobs: Sequence[Any]) -> None:
        self.looks += len(jobs)
        super()._encode(jobs)

    def warm_up(self) -> None:
        super().warm_up()
        self.looks = 0


def _reference(
    weights: Weights, beam: int, device: Device, clock: Callable[[], float], utterances: Sequence[Utterance]
) -> Outcome:
    if device == "cuda":
        preload_cublas()
    compute_type = COMPUTE_TYPES[device]
    model = WhisperModel(str(weights.directory), device=device, compute_type=compute_type, cpu_threads=1)

    def transcribe(each: Utterance) -> str:
        samples = np.frombuffer(each.audio, "<i2").astype(np.float32) / np.float32(32768)
        segments, _ = model.transcribe(samples, language="en", beam_size=beam)
        return " ".join(segment.text.strip() for segment in segments)

    transcribe(utterances[0])
    begin = clock()
    texts = [transcribe(each) for each in utterances]
    return outcome_of(clock() - begin, texts, utterances)


def _table(results: Sequence[dict[str, Any]], total: int) -> Table:
    table = Table(title=f"CPU ms per utterance, and word errors of {total}")
    for heading in ("model", "beam", "faster-whisper", "ours", "ratio", f"ours, {BATCH} at once", "ratio"):
        table.add_column(heading, justify="right")
    for heading in ("second looks", "errors: faster-whisper", "ours", f"ours, {BATCH} at once"):
        table.add_column(heading, justify="right")
    for each in results:
        costs = [each[f"cpu_seconds_{name}"] * 1000 for name in ("reference", "single", "batch8")]
        table.add_row(
            each["model"],
            str(each["beam"]),
            f"{costs[0]:.0f}",
            f"{costs[1]:.0f}",
            f"{each['cpu_ratio_single']:.1f}",
            f"{costs[2]:.0f}",
            f"{each['cpu_ratio_batch8']:.1f}",
            *(str(each[name]) for name in ("retries", "errors_reference", "errors_ours", "errors_batch8")),
        )
    return table


if __name__ == "__main__":
    main()
