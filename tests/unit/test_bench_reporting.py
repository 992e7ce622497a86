from __future__ import annotations

import io
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace
from rich.console import Console

from bench.decoding import Decoding
from bench.processes import Load
from bench.reporting import Asked, as_json, as_table
from bench.simulator import Done
from bench.trial import Outcome
from config.settings import Models
from tests.unit.test_bench_measuring import ALL, GOOD, TEXT, done, ended, final, line, script

if TYPE_CHECKING:
    from bench.measuring import Figures

ASKED = Asked(calls=1, seconds=30, talk="unbroken")
MODELS = Models(interim="tiny", final="base")
LOAD = Load(cpu_gateway=0.1, cpu_models=1.5, cpu_simulator=0.02, memory_gateway_mb=140, memory_models_mb=350)
RUN = Outcome(
    script=script(line()),
    done=Done(lines=(done(line()),), late_frames=3, latest_ms=12.5, frames=1500),
    arrivals=[final(3, 200, 2200), ended()],
    window=ALL,
    load=LOAD,
    decoding=Decoding(batch_finals=1.25, batch_interims=None, retries=7),
)

KEYS = (
    "calls seconds talk interim_model final_model utterances final_p50_ms final_p95_ms final_growth_ms"
    " first_interim_p50_ms first_interim_p95_ms interims_per_second interims_shed finals_lost out_of_order failed wer"
    " batch_finals batch_interims retries cpu_gateway cpu_models cpu_simulator memory_gateway_mb memory_models_mb"
    " late_frames"
)


def shown(figures: Figures) -> str:
    file = io.StringIO()
    Console(file=file, width=120).print(as_table(ASKED, MODELS, RUN, figures))
    return file.getvalue()


def test_programs_are_told_these_keys_and_no_others() -> None:
    told = as_json(ASKED, MODELS, RUN, RUN.figures)
    assert sorted(told) == sorted(KEYS.split())
    assert msgspec.json.decode(msgspec.json.encode(told)) == told
    assert (told["interim_model"], told["final_model"], told["late_frames"]) == ("tiny", "base", 3)
    assert told["first_interim_p95_ms"] is None


def test_people_are_told_what_there_is() -> None:
    text = shown(GOOD)
    assert "1 calls of 30 s, unbroken; tiny for interims, base for finals" in text
    assert "median 600, p95 900, longest 950" in text
    assert "3 of 1500 by more than 10 ms, the latest by 12.5 ms" in text
    assert "gateway 0.10, models 1.50, simulator 0.02" in text
    assert "finals 1.25, interims -; 7 times looked at again" in text


def test_people_are_told_what_there_is_not() -> None:
    assert "none came" in shown(replace(GOOD, interims_per_second=None))
    nothing = replace(GOOD, final_p50_ms=None, final_p95_ms=None, final_max_ms=None, final_growth_ms=None)
    assert "median -, p95 -, longest -" in shown(nothing)


def test_nobody_is_told_the_words() -> None:
    assert TEXT not in shown(RUN.figures)
    assert TEXT.encode() not in msgspec.json.encode(as_json(ASKED, MODELS, RUN, RUN.figures))
