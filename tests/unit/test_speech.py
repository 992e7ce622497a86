from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.speech import TAIL_BLOCKS, SpeechTrack, Utterance
from asr.vad import BLOCK_MS, BLOCK_SAMPLES
from config.settings import Speech
from tests.sound import SHORT_ANSWERS, SILENT_BLOCK, blocks, prompt, short_answer, speech_blocks

SPEAKING = speech_blocks("conf-onlyperson")
"""Three seconds of speech, in blocks; the first and the last are quiet."""


def run(blocks: list[bytes], settings: Speech | None = None) -> list[Utterance]:
    track = SpeechTrack(settings or Speech())
    out = [track.push(block, number * BLOCK_MS / 1000) for number, block in enumerate(blocks)]
    return [utterance for utterance in [*out, track.finish()] if utterance is not None]


def silence(duration_ms: int) -> list[bytes]:
    return [SILENT_BLOCK] * (duration_ms // BLOCK_MS)


def test_silence_is_no_utterance() -> None:
    assert run(silence(10_000)) == []


def test_speech_is_an_utterance_with_pre_roll_and_a_short_tail() -> None:
    blocks = silence(2_000) + SPEAKING + silence(2_000)
    (utterance,) = run(blocks)
    assert utterance.number == 1
    assert utterance.end_of_turn
    assert utterance.start_sample - utterance.origin_sample == 300 * 16
    assert 2_000 * 16 <= utterance.start_sample <= 2_400 * 16
    stop = utterance.origin_sample + len(utterance.audio) // 2
    assert stop == utterance.end_sample + TAIL_BLOCKS * BLOCK_SAMPLES
    whole = b"".join(blocks)
    assert utterance.audio == whole[2 * utterance.origin_sample : 2 * stop]
    assert utterance.heard_at == pytest.approx(utterance.end_sample / 16_000 - 0.02)


def test_the_utterance_is_given_when_the_hangover_is_over() -> None:
    settings = Speech(hangover_ms=300)
    track = SpeechTrack(settings)
    for block in SPEAKING:
        assert track.push(block, 0.0) is None
    assert track.speaking
    waited = next(count for count, block in enumerate(silence(1_000), 1) if track.push(block, 0.0))
    assert waited * BLOCK_MS <= 300 + 100  # the detector itself lets go a little late
    assert not track.speaking


def test_a_snapshot_in_a_pause_is_what_the_utterance_will_be_if_it_ends() -> None:
    track = SpeechTrack(Speech())
    with pytest.raises(ValueError, match="nobody"):
        track.snapshot(30_000)
    for number, block in enumerate(silence(1_000) + SPEAKING):
        track.push(block, float(number))
    snapshots = []
    for block in silence(1_000):
        if track.speaking and track.silent_blocks >= TAIL_BLOCKS:
            snapshots.append(track.snapshot(30_000))
        if utterance := track.push(block, 999.0):
            break
    assert utterance is not None
    assert len(snapshots) > 5
    for snapshot in snapshots:
        assert {name: getattr(snapshot, name) for name in snapshot.__struct_fields__} == {
            name: getattr(utterance, name) for name in utterance.__struct_fields__
        }


def test_a_snapshot_can_be_of_what_lies_behind_a_sample_and_of_so_much_alone() -> None:
    track = SpeechTrack(Speech())
    for block in silence(1_000) + SPEAKING[:100]:
        track.push(block, 0.0)
    whole = track.snapshot(30_000)
    part = track.snapshot(500, whole.origin_sample + 1_000 * 16 + 7)
    assert part.origin_sample == whole.origin_sample + 1_000 * 16  # whole blocks, none of them missing
    assert part.audio == whole.audio[1_000 * 32 : 1_500 * 32]
    assert (part.start_sample, part.end_sample) == (whole.start_sample, part.origin_sample + 500 * 16)
    assert part.heard_at == pytest.approx(whole.heard_at - (whole.end_sample - part.end_sample) / 16_000)
    assert track.snapshot(30_000, 0).audio == whole.audio
    assert track.snapshot(30_000, part.origin_sample).audio == whole.audio[1_000 * 32 :]
    assert track.snapshot(30_000, whole.end_sample + 10_000 * 16).audio == b""
    assert track.spoken_blocks == 150 - whole.start_sample // BLOCK_SAMPLES


@pytest.mark.parametrize("hangover_ms", [400, 900])
def test_an_utterance_may_be_told_to_wait_for_less_or_for_more(hangover_ms: int) -> None:
    track = SpeechTrack(Speech())
    for block in SPEAKING + silence(200):
        assert track.push(block, 0.0) is None
    track.wait_for(hangover_ms)
    waited = next(count for count, block in enumerate(silence(2_000), 1) if track.push(block, 0.0))
    assert hangover_ms - 300 <= waited * BLOCK_MS <= hangover_ms - 100


def test_once_speech_goes_on_an_utterance_waits_as_it_did() -> None:
    track = SpeechTrack(Speech())
    for block in SPEAKING + silence(300):
        assert track.push(block, 0.0) is None
    track.wait_for(2_000)
    for block in SPEAKING:
        assert track.push(block, 0.0) is None
    waited = next(count for count, block in enumerate(silence(2_000), 1) if track.push(block, 0.0))
    assert waited * BLOCK_MS <= 600


def test_speech_at_the_very_beginning_has_what_pre_roll_there_is() -> None:
    (utterance,) = run(SPEAKING + silence(1_000))
    assert utterance.origin_sample >= 0
    assert utterance.start_sample - utterance.origin_sample <= 300 * 16


def test_two_sentences_are_two_utterances_that_share_no_audio() -> None:
    first, second = run(SPEAKING + silence(800) + SPEAKING + silence(800))
    assert (first.number, second.number) == (1, 2)
    assert first.origin_sample + len(first.audio) // 2 <= second.origin_sample


def test_the_end_of_the_audio_gives_what_is_open() -> None:
    (utterance,) = run(silence(500) + SPEAKING[:100])
    assert utterance.end_of_turn
    assert utterance.end_sample <= (25 + 100) * BLOCK_SAMPLES


def test_speech_without_a_pause_is_cut_at_its_quietest_and_nothing_is_lost() -> None:
    settings = Speech(longest_utterance_ms=4_000)
    blocks = SPEAKING[20:120] * 8
    utterances = run(blocks, settings)
    assert len(utterances) >= 4
    assert [each.number for each in utterances] == list(range(1, len(utterances) + 1))
    assert [each.end_of_turn for each in utterances] == [False] * (len(utterances) - 1) + [True]
    for before, after in pairwise(utterances):
        assert before.end_sample == after.start_sample == after.origin_sample
        assert before.origin_sample * 2 + len(before.audio) == after.origin_sample * 2
    assert b"".join(each.audio for each in utterances) in b"".join(blocks)
    assert all(len(each.audio) <= 4_000 * 32 for each in utterances)


def test_a_pause_just_before_the_limit_is_the_end_and_not_a_cut() -> None:
    spoken = len(run(SPEAKING + silence(1_000))[0].audio) // 32
    settings = Speech(longest_utterance_ms=spoken // BLOCK_MS * BLOCK_MS + 100, hangover_ms=2_000)
    (utterance,) = run(SPEAKING + silence(3_000), settings)
    assert utterance.end_of_turn


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 120)), max_size=8),
    st.integers(2_000, 5_000),
    st.integers(100, 1_000),
    st.integers(0, 500),
)
def test_any_talk_gives_utterances_in_order_that_share_no_audio(
    talk: list[tuple[bool, int]], longest_ms: int, hangover_ms: int, pre_roll_ms: int
) -> None:
    blocks = [block for speaking, count in talk for block in (SPEAKING[:count] if speaking else silence(20 * count))]
    chosen = Speech(longest_utterance_ms=longest_ms, hangover_ms=hangover_ms, pre_roll_ms=pre_roll_ms)
    whole = b"".join(blocks)
    reached = 0
    for number, utterance in enumerate(run(blocks, chosen), 1):
        assert utterance.number == number
        assert reached <= utterance.origin_sample <= utterance.start_sample < utterance.end_sample
        stop = utterance.origin_sample + len(utterance.audio) // 2
        assert utterance.end_sample <= stop
        assert utterance.audio == whole[2 * utterance.origin_sample : 2 * stop]
        assert 0 < len(utterance.audio) <= longest_ms * 32
        reached = stop


