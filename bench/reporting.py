"""Figures for people, as a table, and for programs, as JSON. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.measuring import Figures
    from bench.trial import Outcome
    from config.settings import Models

TOLD = (
    "utterances",
    "final_p50_ms",
    "final_p95_ms",
    "final_growth_ms",
    "first_interim_p50_ms",
    "first_interim_p95_ms",
    "interims_per_second",
    "interims_shed",
    "finals_lost",
    "out_of_order",
    "failed",
    "wer",
)
"""What programs are told of the figures."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was to be."""

    calls: int
    seconds: float
    talk: str


def as_json(asked: Asked, models: Models, outcome: Outcome, figures: Figures) -> dict[str, Any]:
    """Give what programs are told, under names that stay."""
    return {
        **msgspec.structs.asdict(asked),
        "interim_model": models.interim,
        "final_model": models.final,
        **{name: getattr(figures, name) for name in TOLD},
        **msgspec.structs.asdict(outcome.decoding),
        **msgspec.structs.asdict(outcome.load),
        "late_frames": outcome.done.late_frames,
    }


def as_table(asked: Asked, models: Models, outcome: Outcome, figures: Figures) -> Table:
    """Lay out what people want to know."""
    table = Table(
        title=f"{asked.calls} calls of {asked.seconds:g} s, {asked.talk}; {models.interim} for interims,"
        f" {models.final} for finals",
        show_header=False,
        title_justify="left",
    )
    for row in (*_finals(figures), *_interims(figures), *_load(outcome)):
        table.add_row(*row)
    return table


def _finals(figures: Figures) -> Iterator[tuple[str, str]]:
    yield "utterances", f"{figures.utterances}; {figures.timed} timed, {figures.joined} in one final with the next"
    spread = _spread(figures.final_p50_ms, figures.final_p95_ms)
    yield "end of speech to final, ms", f"{spread}, longest {_or_none(figures.final_max_ms)}"
    growth, slope = _or_none(figures.final_growth_ms), _or_none(figures.final_slope_ms)
    yield "growth over the run, ms", f"{growth} from the first third to the last, {slope} a second"
    yield "finals lost, failed, out of order", f"{figures.finals_lost}, {figures.failed}, {figures.out_of_order}"
    yield "lines cut off, calls without end", f"{figures.cut_off}, {figures.unended}"
    yield "word error rate", f"{100 * figures.wer:.1f} %"


def _interims(figures: Figures) -> Iterator[tuple[str, str]]:
    if figures.interims_per_second is None:
        yield "interims", "none came"
        return
    spread = _spread(figures.first_interim_p50_ms, figures.first_interim_p95_ms)
    yield "begin of speech to first interim, ms", f"{spread}; {figures.without_interim} times the final was first"
    rate, each = figures.interims_per_second, figures.interims_per_second_per_speaker
    yield "interims a second", f"{rate}, each speaker {each}; {figures.interims_shed} shed"
    yield "between an utterance's interims, ms", _spread(figures.refresh_p50_ms, figures.refresh_p95_ms)


def _load(outcome: Outcome) -> Iterator[tuple[str, str]]:
    load, done, decoding = outcome.load, outcome.done, outcome.decoding
    together = f"finals {_or_none(decoding.batch_finals)}, interims {_or_none(decoding.batch_interims)}"
    yield "decoded together, on average", f"{together}; {decoding.retries} times looked at again"
    yield (
        "cores kept busy",
        f"gateway {load.cpu_gateway:.2f}, models {load.cpu_models:.2f}, simulator {load.cpu_simulator:.2f}",
    )
    yield "most memory, MB", f"gateway {load.memory_gateway_mb}, models {load.memory_models_mb}"
    yield (
        "frames sent late by the simulator",
        f"{done.late_frames} of {done.frames} by more than 10 ms, the latest by {done.latest_ms:g} ms",
    )


def _spread(p50: int | None, p95: int | None) -> str:
    return f"median {_or_none(p50)}, p95 {_or_none(p95)}"


def _or_none(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
