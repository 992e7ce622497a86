from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measuring import Arrival, Figures, Window, latencies_ms, measure, percentile, said_on
from bench.prompts import Prompt
from bench.scripts import INBOUND, OUTBOUND, Line, Placed, Script
from bench.simulator import LineDone

TEXT = "one two three four"
PROMPT = Prompt(text=TEXT, pcm=bytes(320 * 120), first_frame=10, last_frame=109, longest_pause_frames=0)
"""Two seconds of speech between 200 ms of silence."""

EVERY_FRAMES = 200
BEGIN = 1000.0
ALL = Window(since=BEGIN, until=BEGIN + 100)

GOOD = Figures(
    utterances=100,
    timed=90,
    joined=0,
    final_p50_ms=600,
    final_p95_ms=900,
    final_max_ms=950,
    final_growth_ms=300,
    final_slope_ms=0.1,
    first_interim_p50_ms=500,
    first_interim_p95_ms=800,
    without_interim=0,
    interims_per_second=4.0,
    interims_per_second_per_speaker=1.0,
    refresh_p50_ms=500,
    refresh_p95_ms=700,
    interims_shed=0,
    finals_lost=0,
    out_of_order=0,
    failed=0,
    wer=0.05,
    cut_off=0,
    unended=0,
)


def line(call: str = "c1", listener: str = INBOUND, prompts: int = 1) -> Line:
    placed = tuple(Placed(prompt=0, at_frame=number * EVERY_FRAMES) for number in range(prompts))
    return Line(call_uuid=call, listener=listener, start_ms=0, placed=placed, frames=prompts * EVERY_FRAMES)


def script(*lines: Line) -> Script:
    return Script(prompts=(PROMPT,), lines=lines)


def done(of: Line, begin: float = BEGIN, *, said: int | None = None) -> LineDone:
    spoken = [(begin + each.at_frame * 0.02 + 0.2, begin + each.at_frame * 0.02 + 2.18) for each in of.placed[:said]]
    return LineDone(introduced_at=begin, spoken=tuple(spoken), cut_off=said is not None)


def event(kind: str, at: float, start_ms: int = 0, end_ms: int = 0, *, of: Line | None = None, **more: Any) -> Arrival:
    of = of or line()
    source = {"call_id": of.call_uuid, "listener": of.listener}
    data = {"source": source, "start_ms": start_ms, "end_ms": end_ms, "utterance_id": f"u{start_ms}", "text": TEXT}
    return Arrival(type=kind, data=data | more, at=BEGIN + at)


def final(at: float, start_ms: int, end_ms: int, **more: Any) -> Arrival:
    return event("transcript.final", at, start_ms, end_ms, **more)


def interim(at: float, start_ms: int, end_ms: int, **more: Any) -> Arrival:
    return event("transcript.interim", at, start_ms, end_ms, **more)


def ended(of: Line | None = None, shed: int = 0) -> Arrival:
    return event("call.ended", 99, of=of, interims_shed=shed)


def figures(prompts: int, *arrivals: Arrival, window: Window = ALL) -> Figures:
    of = line(prompts=prompts)
    return measure(script(of), [done(of)], arrivals, window)


def test_what_was_said_stands_on_the_clock_of_its_call() -> None:
    one, other, alone = line(), line(listener=OUTBOUND), line("c2")
    said = said_on(script(one, other, alone), [done(one, 5.5), done(other, 5.0), done(alone, 9.0)])
    assert [(each.start_ms, each.end_ms) for each in said] == [(700, 2700), (200, 2200), (200, 2200)]
    assert [each.began_at for each in said] == pytest.approx([5.7, 5.2, 9.2])
    assert len({each.speaker for each in said}) == 3


def test_what_the_gateway_cut_off_was_not_said() -> None:
    of = line(prompts=3)
    told = measure(script(of), [done(of, said=1)], [final(3, 200, 2200), ended()], ALL)
    assert (told.utterances, told.finals_lost, told.cut_off) == (1, 0, 1)


def test_a_final_is_timed_from_the_end_of_speech() -> None:
    told = figures(1, final(2.18 + 0.75, 230, 2190), ended())
    assert (told.final_p50_ms, told.final_p95_ms, told.final_max_ms) == (750, 750, 750)
    assert (told.utterances, told.timed, told.wer, told.finals_lost, told.unended) == (1, 1, 0, 0, 0)


def test_of_two_finals_the_one_with_the_end_counts() -> None:
    told = figures(1, final(2, 200, 1100, text="one two"), final(3.18, 1500, 2200, text="three four"), ended())
    assert (told.timed, told.final_max_ms, told.wer) == (1, 1000, 0)


def test_two_utterances_in_one_final_are_timed_from_the_end_of_the_second() -> None:
    told = figures(2, final(6.18 + 0.5, 200, 6200, text=f"{TEXT} {TEXT}"), ended())
    assert (told.utterances, told.timed, told.joined, told.final_max_ms, told.finals_lost) == (2, 1, 1, 500, 0)


def test_what_began_before_the_window_is_not_timed_but_counted() -> None:
    window = Window(since=BEGIN + 3, until=BEGIN + 10)
    told = figures(2, final(9, 200, 2200), window=window)
    assert (told.utterances, told.timed, told.final_p50_ms, told.finals_lost) == (2, 0, None, 1)


