"""What is invented where nobody speaks, and what is lost of short answers.

    python -m bench.invention --speech DIR [--music DIR] [--model base] [--no-second-opinion] [--no-answers] [--quick]

MUSIC is Debian's asterisk-moh-opsound-wav (no word is spoken or sung in it), played at several levels and speeds, by
several codecs, with and without the noise of a line; to it come tones, noise and silence. SPEECH holds `dev.tsv` (file,
seconds, text) and the files in `dev/`, raw mu-law at 8 kHz, of which words are cut; Debian's espeak-ng says others.
Everything goes through the gateway's media path, its detectors and its model, as finals do.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.console import Console
from rich.progress import track
from rich.table import Table

from asr.transcriber import Transcriber
from bench.answers import ESPEAK, LEVELS, ask, from_prompts, is_right, spoken_words
from bench.line import knows_amr
from bench.nobody import NOISE_SECONDS, PLAYINGS, clips, listen
from bench.utterances import find_weights, one_thread, read_utterances
from config.settings import Models
from gateway.demo.score import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.answers import Outcome
    from bench.nobody import Made

MUSIC = Path("/usr/share/asterisk/moh")
MOST_INVENTED_AN_HOUR = 1.0
LEAST_PUBLISHED = 0.995
QUICK_ANSWERS = 40
"""With --quick, one in so many."""


@click.command()
@click.option("--speech", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--music", type=click.Path(path_type=Path), default=MUSIC, show_default=True)
@click.option("--model", default="base", show_default=True, help="A name or a directory.")
@click.option("--second-opinion/--no-second-opinion", default=True, help="As models.second_opinion.")
@click.option("--answers/--no-answers", default=True, help="Whether short answers are asked for, too.")
@click.option("--quick", is_flag=True, help="A small part of everything.")
def main(speech: Path, music: Path, model: str, *, second_opinion: bool, answers: bool, quick: bool) -> None:
    """Count invented words an hour, and short answers that are lost."""
    one_thread("bench.invention")
    files = sorted(music.glob("*.wav"))
    if not files:
        raise click.ClickException(f"{music}: expected music as .wav; Debian has it as asterisk-moh-opsound-wav")
    if answers and shutil.which(ESPEAK) is None:
        raise click.ClickException(f"expected {ESPEAK}, which speaks the short answers; Debian has it as {ESPEAK}")
    if not knows_amr():
        raise click.ClickException("this PyAV knows no AMR, by which a part is played; its wheels for Python 3.11 do")
    console = Console(width=120)
    transcriber = Transcriber(find_weights(model), Models(threads=1, second_opinion=second_opinion))
    figures, made = _nobody(transcriber, files, console, quick=quick)
    console.print(_inventions(made))
    if answers:
        outcomes = _answers(transcriber, speech, console, quick=quick)
        figures |= answer_figures(outcomes)
        console.print(_losses(outcomes))
    console.print(_summary(figures))
    told = {"model": model, "second_opinion": second_opinion, **figures}
    click.echo(msgspec.json.encode(told))


def _nobody(
    model: Transcriber, files: Sequence[Path], console: Console, *, quick: bool
) -> tuple[dict[str, Any], list[Made]]:
    """Decode everything that is not speech; give its figures, and what was made of it."""
    heard = list(clips(files[:1], PLAYINGS[:1], 5.0) if quick else clips(files, PLAYINGS, NOISE_SECONDS))
    begin, seconds, made = time.perf_counter(), 0.0, []
    for length, of_clip in track(listen(model, heard), "nobody speaks", len(heard), console=console, transient=True):
        seconds += length
        made += of_clip
    figures = invention_figures(seconds, made)
    return figures | {"times_faster_than_real": round(seconds / (time.perf_counter() - begin), 1)}, made


def _answers(model: Transcriber, speech: Path, console: Console, *, quick: bool) -> list[Outcome]:
    with console.status("short answers"):
        answers = [*from_prompts(model, read_utterances(speech)), *spoken_words()]
        chosen = answers[:: QUICK_ANSWERS if quick else 1]
        return [outcome for gain_db, hiss in LEVELS for outcome in ask(model, chosen, gain_db, hiss)]


def invention_figures(seconds: float, made: Sequence[Made]) -> dict[str, Any]:
    """Count what was invented in so many seconds, and why the rest was not published."""
    invented = sum(len(words(each.text)) for each in made)
    return {
        "hours": round(seconds / 3600, 2),
        "utterances": len(made),
        "invented_words": invented,
        "invented_words_per_hour": round(invented / seconds * 3600, 2),
        "suppressed": dict(Counter(each.reason for each in made if each.reason is not None).most_common()),
    }


def answer_figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Count the answers of which something was published, and of which the right thing was."""
    published = [each for each in outcomes if each.heard]
    return {
        "answers": len(outcomes),
        "published": round(len(published) / len(outcomes), 4),
        "right": round(sum(is_right(each.said, each.heard) for each in published) / len(outcomes), 4),
        "not_published": dict(Counter(each.reason for each in outcomes if each.reason is not None).most_common()),
    }


def _inventions(made: Sequence[Made]) -> Table:
    table = Table(title="Invented, where nobody speaks")
    for heading in ("clip", "at s", "text"):
        table.add_column(heading)
    for each in made:
        if each.text:
            table.add_row(each.clip, f"{each.at_ms / 1000:.1f}", each.text)
    return table


def _losses(outcomes: Sequence[Outcome]) -> Table:
    table = Table(title="Short answers without a final")
    for heading in ("answer", "said", "gain", "noise", "why"):
        table.add_column(heading)
    for each in outcomes:
        if each.reason is not None:
            table.add_row(each.name, each.said, f"{each.gain_db:+g} dB", f"{each.hiss:g}", each.reason)
    return table


def _summary(figures: dict[str, Any]) -> Table:
    table = Table(title="Nothing invented, nothing lost")
    for heading in ("", "figure", "goal"):
        table.add_column(heading)
    invented = f"{figures['invented_words_per_hour']}"
    table.add_row(f"invented words an hour, in {figures['hours']} hours", invented, f"<= {MOST_INVENTED_AN_HOUR}")
    if "answers" in figures:
        published = f"{figures['published']:.2%}"
        table.add_row(f"of {figures['answers']} short answers published", published, f">= {LEAST_PUBLISHED:.1%}")
        table.add_row("of these right", f"{figures['right']:.1%}", "")
    return table


if __name__ == "__main__":
    main()
