"""The benchmark of the whole gateway, as a person starts it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.recordings import said, write_wav

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]


def bench(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"bench.{name}", *arguments], check=False, capture_output=True, text=True
    )


def test_two_calls_are_counted_right() -> None:
    done = bench("calls", "--calls", "2", "--seconds", "6", "--talk", "dialogue")
    assert done.returncode == 0, done.stderr
    told = msgspec.json.decode(done.stdout.splitlines()[-1])
    assert (told["calls"], told["seconds"], told["talk"], told["final_model"]) == (2, 6.0, "dialogue", "base")
    assert told["utterances"] >= 4
    assert (told["finals_lost"], told["failed"]) == (0, 0)
    assert told["wer"] <= 0.15
    assert 300 < told["final_p50_ms"] <= told["final_p95_ms"]  # the hangover alone is longer
    assert 0 < told["cpu_models"] < (os.cpu_count() or 1)
    assert told["memory_models_mb"] > 100


def test_the_cost_of_a_frame_is_told_stage_by_stage() -> None:
    done = bench("wire", "--seconds", "1", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    told = msgspec.json.decode(done.stdout.splitlines()[-1])
    assert told["us_to_16_khz"].keys() == told["goals_us"].keys() == {"AudioSocket slin", "AudioSocket ulaw", "Twilio"}
    for stages in told["us_per_frame"].values():
        assert 0 < stages["parse"] < stages["parse to 16 kHz"]


def test_the_cost_of_every_wire_is_told() -> None:
    done = bench("sockets", "--streams", "4", "--seconds", "0.5", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    told = msgspec.json.decode(done.stdout.splitlines()[-1])
    wires = ["audiosocket", "freeswitch", "freeswitch stereo", "asterisk_websocket", "twilio"]
    assert list(told["us_per_frame"]) == wires


def test_interims_take_nothing_back_that_was_stable() -> None:
    done = bench("interims", "--limit", "2")
    assert done.returncode == 0, done.stderr
    told = msgspec.json.decode(done.stdout.splitlines()[-1])
    assert (told["interim_model"], told["decode_ms"]) == ("base", 250)
    assert told["single"]["lines"] == 2
    for kind in ("single", "joined"):
        assert told[kind]["retractions"] == 0
        assert told[kind]["interims"] >= told[kind]["lines"]
    assert told["single"]["final_wer"] <= 0.15


def test_interims_of_prompts_that_cannot_be_read_are_not_measured() -> None:
    done = bench("interims", "--speech", str(Path(__file__).parent))
    assert done.returncode == 2
    assert "dev.tsv: expected a table of file, seconds and text" in done.stderr
    assert "Traceback" not in done.stderr
    assert bench("interims", "--interim-model", "no-such").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--settings", "no-such.yaml"], "no-such.yaml: expected a readable settings file"),
        (["--speech", str(Path(__file__).parent)], "dev.tsv: expected a table of file, seconds and text"),
        (["--final-model", "base.en", "--settings", os.devnull, "--speech", "no-such"], "does not exist"),
    ],
)
@pytest.mark.parametrize("name", ["calls", "neighbour"])
def test_what_cannot_be_used_is_told_at_once(name: str, arguments: list[str], reason: str) -> None:
    done = bench(name, *arguments)
    assert done.returncode == 2
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_prompts_in_two_languages_become_calls(tmp_path: Path) -> None:
    """Both are English, but one of them is said to be Spanish: then every decision about it is wrong."""
    for language in ("en_US", "es_MX"):
        (tmp_path / language).mkdir()
        for name in ("conf-onlyperson", "feature-not-avail-line"):
            write_wav(tmp_path / language / f"{name}.wav", said(name))
    arguments = ["--sounds", str(tmp_path), "--half", "all", "--calls", "1", "--seconds", "20"]
    cache = tmp_path / "cache.json"
    done = bench("language", *arguments, "--cache", str(cache))
    assert done.returncode == 0, done.stderr
    told = msgspec.json.decode(done.stdout.splitlines()[-1])
    assert (told["model"], told["clips"]) == ("base", 4)
    assert 0 < told["detect_ms"] < told["encode_ms"]
    single = told["results"]["single, of all"]
    assert (single["calls"], single["decided"], single["decided_right"], single["flips"]) == (2, 2, 1, 0)
    assert single["wrong"][0].startswith("es taken for en at ")
    again = bench("language", *arguments, "--cache", str(cache))
    assert again.stdout == done.stdout, "what was heard is kept, and the same seed makes the same calls"
    other = bench("language", *arguments, "--cache", str(cache), "--model", "tiny")
    assert (other.returncode, "give another --cache" in other.stderr) == (2, True)


def test_sounds_that_are_none_are_told_with_the_remedy(tmp_path: Path) -> None:
    done = bench("language", "--sounds", str(tmp_path))
    assert (done.returncode, "asterisk-core-sounds-en-wav" in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr


async def test_ctrl_c_ends_it_with_everything_it_started() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.calls", "--calls", "1", "--seconds", "60"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,  # a process group of its own, as a terminal gives it
    )
    assert process.stdout is not None
    async for line in process.stdout:
        if line == b"1 calls of 60 s\n":
            break
    os.killpg(process.pid, signal.SIGINT)
    async with asyncio.timeout(30):
        rest = (await process.stdout.read()).decode()  # ends when nobody holds the pipe any more
    assert await process.wait() == 130, rest
    assert rest.splitlines()[-1] == "stopped"
    assert "Traceback" not in rest


def test_nothing_is_lost_whatever_happens_to_receiver_and_gateway() -> None:
    done = bench("delivery", "--quick", "--only", "throughput", "chaos")
    assert done.returncode == 0, done.stderr
    told = msgspec.json.decode(done.stdout.splitlines()[-1])
    assert (told["lost"], told["second_ids"], told["out_of_order"]) == (0, 0, 0)
    assert (told["events"], told["gateway_kills"]) == (3000, 2)
    assert told["attempts"] > told["events"], "the receiver was in trouble"
    assert told["events_per_second"] > 0
    assert "Traceback" not in done.stderr


def test_how_long_events_take_is_told() -> None:
    done = bench("delivery", "--quick", "--only", "latency", "storm")
    assert done.returncode == 0, done.stderr
    told = msgspec.json.decode(done.stdout.splitlines()[-1])
    for name in ("append_to_attempt", "calm_append_to_attempt", "storm_append_to_attempt", "storm_append"):
        assert told[f"{name}_p99_ms"] > 0
    assert told["storm_events_per_second"] > 0
