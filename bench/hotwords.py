"""What hotwords bring, and what wrong ones do: sentences with names over a telephone, and prompts without them.

    python -m bench.hotwords --speech DIR [--model base] [--lists N] [--only "a, b, c"] [--limit N]

espeak-ng (of Debian's package of that name) says 120 sentences with 40 names in six voices; they come by 8 kHz mu-law
through our own media path. Each is decoded without hotwords, with eight of which one is right, and with eight wrong
ones, put in several wordings. DIR is as for bench.decode_cost: its prompts are decoded without hotwords and with N
lists of wrong ones.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click
import msgspec
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.io import wavfile

from asr.transcriber import Transcriber
from asr.weights import WeightsError
from bench.band_prompts import frames, mu_law_of, received
from bench.hotwords_figures import NameFigures, holds, invented, name_figures, plain_figures
from bench.hotwords_material import WORDINGS, right_list, sentences, wrong_list
from bench.utterances import Utterance, decode_all, find_weights, one_thread, read_utterances
from config.profiles import Profile
from config.settings import Models

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.hotwords_figures import PlainFigures
    from bench.hotwords_material import Sentence

VOICES = ("en-us", "en-gb", "en-gb-x-rp", "en-us+steph", "en-us+m7", "en-us+f5")
WORDS_A_MINUTE = 150
BATCH = 8
SHOWN = 12
"""Examples of what changed."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one wording did."""

    wording: str
    right: NameFigures
    """One of the list is said."""
    wrong: NameFigures
    """None is."""
    prompts: list[PlainFigures]
    """Nor is any in these; one for each list."""


class Bench:
    """A model, and what is said to it."""

    def __init__(self, model: str, speech: Path, *, limit: int | None) -> None:
        self.weights = find_weights(model)
        self.sentences = list(sentences())[:limit]
        self.spoken = [_said(each, number) for number, each in enumerate(self.sentences)]
        self.prompts = read_utterances(speech)[:limit]
        self._transcriber = Transcriber(self.weights, Models(threads=1))

    def decode(self, utterances: Sequence[Utterance], hotwords: Sequence[str | None]) -> list[str]:
        """Decode each with its own hotwords."""
        told = [msgspec.structs.replace(each, hotwords=some) for each, some in zip(utterances, hotwords, strict=True)]
        return decode_all(self._transcriber, Profile(), BATCH, time.process_time, told).texts