def test_what_has_no_final_is_lost_and_what_failed_is_counted() -> None:
    told = figures(2, final(3, 200, 2200), event("transcript.failed", 7, 4200, 6200))
    assert (told.finals_lost, told.failed, told.wer, told.unended) == (1, 1, 0.5, 1)


def test_interims_are_timed_from_the_begin_of_speech() -> None:
    came = [interim(1.0, 200, 900), interim(1.4, 200, 1300), interim(2.0, 200, 1900)]
    told = figures(1, *came, final(3, 200, 2200), ended(shed=4))
    assert (told.first_interim_p50_ms, told.first_interim_p95_ms, told.interims_shed) == (800, 800, 4)
    assert (told.refresh_p50_ms, told.refresh_p95_ms, told.without_interim) == (500, 590, 0)
    assert (told.interims_per_second, told.interims_per_second_per_speaker) == (0.03, 0.03)


def test_where_no_interim_came_in_time_the_final_is_the_first_text() -> None:
    told = figures(2, interim(1.0, 200, 900), final(3, 200, 2200), final(7.2, 4200, 6200), ended())
    assert (told.without_interim, told.first_interim_p50_ms, told.first_interim_p95_ms) == (1, 1900, 2890)


def test_of_a_gateway_without_interims_there_is_nothing_to_tell() -> None:
    told = figures(1, final(3, 200, 2200), ended())
    assert (told.first_interim_p50_ms, told.first_interim_p95_ms, told.interims_per_second) == (None, None, None)
    assert (told.refresh_p50_ms, told.without_interim) == (None, 0)


def test_interims_outside_the_window_are_no_part_of_the_rate() -> None:
    window = Window(since=BEGIN + 1, until=BEGIN + 5)
    told = figures(1, interim(0.9, 200, 800), interim(1.5, 200, 1300), interim(5.1, 200, 2000), window=window)
    assert told.interims_per_second == 0.25


def test_finals_that_come_after_later_ones_are_out_of_order() -> None:
    first, second, third = final(3, 200, 2200), final(7, 4200, 6200), final(11, 8200, 10200)
    assert figures(3, first, second, third).out_of_order == 0
    late = final(11.5, 200, 2200)
    assert figures(3, second, third, late).out_of_order == 1


def test_sides_of_a_call_are_held_apart() -> None:
    one, other = line(), line(listener=OUTBOUND)
    arrivals = [final(2.68, 200, 2200, of=one), final(3.18, 200, 2200, of=other), ended()]
    both = script(one, other)
    told = measure(both, [done(one), done(other)], arrivals, ALL)
    assert (told.finals_lost, told.out_of_order, told.unended, told.final_max_ms) == (0, 0, 0, 1000)
    assert latencies_ms(both, [done(one), done(other)], arrivals, ALL, {one.speaker}) == pytest.approx([500])


def test_every_call_without_its_end_is_counted_once() -> None:
    lines = [line(), line(listener=OUTBOUND), line("c2"), line("c3")]
    told = measure(script(*lines), [done(each) for each in lines], [ended(lines[2])], ALL)
    assert told.unended == 2


def paced(latencies: list[float]) -> Figures:
    finals = [final(n * 4 + 2.18 + took, n * 4000 + 200, n * 4000 + 2200) for n, took in enumerate(latencies)]
    return figures(len(latencies), *finals)


@pytest.mark.parametrize(
    ("latencies", "growth", "slope"),
    [
        ([0.5] * 6, 0, 0.0),
        ([0.5, 0.7, 0.9, 1.1, 1.3, 1.5], 800, 50.0),
        ([0.5] * 5, None, None),
        ([1.0, 1.0, 0.5, 0.5, 0.6, 0.6], -400, None),
    ],
)
def test_growth_is_that_from_the_first_third_to_the_last(
    latencies: list[float], growth: int | None, slope: float | None
) -> None:
    told = paced(latencies)
    assert told.final_growth_ms == growth
    assert slope is None or told.final_slope_ms == pytest.approx(slope, abs=0.1)


@given(st.lists(st.floats(0.3, 1.7), min_size=1, max_size=12), st.randoms())
def test_every_final_is_found_whatever_the_order_of_arrival(latencies: list[float], rng: Any) -> None:
    finals = [final(n * 4 + 2.18 + took, n * 4000 + 200, n * 4000 + 2200) for n, took in enumerate(latencies)]
    rng.shuffle(finals)
    told = figures(len(latencies), *finals, ended())
    assert (told.timed, told.finals_lost, told.joined, told.wer) == (len(latencies), 0, 0, 0)
    assert told.final_max_ms == pytest.approx(max(latencies) * 1000, abs=1)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(0, 100))
def test_a_percentile_lies_within_and_rises(values: list[float], percent: int) -> None:
    found, highest = percentile(values, percent), percentile(values, 100)
    assert found is not None
    assert highest == round(max(values))
    assert round(min(values)) <= found <= highest


def test_percentiles_of_nothing_and_of_little() -> None:
    assert percentile([], 95) is None
    assert percentile([7], 95) == 7
    assert percentile([0, 100], 95) == 95
