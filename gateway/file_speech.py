"""What is said in an audio file: the utterances of all its tracks, in the order in which they begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from adapters.media.audio_file import MediaFileError
from adapters.media.resample import BLOCK_MS
from asr.speech import SpeechTrack
from gateway.transcript import SAMPLES_PER_MS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from adapters.media.audio_file import AudioFile
    from asr.speech import Utterance
    from config.settings import Speech

PART_BLOCKS = 500
"""Ten seconds of audio, some milliseconds of work."""


class FileUtterance(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """An utterance with its place in the file."""

    track: str | None
    """The speaker's label; None where there is one track."""
    number: int
    """Counts the file's tracks, from 0."""
    utterance: Utterance

    @property
    def start_ms(self) -> int:
        """Where speech begins."""
        return self.utterance.start_sample // SAMPLES_PER_MS

    @property
    def end_ms(self) -> int:
        """Where speech ends."""
        return self.utterance.end_sample // SAMPLES_PER_MS

    @property
    def audio_ms(self) -> int:
        """Where the decoded audio begins; a decoder's times count from there."""
        return self.utterance.origin_sample // SAMPLES_PER_MS


class Part(msgspec.Struct, frozen=True):
    """What ten seconds of the file have brought."""

    utterances: tuple[FileUtterance, ...]
    reached_ms: int
    """All utterances that begin before this have been given."""


class FileSpeech:
    """Listens to a file that is open. `labels` has a name for each track; several tracks, several labels."""

    def __init__(self, audio: AudioFile, labels: Sequence[str | None], settings: Speech) -> None:
        self.fault: str | None = None
        """Why the file could not be read to its end, or not everywhere; known once the parts are over."""
        self._audio = audio
        self._labels = labels
        self._tracks = [SpeechTrack(settings) for _ in labels]
        self._blocks = 0
        self._held: list[FileUtterance] = []
        """Utterances that have ended, while an earlier one of another track goes on."""

    @property
    def duration_ms(self) -> int:
        """How much audio was heard so far."""
        return self._blocks * BLOCK_MS

    def parts(self) -> Iterator[Part]:
        """Listen on, ten seconds at a time; blocks meanwhile."""
        try:
            for blocks in self._audio.blocks():
                self._push(blocks)
                if self._blocks % PART_BLOCKS == 0:
                    yield self._part(min(track.settled_sample for track in self._tracks) // SAMPLES_PER_MS)
        except MediaFileError as error:
            self.fault = str(error)
        for number, track in enumerate(self._tracks):
            self._hold(number, track.finish())
        yield self._part(self.duration_ms + 1)

    def _push(self, blocks: Sequence[bytes]) -> None:
        for number, block in enumerate(blocks):
            self._hold(number, self._tracks[number].push(block, 0.0))  # nobody waits for a file's words
        self._blocks += 1

    def _hold(self, number: int, utterance: Utterance | None) -> None:
        if utterance is not None:
            self._held.append(FileUtterance(track=self._labels[number], number=number, utterance=utterance))

    def _part(self, reached_ms: int) -> Part:
        """Let go of what nothing earlier can follow."""
        self._held.sort(key=lambda each: (each.start_ms, each.number))
        settled = sum(each.start_ms < reached_ms for each in self._held)
        part = Part(tuple(self._held[:settled]), min(reached_ms, self.duration_ms))
        del self._held[:settled]
        return part
