"""One track's speech: voice activity, endpointing, pre-roll and the audio of the utterance that is open."""

from __future__ import annotations

import audioop
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from asr.endpointing import ONSET_SLACK_BLOCKS, Began, Endpointer, quietest
from asr.types import SAMPLE_RATE_HZ
from asr.vad import BLOCK_MS, BLOCK_SAMPLES, voice_detector

if TYPE_CHECKING:
    from config.settings import Speech

TAIL_BLOCKS = 10
"""Silence kept after the last sound: 200 ms. More would only be decoded and give room to invent."""

CUT_SEARCH_BLOCKS = 500
"""The quietest place is looked for in the last ten seconds of an utterance that grew too long."""

CUT_WIDTH_BLOCKS = 5


class Utterance(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Speech between two endpoints. Samples are 16 kHz, counted from the track's first."""

    number: int
    """Counts the track's utterances, from 1."""
    audio: bytes
    """Mono 16 kHz PCM, 16-bit little-endian: pre-roll, speech, a short tail."""
    origin_sample: int
    """Where `audio` begins."""
    start_sample: int
    end_sample: int
    """Speech itself, without pre-roll and tail."""
    heard_at: float
    """When the last speech arrived."""
    end_of_turn: bool
    """False where the utterance was cut: it grew too long, or the call was paused."""

    @property
    def speech_seconds(self) -> float:
        """Length of the speech, without pre-roll and tail."""
        return (self.end_sample - self.start_sample) / SAMPLE_RATE_HZ


class SpeechTrack:
    """Takes one track's 20 ms blocks of mono 16 kHz PCM and gives its utterances as they end."""

    def __init__(self, settings: Speech) -> None:
        self._voiced = voice_detector(settings.vad_aggressiveness)
        self._minimum = _blocks(settings.minimum_speech_ms)
        self._hangover = _blocks(settings.hangover_ms)
        self._endpointer = Endpointer(minimum_blocks=self._minimum, hangover_blocks=self._hangover)
        self._pre_roll = _blocks(settings.pre_roll_ms)
        self._longest = _blocks(settings.longest_utterance_ms)
        # As long as the onset may have lasted before it was noticed, and the pre-roll before that.
        self._before: deque[bytes] = deque(maxlen=self._pre_roll + self._minimum + ONSET_SLACK_BLOCKS)
        self._open: _Open | None = None
        self._heard_at = 0.0
        self._blocks = 0
        self._utterances = 0

    @property
    def utterances(self) -> int:
        """Utterances so far, an open one included."""
        return self._utterances

    @property
    def speaking(self) -> bool:
        """Whether an utterance is open."""
        return self._open is not None

    @property
    def settled_sample(self) -> int:
        """No utterance that is yet to be given begins before this sample."""
        if self._open is not None:
            return self._open.onset * BLOCK_SAMPLES
        return max(0, self._blocks - self._minimum - ONSET_SLACK_BLOCKS) * BLOCK_SAMPLES

    @property
    def spoken_blocks(self) -> int:
        """How long the open utterance lasts, from its first sound; 0 without one."""
        return self._blocks - self._open.onset if self._open else 0

    @property
    def silent_blocks(self) -> int:
        """How long ago speech was last heard."""
        return self._endpointer.silent_blocks

    def snapshot(self, longest_ms: int, from_sample: int = 0) -> Utterance:
        """Give the open utterance as if it ended now; of its audio what lies behind a sample, and no more than so much.

        Raises ValueError without one.
        """
        current = self._open
        if current is None:
            raise ValueError("nobody is speaking")
        stop = self._endpointer.last_voiced + 1
        skip = max(0, from_sample // BLOCK_SAMPLES - current.origin)
        keep = min(stop + TAIL_BLOCKS - current.origin, skip + _blocks(longest_ms))
        ends = min(stop, current.origin + keep)
        heard = self._utterance(current, current.blocks[skip:keep], ends, end_of_turn=True)
        return msgspec.structs.replace(
            heard,
            origin_sample=(current.origin + skip) * BLOCK_SAMPLES,
            heard_at=self._heard_at - (stop - ends) * BLOCK_MS / 1000,
        )

    def wait_for(self, hangover_ms: int) -> None:
        """End the open utterance after so much silence, unless speech goes on before."""
        self._endpointer.hangover_blocks = _blocks(hangover_ms)

    def push(self, block: bytes, arrived_at: float) -> Utterance | None:
        """Take the next block; give the utterance that it ends, if it does."""
        voiced = self._voiced(block)
        change = self._endpointer.push(voiced)
        if self._endpointer.last_voiced == self._blocks:
            self._heard_at = arrived_at
            self._endpointer.hangover_blocks = self._hangover
        self._blocks += 1
        if self._open is None:
            self._before.append(block)
            if isinstance(change, Began):
                self._begin(change.block)
            return None
        self._open.append(block, voiced=voiced)
        if change is not None:
            return self._end()
        return self._cut(self._open) if len(self._open.blocks) >= self._longest else None

    def finish(self, *, end_of_turn: bool = True) -> Utterance | None:
        """Give the utterance that is open when the track's audio is over, or is no longer to be heard."""
        return self._end(end_of_turn=end_of_turn) if self._endpointer.finish() else None

    def _begin(self, onset: int) -> None:
        """Open an utterance from the blocks kept: the pre-roll and what the onset has lasted."""
        wanted = self._blocks - onset + self._pre_roll
        kept = list(self._before)[-wanted:]
        self._before.clear()
        self._utterances += 1
        self._open = _Open(self._blocks - len(kept), onset)
        for block in kept:
            self._open.append(block, voiced=True)

    def _end(self, *, end_of_turn: bool = True) -> Utterance:
        current = self._open
        assert current is not None, "only an open utterance ends"  # noqa: S101
        stop = self._endpointer.last_voiced + 1
        keep = stop + TAIL_BLOCKS - current.origin
        self._before.extend(current.blocks[keep:])
        self._open = None
        return self._utterance(current, current.blocks[:keep], stop, end_of_turn=end_of_turn)

    def _cut(self, current: _Open) -> Utterance:
        """End the utterance at its quietest place; what follows that is the next one's beginning."""
        first = max(len(current.blocks) - CUT_SEARCH_BLOCKS, len(current.blocks) // 2)
        place = quietest(current.levels, first, CUT_WIDTH_BLOCKS)
        stop = current.origin + place
        followed_by = sum(current.voiced[place:])
        if stop > self._endpointer.last_voiced or followed_by < self._minimum:  # next to nothing: the speaker pauses
            self._endpointer.finish()
            return self._end()
        cut = self._utterance(current, current.blocks[:place], stop, end_of_turn=False)
        self._utterances += 1
        self._open = _Open(stop, stop)
        for block, voiced in zip(current.blocks[place:], current.voiced[place:], strict=True):
            self._open.append(block, voiced=voiced)
        return cut

    def _utterance(self, current: _Open, blocks: list[bytes], stop: int, *, end_of_turn: bool) -> Utterance:
        return Utterance(
            number=self._utterances,
            audio=b"".join(blocks),
            origin_sample=current.origin * BLOCK_SAMPLES,
            start_sample=current.onset * BLOCK_SAMPLES,
            end_sample=stop * BLOCK_SAMPLES,
            heard_at=self._heard_at,
            end_of_turn=end_of_turn,
        )


class _Open:
    """The utterance that is being spoken; `origin` and `onset` count the track's blocks."""

    __slots__ = ("blocks", "levels", "onset", "origin", "voiced")

    def __init__(self, origin: int, onset: int) -> None:
        self.origin = origin
        self.onset = onset
        self.blocks: list[bytes] = []
        self.levels: list[int] = []
        self.voiced: list[bool] = []

    def append(self, block: bytes, *, voiced: bool) -> None:
        self.blocks.append(block)
        self.voiced.append(voiced)
        self.levels.append(audioop.rms(block, 2))


def _blocks(duration_ms: int) -> int:
    return max(1, duration_ms // BLOCK_MS) if duration_ms else 0
