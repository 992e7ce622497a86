"""Files to words with real weights, by the command as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.recordings import said, side_by_side, write_encoded, write_wav

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.acceptance

PERSON = "You are currently the only person in this conference."
NOT_AVAILABLE = "That feature is not available on this line."


def transcribe(*arguments: str | Path) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LINESCRIBE_")}
    command = [sys.executable, "-m", "gateway", "transcribe", *map(str, arguments)]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100, env=environ)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_each_speaker_has_their_own_words(tmp_path: Path) -> None:
    """Though they speak at the same time."""
    both = side_by_side(said("conf-onlyperson"), said("feature-not-avail-line", after_seconds=1.0))
    path = write_wav(tmp_path / "call.wav", both)
    options = ["--channels", "split", "--labels", "customer,agent", "--format", "json", "--words"]
    customer, agent = json.loads(transcribe(*options, path))["utterances"]
    assert (customer["track"], customer["text"]) == ("customer", PERSON)
    assert (agent["track"], agent["text"]) == ("agent", NOT_AVAILABLE)
    assert " ".join(word["text"] for word in agent["words"]) == NOT_AVAILABLE
    times = [word[key] for word in agent["words"] for key in ("start_ms", "end_ms")]
    assert times == sorted(times)
    assert 700 <= times[0] <= 1_500
    assert times[-1] == pytest.approx(agent["end_ms"], abs=600)


def test_subtitles_follow_the_words(tmp_path: Path) -> None:
    speech = said("conf-onlyperson").repeat(6)  # 8 to 48 kHz, which is what Opus has
    path = write_encoded(tmp_path / "call.webm", "libopus", side_by_side(speech, speech), 48_000)
    transcribe("--format", "srt", "--output", tmp_path, path)
    blocks = (tmp_path / "call.srt").read_text().strip().split("\n\n")
    cues = [block.split("\n") for block in blocks]
    assert [cue[0] for cue in cues] == [str(number + 1) for number in range(len(cues))]
    spans = [tuple(map(_ms, cue[1].split(" --> "))) for cue in cues]
    assert all(0 <= start < end <= 4_500 for start, end in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert " ".join(line for cue in cues for line in cue[2:]) == PERSON


def test_the_language_is_found_among_those_that_may_be_spoken(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "call.wav", np.concatenate([said("conf-onlyperson"), said("feature-not-avail-line")]))
    settings = tmp_path / "my.yaml"
    settings.write_text("models: {languages: [de, en, fr]}")
    shown = json.loads(transcribe("--config", settings, "--language", "auto", "--format", "json", path))
    assert shown["language"] == "en"
    assert [(each["text"], each["language"]) for each in shown["utterances"]] == [(PERSON, "en"), (NOT_AVAILABLE, "en")]


def _ms(text: str) -> int:
    seconds, milliseconds = text.split(",")
    hours, minutes, rest = map(int, seconds.split(":"))
    return ((hours * 60 + minutes) * 60 + rest) * 1000 + int(milliseconds)
