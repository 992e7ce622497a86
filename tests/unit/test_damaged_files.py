"""Files that are not whole, not what they seem, or made by somebody who means harm."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from adapters.media.audio_file import MediaFileError, UnknownFormatError
from adapters.media.ffmpeg import PLAIN_FORMATS
from adapters.media.files import open_audio
from tests.recordings import tone, write_encoded, write_video, write_wav

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def heard_until_fault(path: Path) -> tuple[float, str]:
    """Read a file: how many seconds it gave, and why no more, or nothing."""
    blocks = 0
    with closing(open_audio(path)) as audio:
        try:
            for _ in audio.blocks():
                blocks += 1
        except MediaFileError as error:
            return blocks * 0.02, str(error)
    return blocks * 0.02, ""


def heard_whole(path: Path) -> float:
    given_seconds, fault = heard_until_fault(path)
    assert fault == ""
    return given_seconds


def cut(path: Path, part: float = 0.45) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    return path


def noise(seconds: float, rate_hz: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.random.default_rng(1).integers(-8_000, 8_000, round(rate_hz * seconds)).astype(np.int16)


def wav_of(tag: int, *, channels: int = 1, rate_hz: int = 8_000, bits: int = 16) -> bytes:
    """Write a WAV file of any form, sensible or not, with 16,000 bytes of audio."""
    align = max(1, channels * bits // 8)
    form = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * align, align, bits)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", 16_000) + b"\0\1" * 8_000
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def mp3_without_length(path: Path, bit_rate: int, seconds: float) -> bytes:
    with av.open(str(path), "w", options={"write_xing": "0", "id3v2_version": "0"}) as container:
        stream = container.add_stream("libmp3lame", rate=16_000, layout="mono")
        assert isinstance(stream, av.AudioStream)
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(noise(seconds, 16_000).reshape(1, -1), "s16p", "mono")
        frame.sample_rate = 16_000
        resampler = av.AudioResampler("s16p", "mono", 16_000, frame_size=576)
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux(stream.encode(piece))
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.wav", "pcm_s16le"),
        ("b.wav", "pcm_mulaw"),
        ("a.avi", "pcm_s16le"),
        ("a.mka", "pcm_s16le"),
        ("a.webm", "libopus"),
        ("a.mp3", "libmp3lame"),
        ("a.aiff", "pcm_s16be"),
        ("a.flac", "flac"),
        ("a.flv", "aac"),
    ],
)
def test_a_file_that_has_lost_its_end_gives_what_there_is_and_says_so(tmp_path: Path, name: str, codec: str) -> None:
    rate_hz = 8_000 if codec.startswith("pcm") else 48_000 if codec == "libopus" else 44_100
    path = write_encoded(tmp_path / name, codec, noise(10.0, rate_hz), rate_hz)
    assert heard_whole(path) == pytest.approx(10.0, abs=0.1)
    given_seconds, fault = heard_until_fault(cut(path))
    assert 3.5 < given_seconds < 5.0
    *damage, last = fault.split("; ")
    assert last.startswith(("cut short: it ends after 4.", "cut short: it ends after 3.9"))
    assert last.endswith((" of 10.0 s", " of 10.1 s"))
    assert all(each.startswith("damaged at 4.") and each.endswith(": 1 packet left out") for each in damage)
    assert bool(damage) == (codec in {"flac", "aac"}), "where the cut goes through a packet that must be whole"


def test_a_video_that_has_lost_its_end_is_told_by_its_longest_stream(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", sound=tone(440, 0.3))
    data = path.read_bytes()
    assert heard_until_fault(path)[1] == ""
    announced = data.index(b"\x44\x89\x88") + 3  # Matroska's Duration, a float of eight bytes
    path.write_bytes(data[:announced] + struct.pack(">d", 30_000.0) + data[announced + 8 :])
    assert heard_until_fault(path)[1] == "cut short: it ends after 0.3 s of 30.0 s"


def test_a_whole_matroska_that_was_written_into_a_pipe_is_whole(tmp_path: Path) -> None:
    """It has no length, and what FFmpeg makes up from the size is too long."""
    path = tmp_path / "live.mka"
    with path.open("wb") as file, av.open(_Pipe(file.write), "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=8_000, layout="mono")
        assert isinstance(stream, av.AudioStream)
        for number in range(7_500):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 160), np.int16), "s16", "mono")
            frame.sample_rate, frame.pts = 8_000, number * 160
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with closing(open_audio(path)) as audio:
        assert audio.duration_seconds is not None
        assert audio.duration_seconds > 151.0
    assert heard_whole(path) == pytest.approx(150.0)


class _Pipe:
    """What can be written and nothing else."""

    def __init__(self, write: object) -> None:
        self.write = write


def test_a_whole_mp3_whose_length_is_a_guess_is_whole(tmp_path: Path) -> None:
    """Few bits a second at first, many later: FFmpeg takes the first for all."""
    quiet = mp3_without_length(tmp_path / "quiet.mp3", 16_000, 5.0)
    path = tmp_path / "a.mp3"
    path.write_bytes(quiet + mp3_without_length(tmp_path / "loud.mp3", 128_000, 10.0))
    with closing(open_audio(path)) as audio:
        assert audio.duration_seconds is not None
        assert audio.duration_seconds > 40.0
    assert heard_whole(path) == pytest.approx(15.0, abs=0.3)


@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF, 0x7FFF_F000])
def test_a_wav_that_was_written_into_a_pipe_is_whole(tmp_path: Path, size: int) -> None:
    path = write_wav(tmp_path / "a.wav", tone(440, 5.0))
    data = path.read_bytes()
    path.write_bytes(data[:40] + struct.pack("<I", size) + data[44:])
    assert heard_until_fault(path)[1] == ""


@pytest.mark.parametrize(("name", "codec"), [("a.mp3", "libmp3lame"), ("a.m4a", "aac")])
def test_damage_in_the_middle_leaves_the_rest_in_its_place(tmp_path: Path, name: str, codec: str) -> None:
    path = write_encoded(tmp_path / name, codec, tone(440, 10.0, 44_100), 44_100)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2_000] = b"\xff" * 2_000
    path.write_bytes(data)
    given_seconds, fault = heard_until_fault(path)
    assert given_seconds == pytest.approx(10.0, abs=0.5)
    assert fault.startswith("damaged at ")
    assert fault.endswith(" left out")


def test_what_cannot_be_read_any_further_is_no_packet(tmp_path: Path) -> None:
    path = write_encoded(tmp_path / "a.wv", "wavpack", noise(10.0, 44_100), 44_100)
    unreadable, shorter = heard_until_fault(cut(path))[1].split("; ")
    assert unreadable.startswith("nothing after 4.")
    assert unreadable.endswith(" s could be read (Invalid data found when processing input)")
    assert shorter.startswith("cut short: it ends after 4.")


def test_a_stream_that_begins_in_the_middle_is_no_harm(tmp_path: Path) -> None:
    sound = write_encoded(tmp_path / "sound.ts", "mp2", tone(440, 2.0, 16_000), 16_000).read_bytes()
    video = write_video(tmp_path / "video.ts", sound=tone(440, 0.5)).read_bytes()
    path = tmp_path / "a.ts"
    path.write_bytes(sound * 8 + video + sound * 8)
    given_seconds, fault = heard_until_fault(path)
    assert given_seconds == pytest.approx(32.0, abs=0.5)
    assert fault.startswith("damaged at 16."), "the video has the same number as the sound"


def test_holes_are_silence_only_as_far_as_there_is_audio(tmp_path: Path) -> None:
    """A hundred kilobytes could be hundreds of hours otherwise."""
    path = tmp_path / "a.mka"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8_000, layout="mono")
        assert isinstance(stream, av.AudioStream)
        for number in range(30):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 160), np.int16), "s16", "mono")
            frame.sample_rate, frame.pts = 8_000, number * 8_000 * 3_500
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    given_seconds, fault = heard_until_fault(path)
    assert given_seconds == pytest.approx(3_500.6, abs=0.05)
    assert fault == "its stamps leap too often: from 3500.0 s on its times are too early"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (wav_of(0x1234), "there is no decoder for its audio"),
        (wav_of(1, bits=0), "there is no decoder for its audio"),
        (wav_of(1, channels=255), "its audio cannot be converted (Invalid argument)"),
        (wav_of(1, rate_hz=1), "no speech can be in it: its sample rate is 1 Hz"),
    ],
    ids=["no such encoding", "no bits", "255 channels", "1 Hz"],
)
def test_audio_that_cannot_be_had_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(MediaFileError) as fault, closing(open_audio(path)) as audio:
        list(audio.blocks())
    assert str(fault.value) == told


def test_what_is_no_audio_is_told(tmp_path: Path) -> None:
    text = tmp_path / "notes.wav"
    text.write_text("These are no samples.\n" * 100)
    empty = tmp_path / "empty.ulaw"
    empty.touch()
    with pytest.raises(UnknownFormatError, match="in no audio or video format"):
        open_audio(text)
    with pytest.raises(MediaFileError, match="there is no audio in it"):
        open_audio(write_video(tmp_path / "silent.mp4"))
    for absent in ("absent.wav", "absent.ulaw"):
        with pytest.raises(MediaFileError, match=r"^No such file or directory$"):
            open_audio(tmp_path / absent)
    with pytest.raises(MediaFileError, match=r"^Is a directory$"):
        open_audio(tmp_path)
    assert heard_until_fault(empty) == (0.0, "it is empty")


@contextmanager
def visits() -> Iterator[tuple[int, list[object]]]:
    """Listen on a port, and note who comes."""
    come: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def wait() -> None:
            with suppress(OSError):
                while True:
                    visitor, address = server.accept()
                    come.append(address)  # before it hears from us, and goes on
                    visitor.close()

        thread = threading.Thread(target=wait)
        thread.start()
        try:
            yield server.getsockname()[1], come
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_playlist_leads_to_no_other_machine(tmp_path: Path) -> None:
    path = tmp_path / "call.m3u8"
    with visits() as (port, come):
        path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n")
        with suppress(av.FFmpegError):
            av.open(str(path), options={"protocol_whitelist": "file,http,tcp"})
        assert len(come) > 0, "it would, if it were let"
        come.clear()
        with pytest.raises(UnknownFormatError):
            open_audio(path)
    assert come == []


@pytest.mark.parametrize("name", ["call.wav", "call.m3u8", "call.ffconcat", "call.sdp", "call.mpd"])
@pytest.mark.parametrize(
    "content",
    [
        "ffconcat version 1.0\nfile secret.ts\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.ts\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{folder}/secret.ts\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    ],
    ids=["concat", "hls", "hls by address", "sdp"],
)
def test_a_file_that_is_sent_has_no_other_file_read(tmp_path: Path, name: str, content: str) -> None:
    write_encoded(tmp_path / "secret.ts", "mp2", tone(440, 2.0, 16_000), 16_000)
    path = tmp_path / name
    path.write_text(content.format(folder=tmp_path))
    with pytest.raises(UnknownFormatError):
        open_audio(path)


def test_no_format_that_leads_elsewhere_is_plain() -> None:
    leading = {"concat", "hls", "dash", "sdp", "imf", "image2", "lavfi", "rtsp", "rtp", "vobsub", "webm_dash_manifest"}
    assert not leading & set(PLAIN_FORMATS.split(","))
