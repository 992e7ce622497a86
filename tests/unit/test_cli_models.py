"""What `linescribe models` says of what it found; the commands themselves are tried in tests/integration."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr.types import ModelRole
from asr.weights import Weights
from asr.worker_batch import LoadedModel
from config.settings import Models
from gateway.capacity import Outcome, people
from gateway.cli.models_bench import Report, busy, sentence
from gateway.cli.models_options import with_model
from gateway.cli.models_warm import lines
from gateway.warming import Found, Loaded, Memory, Warmth

FOUND = [Found(weights=Weights(name="base", directory=Path("/cache/base"), source="hub"), seconds=12.34)]


def report(*rates: float) -> Report:
    outcomes = tuple(
        Outcome(
            batch=1 << power,
            utterances=12,
            ms_per_utterance=1000 / rate,
            audio_seconds_per_second=rate,
            word_errors=1,
            words=100,
        )
        for power, rate in enumerate(rates)
    )
    return Report(
        model="base int8", device="cpu", profile="realtime", language="en", outcomes=outcomes, people=people(outcomes)
    )


def warmth(device: str, memory: Memory | None) -> Warmth:
    roles = (ModelRole.FINAL, ModelRole.INTERIM)
    model = LoadedModel(name="base int8", roles=roles, compute_type="int8", device=device, source="hub")
    return Warmth(begin_seconds=0.5, loaded=(Loaded(model=model, seconds=1.25),), memory=memory)


@pytest.mark.parametrize(
    ("rates", "beginning"),
    [
        (
            [20.0, 28.6, 10.0],
            "About 21 people speaking without pause. With 2 at once this machine decodes 28.6 ",
        ),
        ([1.0, 2.0], "One person speaking without pause. With 2 at once"),
        (
            [0.5],
            "Not even one person speaking without pause: take a smaller model, or a machine that is faster.",
        ),
    ],
)
def test_the_sentence_says_for_how_many_and_how_that_was_found(rates: list[float], beginning: str) -> None:
    told = sentence(report(*rates))
    assert told.startswith(beginning)
    assert "25 % are kept free" in told
    assert f"A text comes {1 / rates[0]:.2f} s after" in told


@pytest.mark.parametrize(
    ("load", "cores", "told"), [(0.1, 2, False), (0.7, 2, True), (2.0, 16, False), (9.0, 16, True)]
)
def test_a_machine_that_does_something_else_is_no_measure(load: float, cores: int, told: bool) -> None:
    note = busy(load, cores)
    assert (note is not None) == told
    assert note is None or f"load {load} on {cores} cores" in note


def test_warming_on_a_cpu() -> None:
    memory = Memory(resident_bytes=222_000_000, peak_bytes=343_000_000)
    assert lines(FOUND, warmth("cpu", memory)) == [
        "weights base: found in 12.3 s (hub: /cache/base)",
        "model process: begun in 0.5 s; holds 222.0 MB, 343.0 MB at most while loading",
        "model base int8: loaded and warmed up in 1.2 s on cpu, for final and interim",
    ]


def test_warming_on_a_gpu_says_whose_memory_it_is() -> None:
    memory = Memory(resident_bytes=222_000_000, peak_bytes=343_000_000)
    assert "holds 222.0 MB of main memory, beside the GPU's, 343.0 MB" in lines(FOUND, warmth("cuda", memory))[1]


def test_warming_where_the_system_tells_no_memory() -> None:
    assert lines(FOUND, warmth("cpu", None))[1] == "model process: begun in 0.5 s"


def test_a_model_on_trial_has_both_roles() -> None:
    settings = Models(interim="tiny", final="small", device="cuda")
    assert with_model(settings, None) is settings
    tried = with_model(settings, "base")
    assert (tried.interim, tried.final, tried.device) == ("base", "base", "cuda")


def test_a_model_that_does_not_go_with_the_language_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        with_model(Models(language="de"), "tiny.en")
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("linescribe: --model tiny.en: Expected language en")
