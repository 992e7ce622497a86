from __future__ import annotations

import os
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.media.audio_file import BLOCK_BYTES, UnknownFormatError
from adapters.media.files import RAW_SUFFIXES, open_audio
from adapters.media.track import MediaTrack
from adapters.stream import AudioFormat, AudioFrame, Encoding
from tests.recordings import side_by_side, tone, write_encoded, write_video, write_wav
from tests.sound import prompt, speech_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

MU_LAW, SLIN = AudioFormat(Encoding.PCMU, 8_000), AudioFormat(Encoding.L16, 8_000)
PROMPTS = Path(__file__).parents[2] / "gateway" / "demo" / "prompts"


def heard(path: Path, *, raw: AudioFormat | None = None, split: bool = False) -> NDArray[np.int16]:
    """Read a file; a row for each track."""
    with closing(open_audio(path, raw=raw, split=split)) as audio:
        blocks = list(audio.blocks())
        assert all(len(each) == audio.tracks for each in blocks)
    assert all(len(block) == BLOCK_BYTES for each in blocks for block in each)
    return np.array([np.frombuffer(b"".join(track), "<i2") for track in zip(*blocks, strict=True)])


def pitch(samples: NDArray[np.int16]) -> float:
    """Find the loudest frequency in the middle of what was heard at 16 kHz."""
    middle = samples[len(samples) // 4 : -len(samples) // 4].astype(float)
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    return int(np.argmax(spectrum)) * 16_000 / len(middle)


def seconds(samples: NDArray[np.int16]) -> float:
    return len(samples[0]) / 16_000


def test_tags_that_are_no_utf_8_are_not_for_us(tmp_path: Path) -> None:
    plain = write_wav(tmp_path / "plain.wav", tone(440.0, 1.0))
    head, data = plain.read_bytes().split(b"data", 1)
    title = b"Gespr\xe4ch\0"
    tags = b"INFOINAM" + len(title).to_bytes(4, "little") + title + bytes(len(title) % 2)
    body = head[8:] + b"LIST" + len(tags).to_bytes(4, "little") + tags + b"data" + data
    tagged = tmp_path / "tagged.wav"
    tagged.write_bytes(b"RIFF" + len(body).to_bytes(4, "little") + body)
    assert np.array_equal(heard(tagged), heard(plain))


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 44_100, 48_000])
def test_a_wav_of_any_rate_is_heard_as_it_is(tmp_path: Path, rate_hz: int) -> None:
    path = write_wav(tmp_path / "a.wav", tone(440, 2.0, rate_hz), rate_hz)
    samples = heard(path)
    assert seconds(samples) == pytest.approx(2.0, abs=0.03)
    assert pitch(samples[0]) == pytest.approx(440, abs=3)
    assert np.abs(samples).max() == pytest.approx(16_000, rel=0.1)


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz"),
    [
        ("a.wav", "pcm_mulaw", 8_000),
        ("a.wav", "pcm_alaw", 8_000),
        ("a.mp3", "libmp3lame", 44_100),
        ("a.ogg", "libopus", 48_000),
        ("a.webm", "libopus", 48_000),
        ("a.m4a", "aac", 44_100),
        ("a.mp4", "aac", 44_100),
        ("a.flac", "flac", 44_100),
    ],
)
def test_channels_of_every_format_stay_apart_or_become_one(tmp_path: Path, name: str, codec: str, rate_hz: int) -> None:
    both = side_by_side(tone(440, 2.0, rate_hz), tone(1000, 2.0, rate_hz))
    path = write_encoded(tmp_path / name, codec, both, rate_hz)
    left, right = heard(path, split=True)
    assert pitch(left) == pytest.approx(440, abs=3)
    assert pitch(right) == pytest.approx(1000, abs=3)
    mixed = heard(path)
    assert seconds(mixed) == pytest.approx(2.0, abs=0.1)
    assert len(mixed) == 1
    assert 7_000 < np.abs(mixed).max() < 24_000


@pytest.mark.parametrize("channels", [3, 6, 9])
def test_no_channel_is_left_out_of_a_mix(tmp_path: Path, channels: int) -> None:
    """Such as the third speaker, where FFmpeg would take the third for a subwoofer's."""
    for speaker in range(channels):
        silent = [np.zeros(8_000, np.int16)] * channels
        rows = side_by_side(*(tone(440, 1.0) if number == speaker else row for number, row in enumerate(silent)))
        path = write_wav(tmp_path / "a.wav", rows)
        assert np.abs(heard(path)).max() == pytest.approx(16_000 / channels, rel=0.15)
        apart = heard(path, split=True)
        assert [bool(np.abs(row).max() > 1_000) for row in apart] == [number == speaker for number in range(channels)]


def test_one_channel_cannot_be_split(tmp_path: Path) -> None:
    assert len(heard(write_wav(tmp_path / "a.wav", tone(440, 1.0)), split=True)) == 1


def test_it_is_a_stream(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone(440, 60.0))
    with closing(open_audio(path)) as audio:
        assert audio.duration_seconds == pytest.approx(60.0, abs=0.1)
        assert len(list(islice(audio.blocks(), 10))) == 10


