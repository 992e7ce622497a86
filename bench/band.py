"""What the telephone band costs, and what lost packets cost in it: word errors of the same prompts.

    python -m bench.band [--sounds DIR] [--texts FILE] [--model base] [--limit N]

The prompts are those of Debian's asterisk-core-sounds-en-g722 (16 kHz) and asterisk-core-sounds-en-wav (8 kHz, here
made mu-law); the texts lie in asterisk-core-sounds-en. Left out is what has digits, symbols or stage directions in its
text, or fewer than three words, or takes more than thirty seconds. The goal: 8 kHz costs no more than one point of word
error rate. The 16 kHz recordings are brought to 8 kHz mu-law, too, lest the packages differ in more than the band.

Losses are of packets of 20 ms, drawn by a fixed seed, single or in threes. A lost packet is silence, as on wires with
stamps; or its neighbours close up, as by AudioSocket; or the last pitch period goes on in its place, fading over 60 ms,
as ITU-T G.711 appendix I does it, which Linescribe does not.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from asr.transcriber import Transcriber
from asr.weights import WeightsError
from bench.band_figures import paired_difference, rate
from bench.band_loss import conceal, lose
from bench.band_prompts import BandError, Prompt, frames, narrowed, read_prompts, received
from bench.utterances import Utterance, decode_all, find_weights, one_thread
from config.profiles import Profile
from config.settings import Models
from gateway.demo.score import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

GOAL_POINTS = 1.0
BATCH = 8
BURSTS = (1, 3)
SOUNDS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
TEXTS = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
WIDE, NARROW, CUT = "16 kHz", "8 kHz mu-law", "16 kHz made 8 kHz mu-law"


ARRIVALS: dict[str, Callable[[Sequence[bytes | None]], bytes]] = {
    "silence": received,
    "closed up": partial(received, stamped=False),
    "concealed": lambda packets: received(conceal(packets)),
}
"""What becomes of packets when some are lost."""


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which the prompts arrive."""

    name: str
    draws: list[list[Utterance]]
    """The prompts, as often as losses were drawn."""
    lost_percent: float = 0.0
    """Packets that did not come, of all."""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What was made of them."""

    texts: list[str]
    """Of the first draw."""
    errors: list[float]
    """Of each prompt, on average over the draws."""


@click.command()
@click.option("--sounds", type=click.Path(path_type=Path), default=SOUNDS, show_default=True)
@click.option("--texts", type=click.Path(path_type=Path), default=TEXTS, show_default=True)
@click.option("--model", default="base", show_default=True, help="A name or a directory.")
@click.option("--losses", default="1,3,5", show_default=True, help="Percent of packets; '' is none.")
@click.option("--draws", type=click.IntRange(1), default=3, show_default=True, help="How often losses are drawn anew.")
@click.option("--seed", default=1, show_default=True, help="For what is lost, and for the intervals.")
@click.option("--limit", type=click.IntRange(1), help="Take only so many prompts, for a quick look.")
def main(sounds: Path, texts: Path, model: str, losses: str, draws: int, seed: int, limit: int | None) -> None:
    """Decode every prompt in every way."""
    one_thread("bench.band")
    try:
        prompts = read_prompts(sounds, texts)[:limit]
        percents = [float(each) for each in losses.split(",") if each]
        weights = find_weights(model)
    except (BandError, ValueError, WeightsError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    ways = [*_bands(prompts), *(way for percent in percents for way in _lossy(prompts, percent, draws, seed))]
    transcriber = Transcriber(weights, Models(threads=1))
    progress = track(ways, console=Console(stderr=True), description="decoding", transient=True)
    outcomes = {way.name: _decode(transcriber, way) for way in progress}
    said = [len(words(each.text)) for each in prompts]
    results = [_result(way, outcomes, said, seed) for way in ways]
    _show(results, prompts, outcomes, said)
    click.echo(
        msgspec.json.encode(
            {
                "model": weights.name,
                "prompts": len(prompts),
                "words": sum(said),
                "goal_points": GOAL_POINTS,
                "results": results,
                "most_different": _most_different(prompts, outcomes),
            }
        )
    )


def _bands(prompts: Sequence[Prompt]) -> Iterator[Way]:
    yield Way(name=WIDE, draws=[list[Utterance](prompts)])
    yield Way(name=NARROW, draws=[_received(prompts, [frames(each.mu_law) for each in prompts])])
    yield Way(name=CUT, draws=[_received(prompts, [frames(narrowed(each.audio)) for each in prompts])])


def _lossy(prompts: Sequence[Prompt], percent: float, draws: int, seed: int) -> Iterator[Way]:
    """Lose the same packets for every way of making up for them."""
    for burst in BURSTS:
        random = np.random.default_rng(seed)
        drawn = [[_some_lost(each.mu_law, percent, burst, random) for each in prompts] for _ in range(draws)]
        every = [packet for draw in drawn for packets in draw for packet in packets]
        lost_percent = round(100 * every.count(None) / len(every), 2)
        name = f"{percent:g} % lost" + (f", {burst} at once" if burst > 1 else "")
        for how, arrive in ARRIVALS.items():
            yield Way(
                name=f"{name}, {how}",
                draws=[_received(prompts, draw, arrive) for draw in drawn],
                lost_percent=lost_percent,
            )


def _some_lost(mu_law: bytes, percent: float, burst: int, random: np.random.Generator) -> list[bytes | None]:
    sent = frames(mu_law)
    lost = lose(len(sent), percent / 100, burst, random)
    return [None if gone else packet for packet, gone in zip(sent, lost, strict=True)]


def _received(
    prompts: Sequence[Prompt],
    packets: Sequence[Sequence[bytes | None]],
    arrive: Callable[[Sequence[bytes | None]], bytes] = received,
) -> list[Utterance]:
    return [
        Utterance(name=prompt.name, text=prompt.text, audio=arrive(some))
        for prompt, some in zip(prompts, packets, strict=True)
    ]


def _decode(transcriber: Transcriber, way: Way) -> Heard:
    outcomes = [decode_all(transcriber, Profile(), BATCH, time.process_time, draw) for draw in way.draws]
    errors = np.mean([outcome.errors for outcome in outcomes], axis=0)
    return Heard(texts=outcomes[0].texts, errors=errors.tolist())


def _result(way: Way, outcomes: dict[str, Heard], said: Sequence[int], seed: int) -> dict[str, Any]:
    """Hold the bands against 16 kHz, and losses against the band that they are in."""
    errors = outcomes[way.name].errors
    against = NARROW if way.lost_percent else WIDE
    difference = paired_difference(errors, outcomes[against].errors, said, seed=seed)
    result = {
        "way": way.name,
        "lost_percent": way.lost_percent,
        "errors": round(sum(errors), 1),
        "word_error_percent": round(rate(errors, said), 3),
        "against": against,
        "difference": difference,
    }
    if way.name == NARROW:
        result["goal_holds"], result["goal_holds_at_upper_end"] = difference.holds(GOAL_POINTS)
    return result


def _most_different(prompts: Sequence[Prompt], outcomes: dict[str, Heard], most: int = 10) -> list[dict[str, Any]]:
    wide, narrow = outcomes[WIDE], outcomes[NARROW]
    rows: list[dict[str, Any]] = [
        {"name": each.name, "text": each.text, "errors": [in_wide, in_narrow], "heard": [text_wide, text_narrow]}
        for each, in_wide, in_narrow, text_wide, text_narrow in zip(
            prompts, wide.errors, narrow.errors, wide.texts, narrow.texts, strict=True
        )
        if in_wide != in_narrow
    ]
    return sorted(rows, key=lambda row: -abs(row["errors"][1] - row["errors"][0]))[:most]


def _show(
    results: Sequence[dict[str, Any]], prompts: Sequence[Prompt], outcomes: dict[str, Heard], said: Sequence[int]
) -> None:
    console = Console(width=140)
    table = Table(title=f"{len(prompts)} prompts, {sum(said)} words; differences in points, their 95 % interval")
    for heading in ("", "lost %", "errors", "WER %", "difference", "against"):
        table.add_column(heading, justify="left" if heading in {"", "against"} else "right")
    for each in results:
        change = each["difference"]
        table.add_row(
            each["way"],
            f"{each['lost_percent']:.2f}",
            f"{each['errors']:.1f}",
            f"{each['word_error_percent']:.2f}",
            f"{change.points:+.2f} ({change.low:+.2f} to {change.high:+.2f})",
            each["against"],
        )
    console.print(table)
    for each in _most_different(prompts, outcomes):
        console.print(f"{each['name']}: {each['text']}", style="bold", highlight=False, markup=False)
        for band, errors, heard in zip((WIDE, NARROW), each["errors"], each["heard"], strict=True):
            console.print(f"  {band}, {errors:g} wrong: {heard}", highlight=False, markup=False)


if __name__ == "__main__":
    main()
