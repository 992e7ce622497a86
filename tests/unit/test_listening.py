from __future__ import annotations

import numpy as np
import pytest

from asr.evidence import Strength
from asr.listening import listen
from asr.silero import STEP_SAMPLES, Silero
from asr.types import Reason
from bench.line import pcm
from bench.noises import RATE_HZ, noises, tone
from tests.sound import SHORT_ANSWERS, blocks, prompt, short_answer

VOICES = Silero()
SECOND = bytes(2 * RATE_HZ)


def at_16_khz(audio: bytes) -> bytes:
    return b"".join(blocks(audio))


@pytest.mark.parametrize("name", SHORT_ANSWERS)
@pytest.mark.parametrize("gain", [1.0, 0.1])
def test_every_short_answer_is_worth_decoding(name: str, gain: float) -> None:
    spoken = np.frombuffer(short_answer(name), "<i2") * gain
    heard = listen(at_16_khz(SECOND[:4000] + pcm(spoken) + SECOND[:4000]), VOICES.probabilities)
    assert heard.reason is None


def test_a_sentence_is_beyond_doubt_and_left_whole() -> None:
    audio = at_16_khz(prompt("vm-sorry"))
    heard = listen(audio, VOICES.probabilities)
    assert (heard.audio, heard.skipped_ms, heard.reason) == (audio, 0, None)
    assert heard.evidence is not None
    assert heard.evidence.strength is Strength.STRONG


@pytest.mark.parametrize("clip", list(noises(6.0)), ids=lambda clip: clip.name)
def test_no_sound_of_a_line_is_decoded_without_a_doubt(clip: object) -> None:
    samples = clip.samples  # type: ignore[attr-defined]
    heard = listen(at_16_khz(pcm(samples)), VOICES.probabilities)
    assert heard.reason in {Reason.SILENCE, Reason.TONE, Reason.NOISE, Reason.MUSIC} or (
        heard.evidence is not None and heard.evidence.strength < Strength.STRONG
    )


def test_speech_is_cut_out_of_what_is_none_and_keeps_its_place() -> None:
    rng = np.random.default_rng(1)
    noise = pcm(rng.normal(0, 300, 5 * RATE_HZ))
    audio = at_16_khz(noise + prompt("vm-sorry") + noise)
    heard = listen(audio, VOICES.probabilities)
    assert 3500 < heard.skipped_ms < 5000
    assert heard.audio == audio[heard.skipped_ms * 32 :][: len(heard.audio)]
    assert len(heard.audio) < len(at_16_khz(prompt("vm-sorry"))) + 2 * 16_000 * 2


class Counting:
    """Silero, and how much it was asked about."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def probabilities(self, audio: bytes) -> np.typing.NDArray[np.float32]:
        self.asked.append(len(audio) // 32_000)
        return VOICES.probabilities(audio)


def test_at_a_glance_a_voice_at_the_end_is_enough_and_all_is_kept() -> None:
    rng = np.random.default_rng(1)
    audio = at_16_khz(pcm(rng.normal(0, 300, 5 * RATE_HZ)) + prompt("vm-sorry"))
    counting = Counting()
    heard = listen(audio, counting.probabilities, at_a_glance=True)
    assert (heard.audio, heard.reason, counting.asked) == (audio, None, [2])


def test_at_a_glance_what_has_no_voice_at_its_end_is_listened_to_as_a_whole() -> None:
    rng = np.random.default_rng(1)
    noise = pcm(rng.normal(0, 300, 5 * RATE_HZ))
    counting = Counting()
    glanced = listen(at_16_khz(prompt("vm-sorry") + noise), counting.probabilities, at_a_glance=True)
    whole = listen(at_16_khz(prompt("vm-sorry") + noise), VOICES.probabilities)
    assert (glanced.audio, glanced.skipped_ms, glanced.evidence) == (whole.audio, whole.skipped_ms, whole.evidence)
    assert glanced.reason is None
    assert len(counting.asked) == 2
    assert listen(at_16_khz(noise), VOICES.probabilities, at_a_glance=True).reason is Reason.NOISE


@pytest.mark.parametrize(("peak", "silent"), [(0, True), (8, True), (9, False), (32767, False)])
def test_what_mu_law_could_not_carry_is_silence(peak: int, *, silent: bool) -> None:
    audio = np.array([0, peak, 0, -peak] * 4000, "<i2").tobytes()
    assert (listen(audio, VOICES.probabilities).reason is Reason.SILENCE) is silent
    assert (listen(audio, None).reason is Reason.SILENCE) is silent


def test_without_a_second_opinion_all_that_sounds_is_decoded_whole() -> None:
    audio = at_16_khz(pcm(tone((440, 480), 5)))
    heard = listen(audio, None)
    assert (heard.audio, heard.reason, heard.evidence) == (audio, None, None)
    assert listen(audio, VOICES.probabilities).reason is Reason.TONE


@pytest.mark.parametrize("samples", [0, 1, STEP_SAMPLES - 1, STEP_SAMPLES, STEP_SAMPLES + 1, 20_000])
def test_silero_tells_of_all_of_it(samples: int) -> None:
    found = VOICES.probabilities(bytes(2 * samples))
    assert found.shape == (-(-samples // STEP_SAMPLES),)
    assert ((found >= 0) & (found <= 1)).all()


def test_silero_hears_each_utterance_afresh() -> None:
    words, nothing = at_16_khz(prompt("vm-sorry")), bytes(32_000)
    alone = VOICES.probabilities(nothing)
    assert VOICES.probabilities(words).max() > 0.9
    assert (VOICES.probabilities(nothing) == alone).all()
    assert alone.max() < 0.1
