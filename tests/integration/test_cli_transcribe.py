"""The command as its users run it; only what decodes is a stand-in."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from adapters.media.ffmpeg import UNKNOWN
from gateway.file_transcript import FileTranscript
from tests.recordings import said, side_by_side, write_encoded, write_video, write_wav

ROOT = Path(__file__).parents[2]
PROMPT = ROOT / "gateway" / "demo" / "prompts" / "conf-onlyperson.ulaw"
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("LINESCRIBE_")}
COMMAND = (sys.executable, "-m", "tests.transcribing_stand_in", "transcribe")
HEARD = "load 1, "
"""How the stand-in's texts begin."""


def transcribe(
    *arguments: str | Path,
    stdin: IO[bytes] | None = None,
    stdout: int | IO[bytes] = subprocess.PIPE,
    stderr: int | IO[bytes] = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        check=False,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        text=True,
        timeout=60,
        env=CLEAN,
        cwd=ROOT,
    )


@pytest.fixture
def call(tmp_path: Path) -> Path:
    """Give a recording of two speakers, of which the second begins first."""
    left, right = said("conf-onlyperson", after_seconds=2.0), said("vm-sorry")
    return write_wav(tmp_path / "call.wav", side_by_side(left, right))


def test_text_is_one_utterance_a_line_and_how_it_went_is_told_beside(call: Path) -> None:
    result = transcribe("--channels", "split", "--labels", "customer,agent", call)
    assert result.returncode == 0
    agent, customer = result.stdout.splitlines()
    assert agent.startswith(f"agent: {HEARD}")
    assert customer.startswith(f"customer: {HEARD}")
    assert result.stderr.startswith("linescribe: 1 file, 00:06.1 of audio in ")
    assert result.stderr.endswith(" x real time\n")


def test_times_are_for_terminals_unless_asked_for(call: Path) -> None:
    bare, timed = transcribe(call).stdout, transcribe("--timestamps", call).stdout
    assert bare.startswith(HEARD)
    assert timed.startswith("[00:00.1-")
    assert timed.split("] ", 1)[1].splitlines()[0] == bare.splitlines()[0]


def test_several_files_have_headings_and_a_bad_one_keeps_no_other(call: Path, tmp_path: Path) -> None:
    silent = write_video(tmp_path / "silent.mp4")
    result = transcribe("--timestamps", "absent.wav", call, PROMPT, silent, __file__)
    assert result.returncode == 1
    blocks = result.stdout.split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == [f"== {call} ==", f"== {PROMPT} =="]
    assert blocks[1].splitlines()[1].startswith(f"[00:00.1-00:03.1] {HEARD}")
    *faults, summary = result.stderr.splitlines()
    assert faults == [
        "linescribe: absent.wav: No such file or directory",
        f"linescribe: {silent}: there is no audio in it",
        f"linescribe: {__file__}: {UNKNOWN}; or raw audio: name its encoding by --raw",
    ]
    assert summary.startswith("linescribe: 2 files, ")
    assert summary.endswith("; not all of it, see above")


def test_json_is_an_object_a_line_with_what_was_not_decoded(call: Path) -> None:
    result = transcribe("--format", "json", "--prompt", "raise", PROMPT, call)
    assert result.returncode == 1
    first, second = map(json.loads, result.stdout.splitlines())
    assert (first["file"], second["file"]) == (str(PROMPT), str(call))
    assert set(first) == set(FileTranscript.__struct_fields__)
    assert [each["error"] for each in first["utterances"]] == ["ValueError: told to"]
    assert f"linescribe: {PROMPT}: 00:00.1-00:03.1 not decoded: ValueError: told to" in result.stderr.splitlines()


