"""Figures of calls whose language was to be found out. Pure."""

from __future__ import annotations

from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

from rich.table import Table

from bench.language_calls import decision, duration, flips, noticed_after, of_track

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bench.language_calls import Heard

SECONDS_PER_HOUR = 3600
TRACKS = ("inbound", "outbound")


def of_single(calls: Sequence[Sequence[Heard]]) -> dict[str, Any]:
    """Sum up calls in one language each."""
    return {**_of_tracks(calls), **_of_utterances(calls), "wrong": _wrong(calls)}


def of_switching(calls: Sequence[Sequence[Heard]]) -> dict[str, Any]:
    """Sum up calls whose language changes in the middle."""
    noticed = [noticed_after(call) for call in calls]
    found = [each for each in noticed if each is not None]
    return {"calls": len(calls), "missed": noticed.count(None), **_spread("utterances_until_noticed", found)}


def of_two(calls: Sequence[Sequence[Heard]]) -> dict[str, Any]:
    """Sum up calls of two speakers, each with a language of their own."""
    tracks = [track for call in calls for name in TRACKS if (track := of_track(call, name))]
    return {**_of_tracks(tracks), **_of_utterances(tracks), "wrong": _wrong(tracks)}


def _of_tracks(tracks: Sequence[Sequence[Heard]]) -> dict[str, Any]:
    decisions = [each for track in tracks if (each := decision(track))]
    hours = sum(duration([each.turn for each in track]) for track in tracks) / SECONDS_PER_HOUR
    changes = sum(1 for track in tracks for _ in flips(track))
    return {
        "calls": len(tracks),
        "decided": len(decisions),
        "decided_right": sum(each.right for each in decisions),
        "hours": round(hours, 2),
        "flips": changes,
        "flips_per_hour": round(changes / hours, 3),
        **_spread("seconds_to_decide", [each.speech_seconds for each in decisions]),
        **_spread("utterances_to_decide", [each.utterances for each in decisions]),
    }


def _of_utterances(tracks: Sequence[Sequence[Heard]]) -> dict[str, Any]:
    every = list(chain.from_iterable(tracks))
    since = [each for each in every if each.held is not None]
    guesses = sum(before.guess != after.guess for track in tracks for before, after in pairwise(track))
    hours = sum(duration([each.turn for each in track]) for track in tracks) / SECONDS_PER_HOUR
    return {
        "utterances": len(every),
        "right": _share(each.text == each.turn.language for each in every),
        "right_since_decided": _share(each.text == each.turn.language for each in since),
        "right_alone": _share(each.guess == each.turn.language for each in every),
        "changes_per_hour_alone": round(guesses / hours, 1),
    }


def _wrong(tracks: Iterable[Sequence[Heard]]) -> list[str]:
    """Name the wrong decisions, and the clip that each fell at."""
    found = []
    for track in tracks:
        first = decision(track)
        if first and not first.right:
            found.append(f"{track[0].turn.language} taken for {first.language} at {first.name}")
        found += [
            f"{each.turn.language} left for {each.held} at {each.turn.name}"
            for each in flips(track)
            if each.held != each.turn.language
        ]
    return found


def _share(right: Iterable[bool]) -> float | None:
    every = list(right)
    return round(sum(every) / len(every), 4) if every else None


def _spread(name: str, values: Sequence[float]) -> dict[str, float | None]:
    ordered = sorted(values)
    return {f"{name}_p{part}": round(_part(ordered, part), 1) if ordered else None for part in (50, 95)}


def _part(ordered: Sequence[float], percent: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def as_table(results: Mapping[str, Mapping[str, Any]]) -> Table:
    """Lay all figures out, one column for each kind of call."""
    table = Table(title="What becomes of a call's language", title_justify="left")
    table.add_column("")
    names: dict[str, None] = {}
    for heading, figures in results.items():
        table.add_column(heading, justify="right")
        names |= dict.fromkeys(name for name in figures if name != "wrong")
    for name in names:
        table.add_row(name.replace("_", " "), *(_shown(figures.get(name, "")) for figures in results.values()))
    return table


def _shown(value: float | str | None) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
