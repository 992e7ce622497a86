from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.prompts import FRAME_BYTES, LONGEST_SECONDS, make_prompt, read_prompts, trimmed

if TYPE_CHECKING:
    from pathlib import Path

SAMPLES = FRAME_BYTES // 2
SILENCE = bytes(FRAME_BYTES)


def loud(frames: int, peak: int = 8000) -> bytes:
    tone = np.tile(np.array([peak, -peak], "<i2"), SAMPLES // 2)
    return tone.tobytes() * frames


def test_speech_is_found_between_the_silences_of_a_file() -> None:
    prompt = make_prompt("hello", SILENCE * 3 + loud(4) + SILENCE * 2)
    assert (prompt.frames, prompt.first_frame, prompt.last_frame, prompt.speech_frames) == (9, 3, 6, 4)
    assert prompt.longest_pause_frames == 0


def test_hiss_far_below_the_voice_is_no_speech() -> None:
    prompt = make_prompt("hello", loud(3, 100) + loud(2) + loud(1, 1000) + loud(3, 100))
    assert (prompt.first_frame, prompt.last_frame) == (3, 5)


def test_pauses_within_the_speech_are_measured() -> None:
    prompt = make_prompt("one. two", SILENCE * 9 + loud(2) + SILENCE * 5 + loud(2) + SILENCE * 3 + loud(1))
    assert prompt.longest_pause_frames == 5


def test_the_last_frame_is_filled_up() -> None:
    prompt = make_prompt("hello", loud(2) + loud(1)[:-100])
    assert (prompt.frames, len(prompt.pcm) % FRAME_BYTES) == (3, 0)


@pytest.mark.parametrize("pcm", [b"", SILENCE, SILENCE * 9])
def test_silence_alone_is_refused(pcm: bytes) -> None:
    with pytest.raises(ValueError, match="nothing but silence"):
        make_prompt("hello", pcm)


@given(before=st.integers(0, 5), speech=st.integers(1, 5), after=st.integers(0, 5))
def test_what_is_trimmed_begins_and_ends_with_speech(before: int, speech: int, after: int) -> None:
    prompt = trimmed(make_prompt("hello", SILENCE * before + loud(speech) + SILENCE * after))
    assert (prompt.first_frame, prompt.last_frame, prompt.frames) == (0, speech - 1, speech)


def test_the_shipped_prompts_are_mostly_speech() -> None:
    prompts = read_prompts(None)
    assert len(prompts) == 12
    for each in prompts:
        assert 0 <= each.first_frame < each.last_frame < each.frames
        assert each.speech_frames > 0.7 * each.frames


def directory(path: Path, *rows: tuple[str, str, bytes | None]) -> Path:
    (path / "dev").mkdir()
    (path / "dev.tsv").write_text("file\tseconds\ttext\n" + "".join(f"{name}\t1\t{text}\n" for name, text, _ in rows))
    for name, _, audio in rows:
        if audio is not None:
            (path / "dev" / name).write_bytes(audio)
    return path


SPOKEN = b"\x80\x00" * SAMPLES
LONG = SPOKEN * round(LONGEST_SECONDS * 50)


def test_a_directory_is_read_without_what_is_too_long_or_has_no_words(tmp_path: Path) -> None:
    rows = [("a.ulaw", "One.", SPOKEN), ("b.ulaw", "Two", LONG + SPOKEN), ("c.ulaw", "...", SPOKEN)]
    prompts = read_prompts(directory(tmp_path, *rows))
    assert [each.text for each in prompts] == ["One."]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("a.ulaw", "One", None), r"dev.tsv:2: .*No such file"),
        (("a.ulaw", "One", b"\xff" * 800), r"dev.tsv:2: there is nothing but silence in it"),
        (("a.ulaw", "One\tmore", SPOKEN), r"dev.tsv:2: too many values"),
        (("a.ulaw", "One", LONG + SPOKEN), r"expected prompts of at most 10 seconds in dev.tsv"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, row: tuple[str, str, bytes | None], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_prompts(directory(tmp_path, row))


def test_a_directory_without_a_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"dev.tsv: expected a table of file, seconds and text"):
        read_prompts(tmp_path)
