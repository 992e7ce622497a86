from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest

from adapters.stream import AudioFormat, Encoding
from asr.types import BYTES_PER_MS, DecodeOptions, ModelErrorCode, ignore_answer
from config.settings import Models, Speech
from gateway.transcribing import AHEAD_BATCHES, FileTranscriber, Recording
from tests.fakes import FakeEngine
from tests.recordings import said, side_by_side, tone, write_wav

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from adapters.media.audio_file import MediaFileError
    from asr.types import DecodeRequest, Hypothesis, ModelError, OnAnswer
    from gateway.file_transcript import FileTranscript, Line


class Told:
    """An output that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.lines: list[Line] = []
        self.transcripts: list[FileTranscript] = []
        self.reached_ms = 0
        self.fault: OSError | None = None

    def begin(self, recording: Recording, duration_seconds: float | None) -> None:
        assert duration_seconds is None or duration_seconds >= 0
        self.reached_ms = 0
        self.events.append(("begin", recording.path.name))

    def line(self, recording: Recording, line: Line) -> None:
        if self.fault:
            raise self.fault
        self.lines.append(line)
        self.events.append(("line", recording.path.name))

    def reached(self, at_ms: int) -> None:
        assert at_ms >= self.reached_ms
        self.reached_ms = at_ms

    def end(self, recording: Recording, transcript: FileTranscript) -> None:
        assert self.reached_ms == transcript.duration_ms
        self.transcripts.append(transcript)
        self.events.append(("end", recording.path.name))

    def unreadable(self, recording: Recording, error: MediaFileError) -> None:
        self.events.append((str(error), recording.path.name))


def transcriber(engine: FakeEngine, told: Told, *, language: str = "en", batch_size: int = 4) -> FileTranscriber:
    return FileTranscriber(
        engine,
        models=Models(language=language, batch_size=batch_size),
        speech=Speech(),
        options=DecodeOptions(hotwords="Linescribe"),
        output=told,
        clock=time.monotonic,  # noqa: TID251  a test names its clock
    )


async def transcribe(engine: FakeEngine, told: Told, *recordings: Recording) -> None:
    async with asyncio.timeout(30):
        await transcriber(engine, told).run(recordings)


def speech(path: Path, *after_seconds: float, name: str = "conf-onlyperson") -> Recording:
    """Make a recording with a channel for each number: how long it is quiet before it speaks."""
    channels = side_by_side(*(said(name, after_seconds=seconds) for seconds in after_seconds))
    return Recording(path=write_wav(path, channels), split=len(after_seconds) > 1)


async def test_a_file_becomes_a_transcript(tmp_path: Path) -> None:
    told, engine = Told(), FakeEngine()
    await transcribe(engine, told, speech(tmp_path / "a.wav", 1.0))
    assert told.events == [("begin", "a.wav"), ("line", "a.wav"), ("end", "a.wav")]
    (transcript,) = told.transcripts
    assert transcript.utterances == tuple(told.lines)
    (line,) = told.lines
    assert 1_000 <= line.start_ms <= 1_300 < line.end_ms <= 4_300
    assert (line.track, line.error, line.confidence) == (None, None, 0.9)
    assert (transcript.language, transcript.model, transcript.error) == ("en", "fake int8", None)
    assert transcript.duration_ms == pytest.approx(5_160, abs=40)
    (request,) = engine.begun
    assert (request.language, request.options.hotwords) == ("en", "Linescribe")
    assert len(request.audio) // BYTES_PER_MS == pytest.approx(line.end_ms - line.start_ms + 500, abs=1)


async def test_the_language_may_be_left_to_the_model(tmp_path: Path) -> None:
    engine = FakeEngine()
    await transcriber(engine, Told(), language="auto").run([speech(tmp_path / "a.wav", 0.5)])
    assert [request.language for request in engine.begun] == [None]


async def test_each_track_of_a_file_keeps_its_language(tmp_path: Path) -> None:
    """So much is read ahead that nothing is known when it is asked for; what does not fit is asked for again."""
    german, french, english, unsure = {"de": 0.97}, {"fr": 0.97}, {"en": 0.97}, {"en": 0.5, "fr": 0.4}
    likely = iter([german, french, english, unsure, english, english, english, english])
    engine, told = FakeEngine(hears=lambda _request: next(likely)), Told()
    left = np.concatenate([said("conf-onlyperson"), said("feature-not-avail-line")])
    right = np.pad(left, (12_000, 0))  # all of it within the ten seconds that are read at once
    recording = Recording(path=write_wav(tmp_path / "a.wav", side_by_side(left, right)), split=True)
    await transcriber(engine, told, language="auto").run([recording, recording])
    assert [line.track for line in told.lines] == ["left", "right"] * 4
    assert [line.language for line in told.lines[:4]] == ["de", "fr", "de", "fr"]
    assert [line.language for line in told.lines[4:]] == ["en"] * 4, "and the next file begins anew"
    assert [request.language for request in engine.begun if request.language] == ["de", "fr"]
    assert told.transcripts[0].language in {"de", "fr"}


async def test_a_second_decode_of_a_file_that_fails_changes_nothing(tmp_path: Path) -> None:
    likely = iter([{"de": 0.97}, {"fr": 0.97}])
    engine = FakeEngine(hears=lambda _request: next(likely), fails=lambda request: request.language is not None)
    told = Told()
    twice = np.concatenate([said("conf-onlyperson"), said("feature-not-avail-line")])
    await transcriber(engine, told, language="auto").run([Recording(path=write_wav(tmp_path / "a.wav", twice))])
    assert [request.language for request in engine.begun] == [None, None, "de"]
    assert [(line.language, line.error) for line in told.lines] == [("de", None), ("fr", None)]


async def test_speakers_on_channels_of_their_own_are_labelled_and_in_order(tmp_path: Path) -> None:
    told = Told()
    recording = speech(tmp_path / "a.wav", 2.0, 0.0, 6.0)
    await transcribe(FakeEngine(), told, recording)
    assert [line.track for line in told.lines] == ["channel 2", "channel 1", "channel 3"]


@pytest.mark.parametrize(
    ("labels", "tracks", "named"),
    [
        ((), 1, [None]),
        (("customer",), 1, [None]),
        ((), 2, ["left", "right"]),
        ((), 3, ["channel 1", "channel 2", "channel 3"]),
        (("customer", "agent"), 2, ["customer", "agent"]),
        (("customer", "agent"), 3, ["customer", "agent", "channel 3"]),
        (("customer", "agent"), 1, [None]),
    ],
)
def test_how_tracks_are_named(tmp_path: Path, labels: tuple[str, ...], tracks: int, named: list[str | None]) -> None:
    assert Recording(path=tmp_path, labels=labels).track_labels(tracks) == named


async def test_a_bad_file_keeps_no_other_from_being_transcribed(tmp_path: Path) -> None:
    absent, empty = tmp_path / "absent.wav", tmp_path / "empty.raw"
    empty.touch()
    told = Told()
    await transcribe(
        FakeEngine(),
        told,
        Recording(path=absent),
        Recording(path=empty, raw=AudioFormat(Encoding.L16, 8_000)),
        speech(tmp_path / "a.wav", 0.5),
    )
    assert told.events == [
        ("No such file or directory", "absent.wav"),
        ("begin", "empty.raw"),
        ("end", "empty.raw"),
        ("begin", "a.wav"),
        ("line", "a.wav"),
        ("end", "a.wav"),
    ]
    assert [each.error for each in told.transcripts] == ["it is empty", None]


async def test_an_utterance_that_is_not_decoded_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    told = Told()
    engine = FakeEngine(script={1: ModelErrorCode.FAILED})
    files = [speech(tmp_path / f"{number}.wav", 0.5) for number in range(2)]
    await transcriber(engine, told, batch_size=1).run(files)
    assert [line.error for line in told.lines] == ["told to fail", None]
    assert [line.text == "" for line in told.lines] == [True, False]
    assert [each.utterances[0].error for each in told.transcripts] == ["told to fail", None]


async def test_an_utterance_without_words_is_none(tmp_path: Path) -> None:
    told = Told()
    await transcribe(FakeEngine(text=lambda _request: ""), told, speech(tmp_path / "a.wav", 0.5))
    assert told.lines == []
    assert told.transcripts[0].utterances == ()
    assert told.transcripts[0].suppressed == {"empty": 1}


async def test_silence_is_a_transcript_of_nothing(tmp_path: Path) -> None:
    told = Told()
    await transcribe(FakeEngine(), told, Recording(path=write_wav(tmp_path / "a.wav", tone(0, 30.0))))
    (transcript,) = told.transcripts
    assert (transcript.utterances, transcript.duration_ms, transcript.model) == ((), 30_000, None)


async def test_files_are_read_ahead_so_that_batches_form_and_not_far_ahead(tmp_path: Path) -> None:
    """The engine holds the first decode until the fifth file is read."""
    told, engine = Told(), _Batches(held=True, batch_size=4)
    working = transcriber(engine, told, batch_size=4)
    recordings = _Noticed([speech(tmp_path / "a.wav", 0.5, name="vm-sorry")] * 20)
    ahead: list[int] = []
    engine.on_begin = lambda _request: ahead.append(working._requests - len(told.lines))
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(working.run(recordings))
        await recordings.fifth.wait()
        await engine.let_go()
    assert len(told.lines) == len(told.transcripts) == 20
    assert engine.sizes[0] == 1
    assert engine.sizes[1] >= 2, "of several files"  # how many, the time of the first decode decides
    assert max(ahead) <= AHEAD_BATCHES * 4 + 1


class _Batches(FakeEngine):
    """An engine that notes how many requests come together."""

    sizes: ClassVar[list[int]] = []

    async def decode(
        self, lane: int, batch: Sequence[DecodeRequest], on_answer: OnAnswer = ignore_answer
    ) -> list[Hypothesis | ModelError]:
        self.sizes.append(len(batch))
        return await super().decode(lane, batch, on_answer)


class _Noticed(list[Recording]):
    """Recordings that tell when the fifth is asked for."""

    fifth = asyncio.Event()

    def __iter__(self) -> Iterator[Recording]:
        for number, recording in enumerate(super().__iter__(), 1):
            if number == 5:
                self.fifth.set()
            yield recording


async def test_what_the_output_raises_ends_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told = Told()
    told.fault = BrokenPipeError()
    engine = FakeEngine()
    with pytest.raises(ExceptionGroup) as caught:
        await transcribe(engine, told, *[speech(tmp_path / "a.wav", 0.5)] * 5)
    assert caught.group_contains(BrokenPipeError)
    assert "never retrieved" not in caplog.text


async def test_cancelled_it_ends_at_once_whatever_is_read_and_decoded(tmp_path: Path) -> None:
    engine = FakeEngine(held=True)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        task = group.create_task(transcriber(engine, Told()).run([speech(tmp_path / "a.wav", 0.5)] * 20))
        await engine.wait_begun(1)
        task.cancel()
    assert task.cancelled()
