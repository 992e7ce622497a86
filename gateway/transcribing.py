"""Audio files to transcripts, by the way that calls take: speech, scheduler, model process.

One file is read after the other, ahead of what is decoded, and not far ahead: batches form across files, and
neither audio nor work piles up. What comes out has the order of what went in.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Protocol

import msgspec

from adapters.media.audio_file import MediaFileError
from adapters.media.files import open_audio
from asr.scheduler import Scheduler
from asr.types import DecodeKind, DecodeRequest, ModelError, Reason
from config.languages import spoken_languages
from gateway.file_speech import FileSpeech, FileUtterance
from gateway.file_transcript import FileTranscript, Line, decoded, main_language, printable, undecoded
from gateway.languages import Asked, CallLanguages
from gateway.models import in_daemon_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from adapters.media.audio_file import AudioFile
    from adapters.stream import AudioFormat
    from asr.types import DecodeOptions, Engine, Hypothesis
    from config.settings import Models, Speech

AHEAD_BATCHES = 4
"""So much is read ahead: enough for batches to be full."""


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """A file to be transcribed."""

    path: Path
    raw: AudioFormat | None = None
    """What it holds, if it has no header; None goes by its name."""
    split: bool = False
    """Whether each channel is a track of its own."""
    labels: tuple[str, ...] = ()
    """The speakers, by channel."""

    def open(self) -> AudioFile:
        """Open it. Raises MediaFileError."""
        return open_audio(self.path, raw=self.raw, split=self.split)

    def track_labels(self, tracks: int) -> list[str | None]:
        """Name each track; None where there is but one."""
        if tracks == 1:
            return [None]
        named = self.labels or ("left", "right")[: 2 * (tracks == 2)]  # noqa: PLR2004  stereo
        return [named[number] if number < len(named) else f"channel {number + 1}" for number in range(tracks)]


class Output(Protocol):
    """Where transcripts go. Everything is told in order; a file begins when the one before it has ended."""

    def begin(self, recording: Recording, duration_seconds: float | None) -> None:
        """Hear that a file could be opened, and how long it says it is."""
        ...

    def line(self, recording: Recording, line: Line) -> None:
        """Take what became of the next utterance."""
        ...

    def reached(self, at_ms: int) -> None:
        """Hear that everything before this is done."""
        ...

    def end(self, recording: Recording, transcript: FileTranscript) -> None:
        """Take the whole; its `error` says why it is not all of the file."""
        ...

    def unreadable(self, recording: Recording, error: MediaFileError) -> None:
        """Hear of a file that could not be opened."""
        ...


_Decoding = tuple[FileUtterance, "asyncio.Future[Hypothesis]"]


class _Begun(msgspec.Struct, frozen=True):
    recording: Recording
    duration_seconds: float | None
    languages: CallLanguages


class _Reached(msgspec.Struct, frozen=True):
    at_ms: int


class _Ended(msgspec.Struct, frozen=True):
    duration_ms: int
    gap_ms: int
    error: str | None


class _Unreadable(msgspec.Struct, frozen=True):
    recording: Recording
    error: MediaFileError


class FileTranscriber:
    """Transcribes files with an engine that is up, once."""

    def __init__(
        self,
        engine: Engine,
        *,
        models: Models,
        speech: Speech,
        options: DecodeOptions,
        output: Output,
        clock: Callable[[], float],
    ) -> None:
        self._spoken = spoken_languages(models.language, models.languages, models.final)
        self._speech = speech
        self._options = options
        self._output = output
        # How much may wait is bounded by the queue below, whose turn decides; nothing may be refused.
        self._scheduler = Scheduler(engine, clock=clock)
        self._found: asyncio.Queue[_Begun | _Decoding | _Reached | _Ended | _Unreadable | None] = asyncio.Queue(
            AHEAD_BATCHES * models.batch_size
        )
        self._requests = 0
        self._model: str | None = None

    async def run(self, recordings: Sequence[Recording]) -> None:
        """Transcribe one file after the other. What the output raises ends it, in an ExceptionGroup."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._scheduler.run())
            group.create_task(self._read_all(recordings))
            await self._write_all()
            self._scheduler.close()

    async def _read_all(self, recordings: Sequence[Recording]) -> None:
        for recording in recordings:
            try:
                audio = await in_daemon_thread(recording.open)
            except MediaFileError as error:
                await self._found.put(_Unreadable(recording, error))
            else:
                languages = CallLanguages()
                await self._found.put(_Begun(recording, audio.duration_seconds, languages))
                await self._read(audio, recording.track_labels(audio.tracks), languages)
        await self._found.put(None)

    async def _read(self, audio: AudioFile, labels: Sequence[str | None], languages: CallLanguages) -> None:
        speech = FileSpeech(audio, labels, self._speech)
        parts = speech.parts()
        # In a thread that nobody waits for: a pipe may have nothing to read for ever.
        while part := await in_daemon_thread(lambda: next(parts, None)):
            for said in part.utterances:
                asked = languages.ask(str(said.number), self._spoken)
                await self._found.put((said, self._submit(said, asked)))
            await self._found.put(_Reached(part.reached_ms))
        audio.close()
        await self._found.put(_Ended(speech.duration_ms, round(audio.gap_seconds * 1000), speech.fault))

    def _submit(self, said: FileUtterance, asked: Asked) -> asyncio.Future[Hypothesis]:
        self._requests += 1
        request = DecodeRequest(
            request_id=str(self._requests),
            stream_key=str(said.number),
            group_key="files",  # one for all: first come, first served
            kind=DecodeKind.FINAL,
            audio=said.utterance.audio,
            origin_sample=said.utterance.origin_sample,
            language=asked.language,
            known=asked.known,
            speech_seconds=said.utterance.speech_seconds,
            options=self._options,
        )
        future = self._scheduler.submit(request)
        future.add_done_callback(_look_at)
        return future

    async def _write_all(self) -> None:
        while begun := await self._found.get():
            match begun:
                case _Unreadable(recording, error):
                    self._output.unreadable(recording, error)
                case _Begun(recording, duration_seconds, languages):
                    self._output.begin(recording, duration_seconds)
                    self._output.end(recording, await self._write(recording, languages))

    async def _write(self, recording: Recording, languages: CallLanguages) -> FileTranscript:
        lines: list[Line] = []
        suppressed: Counter[str] = Counter()
        while True:
            match await self._found.get():
                case (FileUtterance() as said, asyncio.Future() as future):
                    line = await self._line(said, future, languages)
                    if isinstance(line, Reason):
                        suppressed[line] += 1
                    else:
                        lines.append(line)
                        self._output.line(recording, line)
                case _Reached(at_ms):
                    self._output.reached(at_ms)
                case _Ended() as ended:
                    return FileTranscript(
                        file=printable(str(recording.path)),
                        **msgspec.structs.asdict(ended),
                        language=self._spoken.given or main_language(lines),
                        model=self._model,
                        utterances=tuple(lines),
                        suppressed=dict(suppressed),
                    )

    async def _line(
        self, said: FileUtterance, future: asyncio.Future[Hypothesis], languages: CallLanguages
    ) -> Line | Reason:
        """Wait for what became of an utterance: a line, or why there is none."""
        try:
            heard = await future
        except ModelError as error:
            return undecoded(said, error.message)
        heard = await self._in_its_language(said, heard, languages)
        self._model = heard.model
        if not heard.text:
            return heard.suppressed.reason if heard.suppressed else Reason.EMPTY
        return decoded(said, heard, words=self._options.word_times)

    async def _in_its_language(self, said: FileUtterance, heard: Hypothesis, languages: CallLanguages) -> Hypothesis:
        """Decode once more what stands in another language than the one it turns out to be.

        So much is read ahead that a file's first utterances are decoded before anything is known of it.
        """
        language = languages.hear(str(said.number), self._spoken, heard, said.utterance.speech_seconds)
        if language is None:
            return heard
        try:
            again = await self._submit(said, Asked(language=language))
        except ModelError:
            return heard
        return again if again.text else heard


def _look_at(future: asyncio.Future[Hypothesis]) -> None:
    """Take note of an error, so that asyncio does not complain when nobody comes for it any more."""
    if not future.cancelled():
        future.exception()
