"""Whether a call's language is found, and kept: prompts in five languages, as simulated calls.

    python -m bench.language --sounds /usr/share/asterisk/sounds [--model base] [--cache FILE]

The sounds are Debian's asterisk-core-sounds-{en,es,fr,it,ru}-wav: 8 kHz, many of one word. Each goes through mu-law,
our media path and our endpointing to the model, on one thread, which tells how likely each language is; that is kept in
the cache, for thousands of calls are made of it. The constants of `asr/language.py` were chosen by half of the prompts
(`--half tuned`); without an option, the others are what calls are made of.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import click
import msgspec
from rich.console import Console

from bench.language_calls import Clip, Maker, Turn, replay
from bench.language_clips import ClipsError, half_of, listen, read_sounds
from bench.language_figures import as_table, of_single, of_switching, of_two
from bench.utterances import one_thread
from config.languages import Languages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Half = Literal["tuned", "others", "all"]


class Cached(msgspec.Struct, frozen=True, kw_only=True):
    """What a model heard in all the prompts."""

    model: str
    limit: int | None
    encode_ms: float
    """CPU time of an utterance, features included."""
    detect_ms: float
    """The same of hearing the language in what is encoded."""
    clips: tuple[Clip, ...]


@click.command()
@click.option("--sounds", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--model", default="base", show_default=True, help="A name or a directory.")
@click.option("--cache", type=click.Path(path_type=Path, dir_okay=False), help="Where what was heard is kept.")
@click.option("--half", type=click.Choice(["tuned", "others", "all"]), default="others", show_default=True)
@click.option("--calls", type=click.IntRange(1), default=200, show_default=True, help="Of each language and kind.")
@click.option("--seconds", type=click.FloatRange(10), default=150.0, show_default=True, help="Of each call.")
@click.option("--seed", default=1, show_default=True)
@click.option("--limit", type=click.IntRange(1), help="Take only so many prompts of each language, for a quick look.")
def main(
    sounds: Path, model: str, cache: Path | None, half: Half, calls: int, seconds: float, seed: int, limit: int | None
) -> None:
    """Simulate calls in one language, in two, and of two speakers; tell what is decided, and when."""
    one_thread("bench.language")
    heard = _heard(sounds, model, cache, limit)
    clips = [clip for clip in heard.clips if half in ("all", half_of(clip.name))]
    results: dict[str, dict[str, Any]] = {}
    for named, allowed in (("all", ()), ("five", tuple(dict.fromkeys(clip.language for clip in clips)))):
        spoken = Languages(allowed=allowed)
        results |= {f"{kind}, of {named}": each for kind, each in _run(clips, spoken, calls, seconds, seed).items()}
    console = Console(width=150)
    console.print(as_table(results))
    for kind, figures in results.items():
        for wrong in figures.get("wrong", ()):
            console.print(f"{kind}: {wrong}", highlight=False)
    told = {"model": heard.model, "half": half, "clips": len(clips), "seed": seed}
    costs = {"encode_ms": round(heard.encode_ms, 1), "detect_ms": round(heard.detect_ms, 1)}
    click.echo(msgspec.json.encode({**told, **costs, "results": results}))


def _heard(sounds: Path, model: str, cache: Path | None, limit: int | None) -> Cached:
    """Listen to all prompts, or take what was heard before; exit where neither can be done."""
    try:
        if cache is not None and cache.exists():
            return _cached(cache, model, limit)
        clips, encode_ms, detect_ms = listen(read_sounds(sounds, limit), model, time.process_time)
    except (ClipsError, OSError) as error:
        _exit(str(error))
    heard = Cached(model=model, limit=limit, encode_ms=encode_ms, detect_ms=detect_ms, clips=tuple(clips))
    if cache is not None:
        cache.write_bytes(msgspec.json.encode(heard))
    return heard


def _cached(cache: Path, model: str, limit: int | None) -> Cached:
    """Take what was heard before. Raises ClipsError where that is of another model, or of other prompts."""
    try:
        heard = msgspec.json.decode(cache.read_bytes(), type=Cached)
    except msgspec.DecodeError as error:
        raise ClipsError(f"{cache}: this is no cache of bench.language: {error}; remove it") from error
    if (heard.model, heard.limit) != (model, limit):
        raise ClipsError(f"{cache}: this is of model {heard.model}, --limit {heard.limit}; give another --cache")
    return heard


def _run(clips: Sequence[Clip], spoken: Languages, calls: int, seconds: float, seed: int) -> dict[str, dict[str, Any]]:
    maker = Maker(clips, seed)
    number = calls * len(maker.languages)
    single = [maker.one(language, seconds) for language in maker.languages for _ in range(calls)]
    made: dict[str, tuple[list[list[Turn]], Callable[..., dict[str, Any]]]] = {
        "single": (single, of_single),
        "switching": ([maker.switching(seconds) for _ in range(number)], of_switching),
        "two speakers": ([maker.two(seconds) for _ in range(number)], of_two),
    }
    return {kind: summed([replay(call, spoken) for call in turns]) for kind, (turns, summed) in made.items()}


def _exit(reason: str) -> NoReturn:
    click.echo(reason, err=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
