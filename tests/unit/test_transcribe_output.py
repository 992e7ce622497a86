"""Where the command's transcripts go, with a console that is none."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
import pytest
from rich.console import Console

from adapters.media.audio_file import MediaFileError, UnknownFormatError
from gateway.cli.transcribe_output import SUFFIXES, PrintError, TranscriptOutput, Wanted, targets
from gateway.cli.transcribe_progress import Preparing, Watcher
from gateway.file_transcript import FileTranscript, Line
from gateway.transcribing import Recording

if TYPE_CHECKING:
    from gateway.cli.transcribe_output import Format

CALL = Recording(path=Path("folder/call.wav"))
LINE = Line(start_ms=1_300, end_ms=3_000, track="agent", text="Hello there.", language="en", confidence=0.75)
FAILED = Line(start_ms=4_000, end_ms=5_000, track="agent", text="", error="told to fail")
WHOLE = FileTranscript(
    suppressed={},
    file="folder/call.wav",
    duration_ms=9_000,
    gap_ms=0,
    language="en",
    model="base int8",
    utterances=(LINE, FAILED),
    error=None,
)


def output(form: Format = "text", *, target: Path | None = None, force: bool = False, **text: bool) -> TranscriptOutput:
    wanted = Wanted(
        form=form,
        timestamps=text.get("timestamps", False),
        headings=text.get("headings", False),
        targets={CALL.path: target} if target else {},
        force=force,
    )
    return TranscriptOutput(wanted, Watcher(count().__next__))


def tell(out: TranscriptOutput, transcript: FileTranscript = WHOLE) -> None:
    """Tell of a file as a transcriber does."""
    out.begin(CALL, 9.0)
    for line in transcript.utterances:
        out.line(CALL, line)
    out.reached(transcript.duration_ms)
    out.end(CALL, transcript)


def test_text_is_printed_as_it_comes_and_not_again_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    out = output()
    out.begin(CALL, 9.0)
    assert capsys.readouterr().out == ""
    out.line(CALL, LINE)
    assert capsys.readouterr().out == "agent: Hello there.\n"
    out.end(CALL, WHOLE)
    assert capsys.readouterr() == ("", "")


def test_headings_stand_above_each_file_and_a_blank_line_between_them(capsys: pytest.CaptureFixture[str]) -> None:
    out = output(headings=True, timestamps=True)
    tell(out)
    tell(out)
    one = "== folder/call.wav ==\n[00:01.3-00:03.0] agent: Hello there.\n"
    assert capsys.readouterr().out == f"{one}\n{one}"
    assert (out.files, out.audio_ms) == (2, 18_000)


@pytest.mark.parametrize("form", SUFFIXES)
def test_what_failed_is_told_and_counted_whatever_is_written(form: Format, capsys: pytest.CaptureFixture[str]) -> None:
    out = output(form)
    tell(out)
    told = capsys.readouterr().err
    assert told == "linescribe: folder/call.wav: 00:04.0-00:05.0 not decoded: told to fail\n"
    assert out.faults == 1


def test_a_file_that_is_not_whole_is_told_after_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    out = output()
    tell(out, msgspec.structs.replace(WHOLE, utterances=(LINE,), error="damaged at 5.0 s"))
    assert capsys.readouterr() == ("agent: Hello there.\n", "linescribe: folder/call.wav: damaged at 5.0 s\n")
    assert out.faults == 1


def test_a_hole_is_told_and_is_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    out = output()
    tell(out, msgspec.structs.replace(WHOLE, utterances=(), gap_ms=4_480))
    assert "4.5 s are missing in the file" in capsys.readouterr().err
    assert out.faults == 0


def test_only_what_may_be_raw_audio_is_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    out = output()
    out.unreadable(CALL, UnknownFormatError("in no format"))
    out.unreadable(CALL, MediaFileError("there is no audio in it"))
    assert capsys.readouterr().err.splitlines() == [
        "linescribe: folder/call.wav: in no format; or raw audio: name its encoding by --raw",
        "linescribe: folder/call.wav: there is no audio in it",
    ]
    assert out.faults == 2


def test_a_name_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    out = output(headings=True)
    evil = Recording(path=Path("\x1b[2Jcall\n.wav"))
    out.begin(evil, None)
    out.unreadable(evil, MediaFileError("no"))
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err
    assert (len(shown.out.splitlines()), len(shown.err.splitlines())) == (1, 1)


def test_a_file_is_written_as_a_whole_and_standard_output_stays_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "call.json"
    out = output("json", target=target)
    tell(out)
    assert json.loads(target.read_text())["utterances"][0]["text"] == "Hello there."
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("force", [False, True])
def test_a_file_that_has_come_meanwhile_is_kept_unless_forced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, force: bool
) -> None:
    target = tmp_path / "call.txt"
    target.write_text("mine")
    out = output(target=target, force=force)
    tell(out)
    assert target.read_text() == ("agent: Hello there.\n" if force else "mine")
    assert out.faults == 1 + (not force)
    assert (f"linescribe: {target}: cannot be written: File exists" in capsys.readouterr().err) is not force


def test_a_folder_that_has_gone_meanwhile_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = output("srt", target=tmp_path / "gone" / "call.srt")
    tell(out)
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


def test_each_recording_gets_a_file_of_its_name(tmp_path: Path) -> None:
    first, second = Path("a/call.1.wav"), Path("b/call.2.mp3")
    chosen = targets([first, second], tmp_path / "new", ".srt", force=False)
    assert chosen == {first: tmp_path / "new" / "call.1.srt", second: tmp_path / "new" / "call.2.srt"}
    assert (tmp_path / "new").is_dir()


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (["a/call.wav", "b/call.mp3"], "a/call.wav and b/call.mp3 would both become "),
        (["call.wav", "call.wav"], "call.wav and call.wav would both become "),
        (["other.wav", "mine.wav"], "mine.txt is there already: --force writes over it"),
    ],
)
def test_nothing_is_begun_where_a_file_would_be_lost(
    tmp_path: Path, files: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(SystemExit) as ended:
        targets([*map(Path, files)], tmp_path, ".txt", force=False)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_a_recording_is_not_written_over_by_its_own_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not even by force, nor by another name of the file."""
    call, link, other = tmp_path / "call.txt", tmp_path / "link.txt", tmp_path / "other.wav"
    call.write_bytes(b"\xff" * 160)
    link.symlink_to(call)
    for files, told in (([other, call], call), ([call.with_name("link.wav"), call], link)):
        with pytest.raises(SystemExit) as ended:
            targets(files, tmp_path, ".txt", force=True)
        assert ended.value.code == 2
        told_text = capsys.readouterr().err
        assert told_text == f"linescribe: {told} is one of the files to be transcribed: name another --output\n"
    assert targets([other], tmp_path, ".txt", force=True) == {other: tmp_path / "other.txt"}