def test_a_damaged_file_gives_what_there_is_and_status_1(tmp_path: Path) -> None:
    path = write_encoded(tmp_path / "call.mp3", "libmp3lame", said("conf-onlyperson").repeat(6), 48_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    result = transcribe("--format", "json", path)
    assert result.returncode == 1
    shown = json.loads(result.stdout)
    assert shown["utterances"]
    assert shown["error"].startswith("cut short: it ends after 1.")
    assert f"linescribe: {path}: {shown['error']}" in result.stderr.splitlines()


def test_files_are_written_and_never_over_others(call: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "subtitles"
    arguments: list[str | Path] = ["--channels", "split", "--output", folder, call, PROMPT]
    for form, suffix, begins in (
        ("srt", "srt", "1\n00:00:00,"),
        ("vtt", "vtt", "WEBVTT\n\n00:00:00."),
        ("json", "json", '{\n  "file": '),
        ("text", "txt", f"right: {HEARD}"),
    ):
        result = transcribe("--format", form, *arguments)
        assert (result.returncode, result.stdout) == (0, "")
        assert (folder / f"call.{suffix}").read_text().startswith(begins)
    assert "load 1, " in (folder / "conf-onlyperson.txt").read_text()
    (folder / "call.txt").write_text("mine")
    result = transcribe(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"linescribe: {folder / 'call.txt'} is there already: --force writes over it\n"
    assert (folder / "call.txt").read_text() == "mine"
    assert transcribe("--force", *arguments).returncode == 0
    assert (folder / "call.txt").read_text().startswith(f"right: {HEARD}")


def test_what_a_raw_file_holds_is_said_or_told_by_its_name(tmp_path: Path) -> None:
    recording = tmp_path / "recording.raw"
    recording.write_bytes(PROMPT.read_bytes())
    assert transcribe("--raw", "ulaw", recording).stdout == transcribe(PROMPT).stdout


def test_a_pipe_can_be_read() -> None:
    with PROMPT.open("rb") as file:
        result = transcribe("--raw", "ulaw", "/dev/stdin", stdin=file)
    assert (result.returncode, result.stdout) == (0, transcribe(PROMPT).stdout)


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        ([], 2, "Missing argument 'FILE...'"),
        (["--rate", "8000", PROMPT], 2, "--rate is the rate of --raw"),
        (["--raw", "slin", "--rate", "8001", PROMPT], 2, "expected a multiple of 50"),
        (["--labels", "a,b", PROMPT], 2, "--labels names the channels of --channels split"),
        (["--channels", "split", "--labels", "a,,b", PROMPT], 2, "expected names of at most 30 characters"),
        (["--channels", "split", "--labels", "a,a", PROMPT], 2, "a name of its own"),
        (["--words", PROMPT], 2, "--words shows in --format json only"),
        (["--timestamps", "--format", "json", PROMPT], 2, "--timestamps is for --format text"),
        (["--force", PROMPT], 2, "--force is for --output"),
        (["--format", "srt", PROMPT, PROMPT], 2, "srt of several files needs --output DIR"),
        (["--output", "/nowhere", "call.wav", "other/call.mp3"], 2, "would both become /nowhere/call.txt"),
        (["--output", "/proc/new", PROMPT], 1, "/proc/new cannot be made"),
        (["--hotwords", "\udcff", PROMPT], 2, "'--hotwords': expected text in UTF-8"),
        (["--model", "\udcff", PROMPT], 2, "'--model': expected text in UTF-8"),
        (["--prompt", "caf\udce9", PROMPT], 2, "'--prompt': expected text in UTF-8"),
        (["a" * 300 + ".wav"], 1, "a.wav: File name too long"),
        (["--raw", "ulaw", "a" * 300], 1, "a: File name too long"),
        (["--language", "xx", PROMPT], 2, "--language: Expected a language code"),
        (["--profile", "fast", PROMPT], 2, "--profile: Unknown models.profile: 'fast'; expected one of realtime"),
        (["--model", "tiny.en", "--translate", PROMPT], 2, "--model and --translate: Expected task transcribe"),
        (["--model", "tiny.en", "--language", "de", PROMPT], 2, "--model and --language: Expected language en"),
        (["--config", "absent.yaml", PROMPT], 2, "absent.yaml: expected a readable settings file"),
        (["--model", "unloadable", PROMPT], 1, "these weights cannot be loaded; take others"),
        ([ROOT], 1, "Is a directory"),
    ],
    ids=str,
)
def test_what_is_wrong_is_told_in_a_line(arguments: list[str | Path], status: int, told: str) -> None:
    result = transcribe(*arguments)
    assert (result.returncode, result.stdout) == (status, "")
    assert told in result.stderr.splitlines()[-1]


def test_without_weights_it_says_what_to_do(tmp_path: Path) -> None:
    """By the command as it is, which looks for real ones."""
    environ = CLEAN | {"LINESCRIBE_MODELS__OFFLINE": "true", "LINESCRIBE_MODELS__CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "gateway", "transcribe", "--model", "small", str(PROMPT)]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=environ, cwd=ROOT)
    assert (result.returncode, result.stdout) == (1, "")
    (told,) = result.stderr.splitlines()
    assert told.startswith("linescribe: ")
    assert "small" in told


def test_settings_are_those_of_the_gateway(tmp_path: Path, call: Path) -> None:
    """The model's name shows what the stand-in was given."""
    file = tmp_path / "my.yaml"
    file.write_text("models: {final: house, interim: other, compute_type: float32}\n")
    plain = json.loads(transcribe("--format", "json", call).stdout)
    shown = json.loads(transcribe("--config", file, "--format", "json", call).stdout)
    assert (plain["model"], shown["model"]) == ("base int8", "house float32")
    named = json.loads(transcribe("--config", file, "--model", "mine", "--format", "json", call).stdout)
    assert named["model"] == "mine float32"


def test_the_language_can_be_left_to_the_model(call: Path) -> None:
    shown = [json.loads(transcribe("--language", code, "--format", "json", call).stdout) for code in ("de", "auto")]
    assert [each["language"] for each in shown] == ["de", None], "which the stand-in does not know"


def test_a_model_process_that_dies_fails_what_it_had_and_the_next_one_goes_on(tmp_path: Path) -> None:
    """With a batch for each utterance; every one of them brings the process down, twice."""
    file = tmp_path / "my.yaml"
    file.write_text("models: {batch_size: 1}\n")
    result = transcribe("--config", file, "--prompt", "die", PROMPT)
    assert (result.returncode, result.stdout) == (1, "")
    assert f"linescribe: {PROMPT}: 00:00.1-00:03.1 not decoded: the model process died" in result.stderr.splitlines()


def test_output_that_cannot_be_written_is_told(call: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        result = transcribe(call, stdout=full)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("linescribe: standard output cannot be written: ")


def test_standard_output_that_is_closed_is_told_unless_files_are_written(tmp_path: Path) -> None:
    results = []
    for arguments in ([PROMPT], ["--output", tmp_path, PROMPT]):
        closed = ["sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, *map(str, arguments)]
        result = subprocess.run(closed, check=False, stderr=subprocess.PIPE, text=True, timeout=60, env=CLEAN, cwd=ROOT)
        results.append((result.returncode, result.stderr.splitlines()[-1][:61]))
    assert results[0] == (1, "linescribe: standard output is closed: open it, or give --out")
    assert results[1][0] == 0
    assert (tmp_path / "conf-onlyperson.txt").read_text().startswith(HEARD)


def test_who_reads_the_output_may_go(call: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    result = transcribe(call, stdout=write)
    os.close(write)
    assert (result.returncode, result.stderr) == (1, "")


async def test_ctrl_c_ends_it_and_leaves_no_process(tmp_path: Path) -> None:
    """While the file is a pipe in which nothing comes."""
    fifo, hold = tmp_path / "call.ulaw", tmp_path / "hold"
    os.mkfifo(fifo)
    os.mkfifo(hold)
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *("--raw", "ulaw", "--prompt", "hold", "--hotwords", str(hold), str(fifo)),
        env=CLEAN,
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
        process_group=0,
    )
    async with asyncio.timeout(30):
        audio = await asyncio.to_thread(fifo.open, "wb")  # it has come to the file
        await asyncio.to_thread(audio.write, PROMPT.read_bytes() + b"\xff" * 100_000)  # ten seconds, and more
        held = await asyncio.to_thread(hold.open, "wb")  # and its model decodes
        os.killpg(process.pid, signal.SIGINT)
        _, told = await process.communicate()  # which waits for all that have its standard error, the model's too
    audio.close()
    held.close()
    assert (process.returncode, told) == (130, b"")


def test_on_a_terminal_it_shows_how_far_it_is(call: Path) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "wb") as terminal:
        result = transcribe("--channels", "split", call, stdout=terminal, stderr=terminal)
    shown = b""
    try:
        while part := os.read(ours, 65_536):
            shown += part
    except OSError:  # how Linux tells that the other side is closed
        os.close(ours)
    assert result.returncode == 0
    text = shown.decode()
    assert "file 1 of 1, call.wav" in text
    assert "of 00:06.1, " in text
    assert f"[00:00.1-00:02.9] right: {HEARD}" in text
    assert text.endswith(" x real time\r\n")
