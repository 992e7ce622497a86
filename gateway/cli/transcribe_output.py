"""Where `linescribe transcribe` puts what it hears: standard output or files, and to the operator how it goes."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from os.path import samestat
from typing import TYPE_CHECKING, Literal, NoReturn

import click
import msgspec

from adapters.media.audio_file import UnknownFormatError
from gateway.cli.check_config import BAD_SETTINGS
from gateway.file_transcript import json_line, json_page, printable, span, text_line, text_page
from gateway.subtitles import subrip, webvtt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from adapters.media.audio_file import MediaFileError
    from gateway.cli.transcribe_progress import Watcher
    from gateway.file_transcript import FileTranscript, Line
    from gateway.transcribing import Recording

Format = Literal["text", "json", "srt", "vtt"]

SUFFIXES: dict[Format, str] = {"text": ".txt", "json": ".json", "srt": ".srt", "vtt": ".vtt"}


class PrintError(Exception):
    """Standard output cannot be written; the cause tells more."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """How the transcripts are to be written."""

    form: Format
    timestamps: bool
    """In text, before each utterance."""
    headings: bool
    """On standard output, above each file's text."""
    targets: Mapping[Path, Path]
    """The file to write for each recording; empty where all goes to standard output."""
    force: bool
    """Whether a target that is there is written anew."""


class TranscriptOutput:
    """An Output that writes as wanted, counts what went wrong, and tells it on standard error."""

    def __init__(self, wanted: Wanted, watcher: Watcher) -> None:
        self.faults = 0
        """Files and utterances of which something is missing."""
        self.files = 0
        self.audio_ms = 0
        self._wanted = wanted
        self._watcher = watcher
        self._streams = wanted.form == "text" and not wanted.targets

    def begin(self, recording: Recording, duration_seconds: float | None) -> None:
        """Name the file."""
        self._watcher.begin(recording.path.name, duration_seconds)
        if self._streams and self._wanted.headings:
            self._print(f"{chr(10) * bool(self.files)}== {printable(str(recording.path))} ==\n")
        self.files += 1

    def line(self, recording: Recording, line: Line) -> None:
        """Print an utterance as soon as it is there; tell if there is none."""
        if line.error is not None:
            self.complain(recording.path, f"{span(line)} not decoded: {line.error}")
        elif self._streams:
            self._print(text_line(line, timestamps=self._wanted.timestamps) + "\n")

    def reached(self, at_ms: int) -> None:
        """Show how far it is."""
        self._watcher.reached(self.audio_ms + at_ms, at_ms)

    def end(self, recording: Recording, transcript: FileTranscript) -> None:
        """Write what is written as a whole."""
        self.audio_ms += transcript.duration_ms
        if transcript.gap_ms:
            seconds = transcript.gap_ms / 1000
            self._tell(recording.path, f"{seconds:.1f} s are missing in the file; silence stands in their place")
        if not self._streams:
            self._write(recording, transcript)
        if transcript.error is not None:
            self.complain(recording.path, transcript.error)

    def unreadable(self, recording: Recording, error: MediaFileError) -> None:
        """Tell of a file that could not be opened."""
        unknown = isinstance(error, UnknownFormatError)
        self.complain(recording.path, f"{error}{'; or raw audio: name its encoding by --raw' * unknown}")

    def complain(self, path: Path, text: str) -> None:
        """Tell what is missing, and remember that something is."""
        self.faults += 1
        self._tell(path, text)

    def _tell(self, path: Path, text: str) -> None:
        self._watcher.aside(lambda: click.echo(f"linescribe: {printable(f'{path}: {text}')}", err=True))

    def _write(self, recording: Recording, transcript: FileTranscript) -> None:
        target = self._wanted.targets.get(recording.path)
        page = self._page(transcript, alone=target is not None)
        if target is None:
            self._print(page)
            return
        try:
            with target.open("w" if self._wanted.force else "x", encoding="utf-8") as file:
                file.write(page)
        except OSError as error:
            self.complain(target, f"cannot be written: {error.strerror}")

    def _page(self, transcript: FileTranscript, *, alone: bool) -> str:
        match self._wanted.form:
            case "text":
                return text_page(transcript, timestamps=self._wanted.timestamps)
            case "json":
                return json_page(transcript) if alone else json_line(transcript)
            case "srt":
                return subrip(transcript.utterances)
            case "vtt":
                return webvtt(transcript.utterances)

    def _print(self, text: str) -> None:
        self._watcher.aside(lambda: _echo(text))


def _echo(text: str) -> None:
    try:
        click.echo(text.encode(), nl=False)  # UTF-8, whatever the terminal's locale
    except OSError as error:
        raise PrintError(f"standard output cannot be written: {error.strerror}") from error


def choose(
    files: Sequence[Path], directory: Path | None, *, form: Format, force: bool, timestamps: bool | None
) -> Wanted:
    """Choose how the transcripts are written and where; exit where a file would be lost."""
    return Wanted(
        form=form,
        timestamps=directory is None and sys.stdout.isatty() if timestamps is None else timestamps,
        headings=len(files) > 1,
        targets=targets(files, directory, SUFFIXES[form], force=force) if directory else {},
        force=force,
    )


def targets(files: Sequence[Path], directory: Path, suffix: str, *, force: bool) -> dict[Path, Path]:
    """Choose the file to write for each that is read; exit where one would be lost."""
    chosen: dict[Path, Path] = {}
    for path in files:
        target = directory / f"{path.stem}{suffix}"
        for other in (known for known, taken in chosen.items() if taken == target):
            exit_with(f"{other} and {path} would both become {target}: give each an --output of its own", BAD_SETTINGS)
        chosen[path] = target
    _make(directory)
    for target in chosen.values():
        _keep(target, files, force=force)
    return chosen


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        exit_with(f"{directory} cannot be made: {error.strerror}; name another for --output", 1)
    if not os.access(directory, os.W_OK | os.X_OK):
        exit_with(f"{directory} cannot be written to; name another for --output", 1)


def _keep(target: Path, files: Sequence[Path], *, force: bool) -> None:
    """Exit where something is that must not be written over: with `force` too, what is to be transcribed."""
    try:
        there = target.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        exit_with(f"{target} cannot be written: {error.strerror}", 1)
    if not force:
        exit_with(f"{target} is there already: --force writes over it", BAD_SETTINGS)
    for path in files:
        with suppress(OSError):  # what cannot be read is told when its turn comes
            if samestat(path.stat(), there):
                exit_with(f"{target} is one of the files to be transcribed: name another --output", BAD_SETTINGS)


def exit_with(text: str, status: int) -> NoReturn:
    """Say in one line why there is nothing to be done."""
    click.echo(f"linescribe: {printable(text)}", err=True)
    sys.exit(status)
