from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.media.audio_file import MediaFileError
from asr.speech import SpeechTrack
from asr.vad import BLOCK_SAMPLES
from config.settings import Speech
from gateway.file_speech import PART_BLOCKS, FileSpeech, FileUtterance, Part
from tests.sound import SILENT_BLOCK, speech_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SPEAKING = speech_blocks("conf-onlyperson")
MOMENTS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, len(SPEAKING))), max_size=6)
"""How long it is quiet and then somebody speaks, in blocks, again and again."""


class Blocks:
    """An audio file that is a list of blocks for each track, and may end with a fault."""

    duration_seconds = None
    gap_seconds = 0.0

    def __init__(self, *tracks: Sequence[bytes], fault: str | None = None) -> None:
        length = max(map(len, tracks))
        self._blocks = [[*track, *[SILENT_BLOCK] * (length - len(track))] for track in tracks]
        self._fault = fault
        self.tracks = len(tracks)

    def blocks(self) -> Iterator[tuple[bytes, ...]]:
        yield from zip(*self._blocks, strict=True)
        if self._fault:
            raise MediaFileError(self._fault)

    def close(self) -> None:
        """Nothing is open."""


def silence(blocks: int) -> list[bytes]:
    return [SILENT_BLOCK] * blocks


def spoken(moments: list[tuple[int, int]]) -> list[bytes]:
    return list(chain.from_iterable([*silence(quiet), *SPEAKING[:speaking]] for quiet, speaking in moments))


def listen(audio: Blocks, labels: Sequence[str | None]) -> list[Part]:
    return list(FileSpeech(audio, labels, Speech()).parts())


def found(parts: Sequence[Part]) -> list[FileUtterance]:
    return [each for part in parts for each in part.utterances]


def test_one_track_gives_its_utterances_with_their_times() -> None:
    audio = Blocks([*silence(100), *SPEAKING, *silence(50), *SPEAKING])
    first, second = found(listen(audio, [None]))
    assert first.track is None
    assert 2_000 <= first.start_ms <= 2_400 < first.end_ms <= 5_300
    assert first.audio_ms == first.start_ms - 300
    assert first.end_ms < second.start_ms


def test_speakers_take_turns_in_the_order_in_which_they_begin() -> None:
    """The customer speaks long; the agent's two words meanwhile come after that, though they ended before."""
    customer = [*silence(10), *SPEAKING[20:120] * 5]
    agent = [*silence(100), *SPEAKING[:80], *silence(60), *SPEAKING[:80]]
    order = [each.track for each in found(listen(Blocks(customer, agent), ["customer", "agent"]))]
    assert order == ["customer", "agent", "agent"]


@settings(max_examples=30)
@given(MOMENTS, MOMENTS)
def test_however_two_speak_each_is_heard_as_if_alone_and_all_in_order(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    tracks = [*silence(1), *spoken(one)], [*silence(1), *spoken(other)]
    length = max(map(len, tracks))
    parts = listen(Blocks(*tracks), ["a", "b"])
    utterances = found(parts)
    starts = [each.start_ms for each in utterances]
    assert starts == sorted(starts)
    for label, track in zip("ab", tracks, strict=True):
        alone = found(listen(Blocks([*track, *silence(length - len(track))]), [None]))
        own = [each for each in utterances if each.track == label]
        assert [each.utterance.audio for each in own] == [each.utterance.audio for each in alone]


@settings(max_examples=30)
@given(MOMENTS)
def test_what_is_reached_is_done(moments: list[tuple[int, int]]) -> None:
    parts = listen(Blocks([*silence(1), *spoken(moments), *silence(PART_BLOCKS)]), [None])
    reached = 0
    for part in parts:
        assert all(each.start_ms >= reached for each in part.utterances)
        assert part.reached_ms >= reached
        reached = part.reached_ms


@settings(max_examples=30)
@given(MOMENTS, st.sampled_from([2_000, 30_000]))
def test_no_utterance_begins_before_what_its_track_calls_settled(moments: list[tuple[int, int]], longest: int) -> None:
    track = SpeechTrack(Speech(longest_utterance_ms=longest))
    settled = 0
    for block in [*spoken(moments), *silence(60)]:
        utterance = track.push(block, 0.0)
        assert utterance is None or utterance.start_sample >= settled
        assert track.settled_sample >= settled
        settled = track.settled_sample
    assert settled % BLOCK_SAMPLES == 0


def test_a_fault_keeps_what_was_heard_before_it() -> None:
    speech = FileSpeech(Blocks([*silence(10), *SPEAKING[:100]], fault="damaged"), [None], Speech())
    (utterance,) = found(list(speech.parts()))
    assert speech.fault == "damaged"
    assert speech.duration_ms == 2_200
    assert utterance.end_ms <= 2_200


def test_a_long_file_is_listened_to_piece_by_piece() -> None:
    parts = FileSpeech(Blocks(silence(3 * PART_BLOCKS)), [None], Speech()).parts()
    assert [part.reached_ms // 10_000 for part in parts] == [0, 1, 2, 3]
