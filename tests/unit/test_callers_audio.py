from __future__ import annotations

import audioop
import wave
from typing import TYPE_CHECKING

import numpy as np
import pytest

from adapters.media.g711 import decoder
from adapters.stream import Encoding
from gateway.callers.audio import AudioFileError, mixed, read_audio, stereo
from gateway.callers.encoders import encoder
from tests.sound import prompt

if TYPE_CHECKING:
    from pathlib import Path


def write_wav(path: Path, samples: bytes, *, rate_hz: int = 8_000, channels: int = 1, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setframerate(rate_hz)
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.writeframes(samples)
    return path


def test_a_wav_file_at_8_khz_is_played_as_it_is(tmp_path: Path) -> None:
    assert read_audio(write_wav(tmp_path / "a.wav", prompt("agent-pass"))) == prompt("agent-pass")


def test_other_rates_and_stereo_become_8_khz_mono(tmp_path: Path) -> None:
    tone = np.rint(8000 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)).astype("<i2")
    pcm = read_audio(write_wav(tmp_path / "a.WAV", np.repeat(tone, 2).tobytes(), rate_hz=48_000, channels=2))
    heard = np.frombuffer(pcm, "<i2")
    assert len(heard) == 8_000
    assert np.argmax(np.abs(np.fft.rfft(heard))) == 440


def test_eight_bit_wav_is_unsigned(tmp_path: Path) -> None:
    pcm = read_audio(write_wav(tmp_path / "a.wav", bytes([128, 255, 0]), width=1))
    assert np.frombuffer(pcm, "<i2").tolist() == [0, 32512, -32768]


def test_any_other_name_is_raw_mu_law(tmp_path: Path) -> None:
    (tmp_path / "a.ulaw").write_bytes(b"\xff" * 160)
    assert read_audio(tmp_path / "a.ulaw") == bytes(320)


@pytest.mark.parametrize("name", ["a.wav", "a.ulaw"])
def test_a_file_comes_at_the_rate_that_is_wanted(tmp_path: Path, name: str) -> None:
    tone = np.rint(8000 * np.sin(2 * np.pi * 440 * np.arange(8_000) / 8_000)).astype("<i2")
    write_wav(tmp_path / "a.wav", tone.tobytes())
    (tmp_path / "a.ulaw").write_bytes(audioop.lin2ulaw(tone.tobytes(), 2))
    heard = np.frombuffer(read_audio(tmp_path / name, 24_000), "<i2")
    assert len(heard) == 24_000
    assert np.argmax(np.abs(np.fft.rfft(heard))) == 440


def samples(*values: int) -> bytes:
    return np.array(values, "<i2").tobytes()


def test_two_speakers_are_left_and_right_and_the_shorter_is_silent_then() -> None:
    assert stereo(samples(1, 2, 3), samples(-4)) == samples(1, -4, 2, 0, 3, 0)
    assert stereo(b"", samples(5)) == samples(0, 5)


def test_two_speakers_are_heard_at_once_and_clipped() -> None:
    assert mixed(samples(1, 30_000, -30_000, 7), samples(2, 30_000, -30_000)) == samples(3, 32_767, -32_768, 7)


@pytest.mark.parametrize("name", ["absent.wav", "absent.ulaw", "text.wav", "deep.wav", "empty.wav"])
def test_what_cannot_be_played_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "empty.wav").write_bytes(b"")
    write_wav(tmp_path / "deep.wav", bytes(6), width=3)
    with pytest.raises(AudioFileError, match=name):
        read_audio(tmp_path / name)


@pytest.mark.parametrize("encoding", Encoding)
def test_what_is_encoded_is_decoded_to_the_same(encoding: Encoding) -> None:
    payload = bytes(range(256)).replace(b"\x7f", b"\xff")  # mu-law has two zeros
    assert encoder(encoding)(decoder(encoding)(payload)) == payload
