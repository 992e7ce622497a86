from __future__ import annotations

import wave
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from bench.answers import Outcome
from bench.invention import answer_figures, invention_figures, main
from bench.line import A_LAW, MOBILE, MU_LAW, Codec, knows_amr, pcm, utterances
from bench.nobody import Made, Playing, clips
from bench.noises import LOUD, RATE_HZ, noises, pink, resampled, tone
from tests.sound import prompt

if TYPE_CHECKING:
    from pathlib import Path


def made(text: str, reason: str | None = None) -> Made:
    return Made(clip="x", at_ms=0, text=text, reason=reason)


def outcome(said: str, heard: str, reason: str | None = None) -> Outcome:
    return Outcome(name="x", said=said, gain_db=0, hiss=0, heard=heard, reason=reason)


def test_invented_words_are_counted_by_the_hour() -> None:
    heard = [made("Thank you."), made("", "music"), made("", "music"), made("", "tone"), made("Yes")]
    assert invention_figures(7200.0, heard) == {
        "hours": 2.0,
        "utterances": 5,
        "invented_words": 3,
        "invented_words_per_hour": 1.5,
        "suppressed": {"music": 2, "tone": 1},
    }


def test_answers_are_published_or_not_and_right_or_not() -> None:
    outcomes = [outcome("yes", "Yes."), outcome("two", "to"), outcome("no", "", "improbable"), outcome("A", "A.")]
    assert answer_figures(outcomes) == {
        "answers": 4,
        "published": 0.75,
        "right": 0.5,
        "not_published": {"improbable": 1},
    }


@pytest.mark.parametrize("codec", [MU_LAW, A_LAW, MOBILE], ids=lambda codec: codec.name)
def test_speech_is_one_utterance_by_whatever_codec(codec: Codec) -> None:
    if codec is MOBILE and not knows_amr():
        pytest.skip("PyAV is built without AMR here, as its wheels for Python 3.13 are")
    pause = np.zeros(RATE_HZ)
    spoken = np.concatenate([pause, np.frombuffer(prompt("vm-sorry"), "<i2").astype(float), pause])
    (utterance,) = utterances(spoken, codec)
    assert 600 < utterance.start_sample / 16 < 1400
    assert utterance.end_of_turn


@pytest.mark.parametrize("seconds", [0.5, 5.0, 30.0])
def test_all_noises_are_as_long_as_was_asked_and_fit_16_bit(seconds: float) -> None:
    made_of = list(noises(seconds))
    assert len({clip.name for clip in made_of}) == len(made_of)
    for clip in made_of:
        assert len(clip.samples) == round(seconds * RATE_HZ), clip.name
        assert np.isfinite(clip.samples).all(), clip.name
        assert np.abs(clip.samples).max() < 60_000, clip.name


def test_noises_are_the_same_each_time() -> None:
    for one, other in zip(noises(2.0), noises(2.0), strict=True):
        assert (one.samples == other.samples).all()


def test_a_tone_lies_where_it_is_to_lie() -> None:
    spectrum = np.abs(np.fft.rfft(tone((440, 480), 1.0)))
    assert set(np.argsort(spectrum)[-2:]) == {440, 480}
    assert np.abs(tone((1000,), 0.1)).max() <= LOUD
    assert not tone((), 0.1).any()


def test_what_is_played_faster_is_shorter_and_higher() -> None:
    faster = resampled(tone((1000,), 1.0), 1.1)
    assert len(faster) == pytest.approx(RATE_HZ / 1.1, abs=1)
    spectrum = np.abs(np.fft.rfft(faster, RATE_HZ))
    assert np.argmax(spectrum) == pytest.approx(1100, abs=2)


def test_pink_noise_falls_with_its_frequency() -> None:
    power = np.abs(np.fft.rfft(pink(np.random.default_rng(1), 10.0))) ** 2
    assert 5 < power[1000:2000].mean() / power[10_000:20_000].mean() < 20


def test_samples_louder_than_16_bit_are_cut_off_not_folded() -> None:
    assert np.frombuffer(pcm(np.array([40_000.0, -40_000.0, 1.4])), "<i2").tolist() == [32_767, -32_768, 1]


def write(path: Path, *, rate_hz: int = RATE_HZ) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm(tone((440,), 2.0)))
    return path


def test_music_is_played_in_every_way_and_noise_follows(tmp_path: Path) -> None:
    ways = (Playing(0, 1.0, MU_LAW, 0), Playing(-20, 1.1, A_LAW, 30))
    played = list(clips([write(tmp_path / "a.wav")], ways, 1.0))
    first, second = played[0][0], played[1][0]
    assert (first.name, second.name) == ("a, +0 dB, speed 1, mu-law", "a, -20 dB, speed 1.1, A-law")
    assert len(second.samples) == pytest.approx(len(first.samples) / 1.1, abs=1)
    assert first.samples.std() > 8 * second.samples.std()
    assert len(played) == 2 + 2 * len(list(noises(1.0)))


def test_music_in_another_form_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.wav: expected 16-bit mono at 8 kHz"):
        list(clips([write(tmp_path / "a.wav", rate_hz=16_000)], (Playing(0, 1.0, MU_LAW, 0),), 1.0))


def test_without_music_it_says_where_there_is_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    result = CliRunner().invoke(main, ["--speech", str(tmp_path), "--music", str(tmp_path)])
    assert result.exit_code == 1
    assert "asterisk-moh-opsound-wav" in result.output