def test_a_name_that_is_too_long_is_told_before_anything_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        targets([Path("a" * 251 + ".wav")], tmp_path / "new", ".json", force=False)
    assert ended.value.code == 1
    assert capsys.readouterr().err.endswith("a.json cannot be written: File name too long\n")


def test_output_that_cannot_be_written_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", full)
        with pytest.raises(PrintError, match=r"^standard output cannot be written: No space left on device$"):
            output().line(CALL, LINE)
        with suppress(OSError):
            full.close()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as ended:
        targets([Path("call.wav")], tmp_path / "file" / "new", ".txt", force=False)
    assert ended.value.code == 1
    assert "cannot be made: Not a directory; name another for --output" in capsys.readouterr().err


def test_where_nobody_watches_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with Preparing() as shown:
        shown.fetched("base", 1_000_000, None)
        shown.loading("base")
    watcher = Watcher(count().__next__)
    watcher.expect(9.0)
    watcher.begin("call.wav", 9.0)
    watcher.reached(4_500, 4_500)
    watcher.stop()
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rich take standard error for a terminal of 120 columns."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    assert Console(stderr=True).is_terminal


@pytest.mark.usefixtures("terminal")
def test_a_watcher_sees_where_it_is_and_how_fast(capsys: pytest.CaptureFixture[str]) -> None:
    watcher = Watcher(iter([10.0, 12.0]).__next__)
    watcher.expect(9.0)
    watcher.expect(3_600.0)
    watcher.begin("call [1].wav", 9.0)
    watcher.reached(8_000, 8_000)
    watcher.aside(lambda: click.echo("aside", err=True))
    watcher.stop()
    shown = capsys.readouterr().err
    assert "file 1 of 2, call [1].wav" in shown
    assert "00:08.0 of 00:09.0, 4.0 x real time" in shown
    assert "\naside\n" in shown.replace("\x1b[1A", "\n").replace("\x1b[2K", "")


@pytest.mark.usefixtures("terminal")
def test_a_file_of_unknown_length_is_watched_too(capsys: pytest.CaptureFixture[str]) -> None:
    watcher = Watcher(iter([0.0, 0.5]).__next__)
    watcher.expect(None)
    watcher.expect(9.0)
    watcher.begin("pipe", None)
    watcher.reached(1_000, 1_000)
    watcher.stop()
    assert "00:01.0, 2.0 x real time" in capsys.readouterr().err
