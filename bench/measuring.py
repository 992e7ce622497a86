"""From a script, what was sent of it and what was received, to figures. Pure."""

from __future__ import annotations

import statistics
from collections import defaultdict
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, Any

import msgspec

from bench.alignment import Heard, Said, compare, overlapping
from bench.prompts import FRAME_MS
from bench.scripts import speaker

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from bench.scripts import Script
    from bench.simulator import LineDone

INTERIM_DUE_MS = 1000
"""Of an utterance that is shorter, an interim need not come before its final."""

MOST_GROWTH_MS = 300
"""When finals come so much later in the last third of a run than in the first, the backlog grows."""

FEWEST_FOR_THIRDS = 6


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the receiver had it."""

    type: str
    data: dict[str, Any]
    at: float


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a run that counts: after it has warmed up, until the script is over."""

    since: float
    until: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to; None where there is nothing to tell it from."""

    utterances: int
    timed: int
    """Of these, those whose latencies count."""
    joined: int
    """Of these, those that came in one final with the next, and so have no end of their own."""
    final_p50_ms: int | None
    final_p95_ms: int | None
    final_max_ms: int | None
    final_growth_ms: int | None
    """The median of the last third less that of the first."""
    final_slope_ms: float | None
    """How much later finals come with every second of the run."""
    first_interim_p50_ms: int | None
    first_interim_p95_ms: int | None
    without_interim: int
    """Utterances of a second and more whose first text was the final."""
    interims_per_second: float | None
    interims_per_second_per_speaker: float | None
    refresh_p50_ms: int | None
    refresh_p95_ms: int | None
    """Between an utterance's interims."""
    interims_shed: int
    finals_lost: int
    out_of_order: int
    failed: int
    wer: float
    cut_off: int
    """Lines on which the gateway hung up."""
    unended: int
    """Calls without `call.ended`."""


def said_on(script: Script, lines: Sequence[LineDone]) -> list[Said]:
    """Put what was said on the clocks of its calls, whose zero is their first line's beginning."""
    zero: dict[str, float] = {}
    for line, done in zip(script.lines, lines, strict=True):
        zero[line.call_uuid] = min(done.introduced_at, zero.get(line.call_uuid, done.introduced_at))
    said = []
    for line, done in zip(script.lines, lines, strict=True):
        offset_ms = round((done.introduced_at - zero[line.call_uuid]) * 1000)
        for placed, (began_at, ended_at) in zip(line.placed, done.spoken, strict=False):  # shorter where it was cut off
            prompt = script.prompts[placed.prompt]
            said.append(
                Said(
                    speaker=line.speaker,
                    text=prompt.text,
                    start_ms=offset_ms + (placed.at_frame + prompt.first_frame) * FRAME_MS,
                    end_ms=offset_ms + (placed.at_frame + prompt.last_frame + 1) * FRAME_MS,
                    began_at=began_at,
                    ended_at=ended_at,
                )
            )
    return said


def measure(script: Script, lines: Sequence[LineDone], arrivals: Sequence[Arrival], window: Window) -> Figures:
    """Make the figures of a run.

    What began before the window has no part in latencies and rates; what was lost, wrong or failed counts throughout.
    """
    said = said_on(script, lines)
    finals, interims = _heard(arrivals, "transcript.final"), _heard(arrivals, "transcript.interim")
    latencies = _Latencies(said, _by_speaker(finals), _by_speaker(interims), window.since)
    verdict = compare(said, finals)
    ended = [each.data for each in arrivals if each.type == "call.ended"]
    calls = {line.call_uuid for line in script.lines}
    return Figures(
        utterances=len(said),
        timed=len(latencies.finals),
        joined=latencies.joined,
        **_of_finals(latencies.finals),
        **_of_interims(latencies, interims, len(script.lines), window),
        interims_shed=sum(each["interims_shed"] for each in ended),
        finals_lost=len(verdict.lost),
        out_of_order=sum(_out_of_order(each) for each in _by_speaker(finals).values()),
        failed=sum(each.type == "transcript.failed" for each in arrivals),
        wer=round(verdict.errors / max(1, verdict.words), 4),
        cut_off=sum(each.cut_off for each in lines),
        unended=len(calls - {each["source"]["call_id"] for each in ended}),
    )


def latencies_ms(
    script: Script, lines: Sequence[LineDone], arrivals: Sequence[Arrival], window: Window, speakers: Container[str]
) -> list[float]:
    """Tell how long the finals of some speakers took."""
    said = [each for each in said_on(script, lines) if each.speaker in speakers]
    timed = _Latencies(said, _by_speaker(_heard(arrivals, "transcript.final")), {}, window.since).finals
    return [latency for _, latency in timed]