@settings(max_examples=100)
@given(st.integers(2_000, 3_200), st.integers(20, 158))
def test_a_cut_leaves_no_crumbs(longest_ms: int, spoken: int) -> None:
    chosen = Speech(longest_utterance_ms=longest_ms // 20 * 20)
    for utterance in run(SPEAKING[10:spoken] + silence(1_500), chosen):
        assert utterance.end_sample - utterance.start_sample >= 100 * 16


@pytest.mark.parametrize("word_ms", [200, 300, 400])
def test_short_answers_survive(word_ms: int) -> None:
    word = SPEAKING[20 : 20 + word_ms // BLOCK_MS]
    (utterance,) = run(silence(1_000) + word + silence(1_500))
    assert len(utterance.audio) >= word_ms * 32


def burst(at_ms: int, burst_ms: int, phase_ms: int) -> bytes:
    """Cut so much voice out of a sentence, softly, and lay it into silence, so far off the grid of 20 ms."""
    voice = np.frombuffer(prompt("conf-onlyperson"), "<i2")[at_ms * 8 : (at_ms + burst_ms) * 8].astype(float)
    voice[:40] *= np.linspace(0, 1, 40)
    voice[-40:] *= np.linspace(1, 0, 40)
    return np.pad(np.rint(voice).astype("<i2"), ((1_000 + phase_ms) * 8, 8_000)).tobytes()


@pytest.mark.parametrize("phase_ms", [0, 5, 10, 15])
@pytest.mark.parametrize("burst_ms", [100, 120, 160, 200])
def test_a_syllable_survives_whatever_it_is_and_wherever_it_falls_on_the_grid(burst_ms: int, phase_ms: int) -> None:
    for at_ms in range(100, 2_100, 100):
        (utterance,) = run(blocks(burst(at_ms, burst_ms, phase_ms)))
        begin, end = (1_000 + phase_ms) * 16, (1_000 + phase_ms + burst_ms) * 16
        assert utterance.origin_sample <= begin - 200 * 16
        assert utterance.origin_sample + len(utterance.audio) // 2 >= end
        assert utterance.end_of_turn


@pytest.mark.parametrize("name", SHORT_ANSWERS)
@pytest.mark.parametrize("gain", [1.0, 0.1])
def test_an_answer_of_one_word_is_one_utterance_loud_or_faint(name: str, gain: float) -> None:
    word = (np.frombuffer(short_answer(name), "<i2") * gain).astype("<i2")
    (utterance,) = run(blocks(np.pad(word, 8_000).tobytes()))
    assert utterance.end_sample - utterance.start_sample >= 100 * 16


def test_a_click_is_no_utterance() -> None:
    click = np.zeros(BLOCK_SAMPLES, "<i2")
    click[100:110] = 20_000
    assert run([*silence(1_000), click.tobytes(), *silence(1_000)]) == []