def test_a_hole_in_the_stamps_is_silence_and_what_follows_is_in_its_place(tmp_path: Path) -> None:
    path = write_encoded(tmp_path / "a.mka", "pcm_s16le", tone(440, 4.0), 8_000, hole_seconds=3.0)
    with closing(open_audio(path)) as audio:
        samples = np.frombuffer(b"".join(block for (block,) in audio.blocks()), "<i2")
        assert audio.gap_seconds == pytest.approx(3.0, abs=0.05)
    assert len(samples) / 16_000 == pytest.approx(7.0, abs=0.1)
    loud = np.abs(samples.reshape(-1, 320)).max(axis=1) > 1_000
    assert loud[:98].all()
    assert not loud[102:248].any()
    assert loud[252:348].all()


def test_the_sound_of_a_video_that_begins_late_is_in_its_place(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", sound=tone(440, 2.0), sound_after_seconds=0.4)
    with closing(open_audio(path)) as audio:
        samples = np.frombuffer(b"".join(block for (block,) in audio.blocks()), "<i2")
        assert audio.gap_seconds == 0.0, "what is not there yet is not missing"
    first = int(np.argmax(np.abs(samples) > 1_000))
    assert first / 16_000 == pytest.approx(0.4, abs=0.03)
    assert len(samples) / 16_000 == pytest.approx(2.4, abs=0.05)


def test_stamps_that_begin_anew_are_no_hole(tmp_path: Path) -> None:
    """Two recordings put together, as `cat` does it: the stamps of the second begin at zero."""
    one = write_encoded(tmp_path / "one.ogg", "libopus", tone(440, 3.0, 48_000), 48_000)
    path = tmp_path / "two.ogg"
    path.write_bytes(one.read_bytes() * 2)
    with closing(open_audio(path)) as audio:
        assert sum(1 for _ in audio.blocks()) == pytest.approx(300, abs=8)
        assert audio.gap_seconds == 0.0


def test_stamps_that_leap_for_hours_are_wrong(tmp_path: Path) -> None:
    path = write_encoded(tmp_path / "a.mka", "pcm_s16le", tone(440, 4.0), 8_000, hole_seconds=5_000.0)
    assert seconds(heard(path)) == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize("name", ["call:2024.wav", "http:call.wav", "50%d.wav", "größe ☎.wav", "-.wav"])
def test_a_name_is_a_name(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(heard(write_wav(Path(name), tone(440, 1.0)))) == 1


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.wav"))
    write_wav(tmp_path / "a.wav", tone(440, 1.0)).rename(path)
    assert len(heard(path)) == 1


def test_a_raw_file_is_heard_as_a_call_is() -> None:
    samples = heard(PROMPTS / "conf-onlyperson.ulaw")
    blocks = b"".join(speech_blocks("conf-onlyperson"))
    assert samples[0].tobytes()[: len(blocks)] == blocks
    assert seconds(samples) == pytest.approx(3.16, abs=0.021)


def test_what_a_raw_file_holds_can_be_said(tmp_path: Path) -> None:
    path = tmp_path / "recording.raw"
    path.write_bytes(prompt("conf-onlyperson"))
    said = heard(path, raw=SLIN)
    assert (said == heard(PROMPTS / "conf-onlyperson.ulaw")).all()
    twice = heard(path, raw=AudioFormat(Encoding.L16, 16_000))
    assert seconds(twice) == pytest.approx(seconds(said) / 2, abs=0.03)
    with pytest.raises(UnknownFormatError):
        open_audio(path)


@pytest.mark.parametrize(
    ("suffix", "encoding", "rate_hz"),
    [
        (".ulaw", "PCMU", 8_000),
        (".AL", "PCMA", 8_000),
        (".sln", "L16", 8_000),
        (".sln16", "L16", 16_000),
        (".sln44", "L16", 44_100),
    ],
)
def test_names_that_tell_what_a_raw_file_holds(tmp_path: Path, suffix: str, encoding: str, rate_hz: int) -> None:
    assert RAW_SUFFIXES[suffix.lower()] == AudioFormat(Encoding(encoding), rate_hz)
    path = tmp_path / f"call{suffix}"
    path.write_bytes(bytes(rate_hz * Encoding(encoding).bytes_per_sample))
    with closing(open_audio(path)) as audio:
        assert audio.duration_seconds == 1.0
        assert len(list(audio.blocks())) == 50


@given(
    st.integers(1, 40_000),
    st.sampled_from([AudioFormat(Encoding.L16, 8_000), MU_LAW, AudioFormat(Encoding.L16, 48_000)]),
)
def test_raw_audio_of_any_length_is_whole(
    tmp_path_factory: pytest.TempPathFactory, size: int, form: AudioFormat
) -> None:
    path = tmp_path_factory.mktemp("raw") / "a.raw"
    path.write_bytes(os.urandom(size))
    track = MediaTrack(0.0)
    expected = [*track.push(AudioFrame("x", form, path.read_bytes()), 0.0), *track.finish()]
    with closing(open_audio(path, raw=form)) as audio:
        assert [block for (block,) in audio.blocks()] == expected