class _Latencies:
    """How long each utterance's text took."""

    def __init__(
        self,
        said: Iterable[Said],
        finals: Mapping[str, list[Heard]],
        interims: Mapping[str, list[Heard]],
        since: float,
    ) -> None:
        self.joined = self.without_interim = 0
        self.finals: list[tuple[float, float]] = []
        """End of speech, and milliseconds from there."""
        self.first_texts_ms: list[float] = []
        holders = [(each, _holder(each, finals.get(each.speaker, []))) for each in said]
        nexts = [final for _, final in holders[1:]]
        for (each, final), after in zip_longest(holders, nexts):
            if each.began_at < since:
                continue
            if final is not None:
                self._time_final(each, final, after)
            self._time_first_text(each, final, interims.get(each.speaker, []))

    def _time_final(self, said: Said, final: Heard, after: Heard | None) -> None:
        if final is after:
            self.joined += 1
        else:
            self.finals.append((said.ended_at, (final.at - said.ended_at) * 1000))

    def _time_first_text(self, said: Said, final: Heard | None, interims: Iterable[Heard]) -> None:
        """Where no interim came though there was time for it, the final is the first that is read."""
        came = [each.at for each in overlapping(said, interims)]
        if came:
            self.first_texts_ms.append((min(came) - said.began_at) * 1000)
        elif final is not None and said.end_ms - said.start_ms >= INTERIM_DUE_MS:
            self.without_interim += 1
            self.first_texts_ms.append((final.at - said.began_at) * 1000)


def _holder(said: Said, finals: Iterable[Heard]) -> Heard | None:
    """Find the final that holds an utterance's end."""
    return max(overlapping(said, finals), key=lambda each: each.end_ms, default=None)


def _of_finals(timed: Sequence[tuple[float, float]]) -> dict[str, Any]:
    took_ms = [latency for _, latency in timed]
    growth, slope = _growth(sorted(timed))
    return {
        "final_p50_ms": percentile(took_ms, 50),
        "final_p95_ms": percentile(took_ms, 95),
        "final_max_ms": percentile(took_ms, 100),
        "final_growth_ms": growth,
        "final_slope_ms": slope,
    }


def _growth(timed: Sequence[tuple[float, float]]) -> tuple[int | None, float | None]:
    third = len(timed) // 3
    ends, took_ms = [end for end, _ in timed], [latency for _, latency in timed]
    if len(timed) < FEWEST_FOR_THIRDS or ends[0] == ends[-1]:
        return None, None
    growth = statistics.median(took_ms[-third:]) - statistics.median(took_ms[:third])
    return round(growth), round(statistics.linear_regression(ends, took_ms).slope, 2)


def _of_interims(latencies: _Latencies, interims: Sequence[Heard], speakers: int, window: Window) -> dict[str, Any]:
    counted = [each for each in interims if window.since <= each.at <= window.until]
    rate = len(counted) / (window.until - window.since) if interims else None
    texts_ms = latencies.first_texts_ms if interims else []
    refreshes_ms = _refreshes_ms(counted)
    return {
        "first_interim_p50_ms": percentile(texts_ms, 50),
        "first_interim_p95_ms": percentile(texts_ms, 95),
        "without_interim": latencies.without_interim if interims else 0,
        "interims_per_second": None if rate is None else round(rate, 2),
        "interims_per_second_per_speaker": None if rate is None else round(rate / speakers, 2),
        "refresh_p50_ms": percentile(refreshes_ms, 50),
        "refresh_p95_ms": percentile(refreshes_ms, 95),
    }


def _refreshes_ms(interims: Iterable[Heard]) -> list[float]:
    times: dict[str, list[float]] = defaultdict(list)
    for each in interims:
        times[each.utterance_id].append(each.at)
    return [(after - before) * 1000 for of_one in times.values() for before, after in pairwise(sorted(of_one))]


def _out_of_order(finals: Sequence[Heard]) -> int:
    """Count the finals that came after one that begins later."""
    latest = count = 0
    for each in sorted(finals, key=lambda each: each.at):
        count += each.start_ms < latest
        latest = max(latest, each.start_ms)
    return count


def _heard(arrivals: Iterable[Arrival], kind: str) -> list[Heard]:
    return [
        Heard(
            speaker=speaker(each.data["source"]["call_id"], each.data["source"]["listener"]),
            utterance_id=each.data["utterance_id"],
            text=each.data["text"],
            start_ms=each.data["start_ms"],
            end_ms=each.data["end_ms"],
            at=each.at,
        )
        for each in arrivals
        if each.type == kind
    ]


def _by_speaker(heard: Iterable[Heard]) -> dict[str, list[Heard]]:
    found: dict[str, list[Heard]] = defaultdict(list)
    for each in heard:
        found[each.speaker].append(each)
    return found


def percentile(values: Sequence[float], percent: int) -> int | None:
    """Tell the value that `percent` of them do not exceed, between two by their distance; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return round(ordered[below] + (ordered[above] - ordered[below]) * (place - below))
