"""What decoding costs, and what it gets wrong: ours beside faster-whisper's own `transcribe`, with the same weights.

    python -m bench.decode_cost --speech DIR [--models base,tiny.en] [--beams 1,5] [--device cpu]

DIR holds `dev.tsv` (file, seconds, text) and the files in `dev/`, raw mu-law at 8 kHz. One thread, language given.
Costs are CPU seconds per utterance, features and second looks included (on a GPU, seconds of the wall). A model is a
name or a directory.
"""

from __future__ import annotations

import csv
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import msgspec
import numpy as np
from faster_whisper import WhisperModel
from rich.console import Console
from rich.table import Table

from adapters.media.track import MediaTrack
from adapters.stream import AudioFormat, AudioFrame, Encoding
from asr.transcriber import Transcriber
from asr.types import DecodeKind, DecodeOptions, DecodeRequest
from asr.weights import default_cache_dir, resolve
from config.profiles import Profile
from config.settings import Models
from gateway.demo.score import word_errors, words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asr.weights import Weights

BATCH = 8
ONE_THREAD = "OPENBLAS_NUM_THREADS"
"""As in the model process: numpy's own threads would wait for one another at both sides' cost."""

Device = Literal["cpu", "cuda"]
PCMU = AudioFormat(Encoding.PCMU, 8_000)


class Utterance(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt."""

    name: str
    text: str
    audio: bytes
    """16 kHz PCM, as a call brings it: through our own media path."""


class Outcome(msgspec.Struct, kw_only=True):
    """What one way of decoding came to."""

    seconds: float
    texts: list[str]
    errors: list[int]


@click.command()
@click.option("--speech", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--models", default="base", show_default=True, help="Names or directories, with commas between.")
@click.option("--beams", default="1,5", show_default=True)
@click.option("--device", default="cpu", show_default=True, type=click.Choice(["cpu", "cuda"]))
@click.option("--limit", type=click.IntRange(1), help="Take only so many prompts, for a quick look.")
def main(speech: Path, models: str, beams: str, device: Device, limit: int | None) -> None:
    """Compare our decoding with faster-whisper's own."""
    if ONE_THREAD not in os.environ:  # numpy takes it when it is imported, so this is done anew
        again = [sys.executable, "-m", "bench.decode_cost", *sys.argv[1:]]
        os.execve(sys.executable, again, os.environ | {ONE_THREAD: "1"})  # noqa: S606  this very program
    utterances = _read(speech)[:limit]
    console = Console(width=140)
    found = [
        resolve(each, cache_dir=default_cache_dir({}), offline=False, progress=_silent) for each in models.split(",")
    ]
    widths = [int(each) for each in beams.split(",")]
    results = [_compare(console, weights, beam, device, utterances) for weights in found for beam in widths]
    console.print(_table(results, sum(len(words(each.text)) for each in utterances)))
    first = results[0]
    told = {key: first[key] for key in ("cpu_ratio_single", "cpu_ratio_batch8", "wer_ours", "wer_reference")}
    click.echo(msgspec.json.encode({**told, "device": device, "utterances": len(utterances), "results": results}))


def _silent(_name: str, _done: int, _total: int | None) -> None:
    """Take progress that nobody needs to see."""


def _read(speech: Path) -> list[Utterance]:
    with (speech / "dev.tsv").open(newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))[1:]
    return [Utterance(name=name, text=text, audio=_audio(speech / "dev" / name)) for name, _, text in rows]


def _audio(path: Path) -> bytes:
    track = MediaTrack(0.0)
    blocks = [*track.push(AudioFrame("x", PCMU, path.read_bytes()), 0.0), *track.finish()]
    return b"".join(blocks)


def _compare(
    console: Console, weights: Weights, beam: int, device: Device, utterances: Sequence[Utterance]
) -> dict[str, Any]:
    clock = time.process_time if device == "cpu" else time.perf_counter
    reference = _reference(weights, beam, device, clock, utterances)
    settings = Models(device=device, threads=1, compute_type="int8" if device == "cpu" else "int8_float16")
    ours = _Counting(weights, settings)
    single = _ours(ours, beam, 1, clock, utterances)
    retries = ours.looks - len(utterances)
    batched = _ours(ours, beam, BATCH, clock, utterances)
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
    weights: Weights, beam: int, device: str, clock: Callable[[], float], utterances: Sequence[Utterance]
) -> Outcome:
    compute_type = "int8" if device == "cpu" else "int8_float16"
    model = WhisperModel(str(weights.directory), device=device, compute_type=compute_type, cpu_threads=1)

    def transcribe(each: Utterance) -> str:
        samples = np.frombuffer(each.audio, "<i2").astype(np.float32) / np.float32(32768)
        segments, _ = model.transcribe(samples, language="en", beam_size=beam)
        return " ".join(segment.text.strip() for segment in segments)

    transcribe(utterances[0])
    begin = clock()
    texts = [transcribe(each) for each in utterances]
    return _outcome(clock() - begin, texts, utterances)


def _ours(
    model: Transcriber, beam: int, batch: int, clock: Callable[[], float], utterances: Sequence[Utterance]
) -> Outcome:
    """Decode all, those of about one length together, as the scheduler will."""
    requests = [_request(number, each, beam) for number, each in enumerate(utterances)]
    requests.sort(key=lambda request: len(request.audio))
    model.warm_up()
    texts: dict[str, str] = {}
    begin = clock()
    for start in range(0, len(requests), batch):
        some = requests[start : start + batch]
        answers = model.decode(some)
        texts |= {request.request_id: answer.text for request, answer in zip(some, answers, strict=True)}
    return _outcome(clock() - begin, [texts[str(number)] for number in range(len(utterances))], utterances)


def _request(number: int, utterance: Utterance, beam: int) -> DecodeRequest:
    return DecodeRequest(
        request_id=str(number),
        stream_key="",
        group_key="",
        kind=DecodeKind.FINAL,
        audio=utterance.audio,
        origin_sample=0,
        language="en",
        options=DecodeOptions(profile=Profile(beam_size=beam)),
    )


def _outcome(seconds: float, texts: list[str], utterances: Sequence[Utterance]) -> Outcome:
    errors = [word_errors(words(each.text), words(text)) for each, text in zip(utterances, texts, strict=True)]
    return Outcome(seconds=seconds / len(utterances), texts=texts, errors=errors)


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