@click.command()
@click.option("--speech", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--model", default="base", show_default=True, help="A name or a directory.")
@click.option("--lists", default=3, show_default=True, help="Lists of wrong hotwords for each prompt.")
@click.option("--only", multiple=True, type=click.Choice(list(WORDINGS)), help="Only this wording; may be repeated.")
@click.option("--seed", default=1, show_default=True, help="For what stands in the lists.")
@click.option("--limit", type=click.IntRange(1), help="Take only so many sentences and prompts, for a quick look.")
def main(speech: Path, model: str, lists: int, only: tuple[str, ...], seed: int, limit: int | None) -> None:
    """Decode everything with and without hotwords."""
    one_thread("bench.hotwords")
    if shutil.which("espeak-ng") is None:
        click.echo("expected espeak-ng, from Debian's package of that name", err=True)
        sys.exit(2)
    try:
        bench = Bench(model, speech, limit=limit)
    except (OSError, ValueError, WeightsError) as error:
        click.echo(f"expected --speech with dev.tsv and dev/, and a model: {error}", err=True)
        sys.exit(2)
    nothing: list[list[str]] = [[] for _ in bench.sentences]
    texts = bench.decode(bench.spoken, [None] * len(bench.spoken))
    plain = bench.decode(bench.prompts, [None] * len(bench.prompts))
    said = [each.text for each in bench.prompts]
    without = Result(
        wording="without",
        right=name_figures(bench.sentences, texts, nothing),
        wrong=name_figures(bench.sentences, texts, nothing),
        prompts=[plain_figures(said, plain, plain, [[]] * len(said))],
    )
    console, examples = Console(width=150), list[str]()
    progress = track(only or list(WORDINGS), console=Console(stderr=True), description="decoding", transient=True)
    results = [without, *(_try(bench, wording, plain, lists, seed, examples) for wording in progress)]
    console.print(_table(results))
    for example in examples[:SHOWN]:
        console.print(example, highlight=False, markup=False)
    click.echo(
        msgspec.json.encode(
            {
                "model": bench.weights.name,
                "prompts": len(bench.prompts),
                "results": results,
                "names_never_right_without": _never_right(bench.sentences, texts),
            }
        )
    )


def _try(bench: Bench, wording: str, plain: Sequence[str], lists: int, seed: int, examples: list[str]) -> Result:
    """Decode with one wording; every wording has the same lists."""
    random, put = np.random.default_rng(seed), WORDINGS[wording]
    right = [right_list(each.name, random) for each in bench.sentences]
    wrong = [wrong_list(each.name, random) for each in bench.sentences]
    drawn = [[wrong_list("", random) for _ in bench.prompts] for _ in range(lists)]
    said, prompts = [each.text for each in bench.prompts], []
    for some in drawn:
        texts = bench.decode(bench.prompts, [put(each) for each in some])
        prompts.append(plain_figures(said, plain, texts, some))
        for each, text, listed in zip(said, texts, some, strict=True):
            if names := invented(text, each, listed):
                examples.append(f"{wording}: invented {', '.join(names)}: {text!r} for {each!r}")
    return Result(
        wording=wording,
        right=name_figures(bench.sentences, bench.decode(bench.spoken, [put(each) for each in right]), right),
        wrong=name_figures(bench.sentences, bench.decode(bench.spoken, [put(each) for each in wrong]), wrong),
        prompts=prompts,
    )


def _said(sentence: Sentence, number: int) -> Utterance:
    """Have a sentence said by the next voice, over a telephone."""
    with TemporaryDirectory() as directory:
        file = Path(directory) / "said.wav"
        voice = ["-v", VOICES[number % len(VOICES)], "-s", str(WORDS_A_MINUTE)]
        subprocess.run(["espeak-ng", *voice, "-w", file, sentence.text], check=True, timeout=30)  # noqa: S603, S607
        rate_hz, samples = wavfile.read(file)
    audio = received(frames(mu_law_of(samples.astype(np.float64), rate_hz)))
    return Utterance(name=sentence.name, text=sentence.text, audio=audio)


def _never_right(said: Sequence[Sentence], texts: Sequence[str]) -> list[str]:
    right = {each.name for each, text in zip(said, texts, strict=True) if holds(text, each.name)}
    return sorted({each.name for each in said} - right)


def _table(results: Sequence[Result]) -> Table:
    columns: dict[str, Callable[[Result], object]] = {
        "right list: names right %": lambda each: f"{100 * each.right.names_right / each.right.sentences:.1f}",
        "rest WER %": lambda each: f"{100 * each.right.rest_errors / each.right.rest_words:.1f}",
        "invented": lambda each: each.right.invented,
        "wrong list: names right %": lambda each: f"{100 * each.wrong.names_right / each.wrong.sentences:.1f}",
        "rest WER % ": lambda each: f"{100 * each.wrong.rest_errors / each.wrong.rest_words:.1f}",
        "invented ": lambda each: each.wrong.invented,
        "prompts: errors": lambda each: _each(each, "errors"),
        "invented  ": lambda each: _each(each, "invented"),
        "lost": lambda each: _each(each, "lost"),
        "changed": lambda each: _each(each, "changed"),
    }
    first = results[0]
    table = Table(title=f"{first.right.sentences} sentences with names, and prompts of {first.prompts[0].words} words")
    table.add_column("hotwords")
    for heading in columns:
        table.add_column(heading, justify="right")
    for each in results:
        table.add_row(each.wording, *(str(show(each)) for show in columns.values()))
    return table


def _each(result: Result, field: str) -> str:
    return ", ".join(str(getattr(each, field)) for each in result.prompts)


if __name__ == "__main__":
    main()
