"""`linescribe models` with real weights, as an operator tries a machine."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

pytestmark = pytest.mark.acceptance


def models(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", "models", *arguments], check=False, capture_output=True, text=True
    )


def test_base_loads_on_this_machine() -> None:
    done = models("warm", "--model", "base")
    assert done.returncode == 0, done.stderr
    weights, process, model = done.stdout.splitlines()
    assert weights.startswith("weights base: found in ")
    assert " MB at most while loading" in process
    assert model.startswith("model base int8: loaded and warmed up in ")


def test_base_decodes_the_prompts_alone_and_together() -> None:
    done = models("bench", "--model", "base", "--seconds", "4", "--json")
    assert done.returncode == 0, done.stderr
    report = msgspec.json.decode(done.stdout)
    assert (report["model"], report["device"]) == ("base int8", "cpu")
    assert [each["batch"] for each in report["outcomes"]] == [1, 2, 4, 8]
    for each in report["outcomes"]:
        assert each["word_errors"] <= 0.15 * each["words"]
        assert each["audio_seconds_per_second"] > 0
    assert report["people"] >= 1


def test_the_weights_are_intact() -> None:
    assert models("fetch", "base").returncode == 0
    assert models("verify", "base").returncode == 0
