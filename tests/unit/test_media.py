from __future__ import annotations

import audioop
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from adapters.media.g711 import decoder
from adapters.media.reframe import Reframer
from adapters.media.resample import Resampler
from adapters.media.timeline import Timeline
from adapters.media.track import MediaTrack
from adapters.stream import AudioFormat, AudioFrame, Encoding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

RATES = [8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000]
SLIN = AudioFormat(Encoding.L16, 8_000)
PCMU = AudioFormat(Encoding.PCMU, 8_000)


def tone(rate_hz: int, frequency_hz: float, seconds: float = 1.0, level: float = 8000) -> NDArray[np.int16]:
    times = np.arange(int(rate_hz * seconds)) / rate_hz
    return np.rint(level * np.sin(2 * np.pi * frequency_hz * times)).astype(np.int16)


def resample(samples: NDArray[np.int16], rate_hz: int) -> NDArray[np.int16]:
    push = Resampler(rate_hz).push
    block = rate_hz // 50
    blocks = [samples[start : start + block].tobytes() for start in range(0, len(samples) - block + 1, block)]
    return np.frombuffer(b"".join(map(push, blocks)), np.int16)


def power_db(samples: NDArray[np.int16], frequency_hz: float) -> float:
    """Power of one frequency, 16 kHz, over the settled middle of the signal."""
    middle = samples[len(samples) // 4 : -len(samples) // 4].astype(float)
    window = signal.windows.blackmanharris(len(middle))
    spin = np.exp(-2j * np.pi * frequency_hz / 16_000 * np.arange(len(middle)))
    return float(20 * np.log10(abs(np.sum(middle * window * spin)) / np.sum(window) + 1e-9))


# G.711


@given(st.binary(max_size=400))
def test_mu_law_and_a_law_decode_to_two_bytes_a_sample_and_back(payload: bytes) -> None:
    for encoding, encode in ((Encoding.PCMU, audioop.lin2ulaw), (Encoding.PCMA, audioop.lin2alaw)):
        linear = decoder(encoding)(payload)
        assert len(linear) == 2 * len(payload)
        assert decoder(encoding)(encode(linear, 2)) == linear


def test_silence_decodes_to_silence() -> None:
    assert set(decoder(Encoding.PCMU)(b"\xff" * 160)) == {0}


def test_half_a_sample_is_dropped() -> None:
    assert decoder(Encoding.L16)(b"\x01\x02\x03") == b"\x01\x02"


# Resampling


@pytest.mark.parametrize("rate_hz", [rate_hz for rate_hz in RATES if rate_hz != 16_000])
def test_a_tone_keeps_its_pitch_and_level(rate_hz: int) -> None:
    for frequency_hz in (300.0, 1000.0, 3400.0):
        out = resample(tone(rate_hz, frequency_hz), rate_hz)
        assert len(out) == 16_000
        expected = power_db(tone(16_000, frequency_hz), frequency_hz)
        assert power_db(out, frequency_hz) == pytest.approx(expected, abs=0.5)


@pytest.mark.parametrize("frequency_hz", [300.0, 1000.0, 2000.0, 3000.0, 3400.0])
def test_images_of_8_khz_telephony_are_60_db_down(frequency_hz: float) -> None:
    out = resample(tone(8_000, frequency_hz, level=16_000), 8_000)
    assert power_db(out, frequency_hz) - power_db(out, 8_000 - frequency_hz) >= 60


@pytest.mark.parametrize("rate_hz", [24_000, 32_000, 44_100, 48_000, 96_000, 192_000])
def test_what_16_khz_cannot_hold_is_not_folded_back(rate_hz: int) -> None:
    out = resample(tone(rate_hz, 10_000.0, level=16_000), rate_hz)
    assert power_db(out, 6_000) <= power_db(tone(16_000, 6_000, level=16_000), 6_000) - 60


def test_the_delay_from_8_to_16_khz_is_under_4_ms() -> None:
    click = np.zeros(1600, np.int16)
    click[800] = 20_000
    out = resample(click, 8_000)
    assert 0 <= int(np.argmax(np.abs(out))) - 1600 < 4 * 16


@pytest.mark.parametrize("rate_hz", [8_000, 24_000, 44_100, 48_000])
def test_it_agrees_with_well_known_resamplers(rate_hz: int) -> None:
    noise = np.random.default_rng(1).normal(0, 3000, rate_hz)
    low = np.asarray(signal.firwin(401, 3_000, fs=rate_hz), float)  # the pass-band of all three
    samples = np.rint(signal.lfilter(low, np.ones(1), noise)).astype(np.int16)
    ours = resample(samples, rate_hz).astype(float)
    for theirs in (
        soxr.resample(samples.astype(float), rate_hz, 16_000),
        signal.resample_poly(samples, 16_000, rate_hz),
    ):
        delay = int(np.argmax(signal.correlate(ours, theirs[: len(ours)]))) - (len(ours) - 1)
        upsampled = signal.resample_poly(theirs, 20, 1)  # the delay is no whole number of samples
        best = min(
            float(np.std(ours[2000:12000] - upsampled[(2000 - delay) * 20 + shift : (12000 - delay) * 20 + shift : 20]))
            for shift in range(-20, 21)
        )
        assert best < 0.03 * float(np.std(ours))


def test_loud_sound_is_clipped_and_does_not_wrap_round() -> None:
    square = np.where(tone(8_000, 440.0) > 0, 32767, -32768).astype(np.int16)
    out = resample(square, 8_000).astype(int)
    assert np.max(np.abs(np.diff(out))) < 65_535
    assert out.max() == 32767


def test_a_rate_that_gives_no_whole_block_is_refused() -> None:
    with pytest.raises(ValueError, match="whole samples"):
        Resampler(11_025)


# Re-framing


@given(st.lists(st.binary(max_size=50)), st.integers(1, 20))
def test_blocks_are_the_same_bytes_in_the_same_order(pieces: list[bytes], size: int) -> None:
    reframer = Reframer(size)
    blocks = [block for piece in pieces for block in reframer.push(piece)]
    assert all(len(block) == size for block in blocks)
    rest = reframer.finish()
    whole = b"".join(pieces)
    assert (b"".join(blocks) + rest)[: len(whole)] == whole
    assert len(rest) in {0, size}
    assert reframer.finish() == b""


# Timeline


def play(timeline: Timeline, arrivals: list[float], until: float) -> list[tuple[str, float]]:
    """Let frames of 20 ms arrive, with a tick every 100 ms."""
    out = []
    pending = sorted(arrivals)
    for step in range(int(until * 10) + 1):
        now = step / 10
        while pending and pending[0] <= now:
            timeline.place(0.02, pending.pop(0))
            out.append(("audio", 0.02))
        if silence := timeline.fill(now):
            out.append(("silence", silence))
    return out


def test_a_steady_stream_is_left_alone() -> None:
    timeline = Timeline(0.0)
    assert {kind for kind, _ in play(timeline, [i / 50 for i in range(1, 501)], 10.0)} == {"audio"}
    assert timeline.position == pytest.approx(10.0)
    assert timeline.gap_seconds == 0


def test_a_hole_becomes_silence_and_is_counted() -> None:
    timeline = Timeline(0.0)
    play(timeline, [i / 50 for i in [*range(1, 51), *range(151, 201)]], 4.0)
    assert timeline.position == pytest.approx(3.8, abs=0.05)  # 200 ms are still waited for
    assert timeline.gap_seconds == pytest.approx(1.8, abs=0.05)


def test_a_stall_that_a_burst_makes_up_for_is_no_gap() -> None:
    timeline = Timeline(0.0)
    play(timeline, [*[i / 50 for i in range(1, 51)], *[2.0] * 50], 2.0)
    assert timeline.position == pytest.approx(2.7, abs=0.05)  # all audio, and the silence that passed meanwhile
    assert timeline.gap_seconds == pytest.approx(0.0, abs=0.05)


def test_after_a_late_burst_the_next_hole_gives_the_excess_back() -> None:
    timeline = Timeline(0.0)
    play(timeline, [*[i / 50 for i in range(1, 51)], *[2.0] * 50], 4.0)
    assert timeline.position == pytest.approx(3.8, abs=0.05)


@settings(max_examples=50)
@given(st.lists(st.floats(0, 20, allow_nan=False), max_size=600))
def test_any_stalls_and_bursts_keep_every_sample_and_never_fall_far_behind(arrivals: list[float]) -> None:
    timeline = Timeline(0.0)
    out = play(timeline, arrivals, 20.0)
    assert sum(kind == "audio" for kind, _ in out) == len(arrivals)
    assert timeline.position == pytest.approx(sum(seconds for _, seconds in out))
    timeline.fill(21.0)
    assert timeline.position >= 21.0 - 0.2 - 0.03
    assert 0 <= timeline.gap_seconds <= 21.0


def listen(timeline: Timeline, arrivals: list[float], until: float) -> list[float]:
    """Let frames of 20 ms arrive, nobody speak, and the clock be kept every 100 ms; tell each correction."""
    corrections = []
    pending = sorted(arrivals)
    for step in range(int(until * 10) + 1):
        now = step / 10
        while pending and pending[0] <= now:
            timeline.place(0.02, pending.pop(0))
        timeline.fill(now)
        if correction := timeline.settle(now):
            corrections.append(correction)
    return corrections


def test_small_holes_that_nothing_makes_up_for_become_silence_where_nobody_speaks() -> None:
    timeline = Timeline(0.0)
    arrivals = [i / 50 for i in range(1, 30 * 50) if i % 50 >= 7]  # 140 ms are lost of every second
    corrections = listen(timeline, arrivals, 29.9)
    assert all(correction > 0 for correction in corrections)
    assert timeline.position == pytest.approx(29.9, abs=0.35)
    assert timeline.gap_seconds == pytest.approx(30 * 0.14, abs=0.4)


def test_a_clock_that_went_ahead_is_put_back_where_nobody_speaks() -> None:
    timeline = Timeline(0.0)
    arrivals = [*[i / 50 for i in range(1, 51)], *[2.0] * 50, *[i / 50 for i in range(101, 300)]]
    corrections = listen(timeline, arrivals, 5.9)
    assert sum(corrections) == pytest.approx(-0.68, abs=0.1)
    assert timeline.position == pytest.approx(5.9, abs=0.1)
    assert timeline.gap_seconds == pytest.approx(0.0, abs=0.1)


def test_jitter_is_no_reason_to_correct_anything() -> None:
    delays = np.random.default_rng(3).exponential(0.02, 1000)
    arrivals = np.maximum.accumulate(np.arange(1, 1001) / 50 + delays)
    timeline = Timeline(0.0)
    assert listen(timeline, arrivals.tolist(), 20.0) == []


@settings(max_examples=50)
@given(st.lists(st.floats(0, 20, allow_nan=False), max_size=600))
def test_keeping_the_clock_moves_no_sample(arrivals: list[float]) -> None:
    timeline = Timeline(0.0)
    corrections = listen(timeline, arrivals, 20.0)
    assert all(round(correction / 0.02) == pytest.approx(correction / 0.02) for correction in corrections)
    assert timeline.position >= 20.0 - 1.5
    assert 0 <= timeline.gap_seconds <= 20.0


# The chain


def blocks(track: MediaTrack, form: AudioFormat, payloads: list[bytes]) -> list[bytes]:
    return [block for payload in payloads for block in track.push(AudioFrame("x", form, payload), 0.0)]


@given(st.lists(st.integers(0, 900), max_size=30))
def test_packets_of_any_length_give_the_same_audio(lengths: list[int]) -> None:
    speech = np.random.default_rng(2).integers(-9000, 9000, sum(lengths), np.int16).astype("<i2").tobytes()
    track, at = MediaTrack(0.0), 0
    out = []
    for length in lengths:
        out += blocks(track, SLIN, [speech[at : at + 2 * length]])
        at += 2 * length
    out += track.finish()
    assert all(len(block) == 640 for block in out)
    whole = blocks(MediaTrack(0.0), SLIN, [speech + bytes(-len(speech) % 320)])
    assert out == whole
    assert track.audio_ms == pytest.approx(sum(lengths) / 8, abs=0.51)


def test_mu_law_and_linear_give_the_same_audio() -> None:
    law = bytes(range(256)) * 5
    linear = audioop.ulaw2lin(law, 2)
    assert blocks(MediaTrack(0.0), PCMU, [law]) == blocks(MediaTrack(0.0), SLIN, [linear])


def test_the_format_may_change_and_nothing_is_lost() -> None:
    track = MediaTrack(0.0)
    wide = AudioFormat(Encoding.L16, 16_000)
    out = blocks(track, SLIN, [bytes(320), bytes(100)]) + blocks(track, wide, [bytes(640)])
    assert len(out) == 3  # 20 ms, what was over filled up, 20 ms
    assert track.format == wide
    assert str(track) == "L16 16000 -> timeline -> 16000 -> 20 ms"
    assert blocks(track, AudioFormat(Encoding.L16, 16_000), [bytes(640)]) == [bytes(640)]


def test_formats_that_alternate_make_no_time() -> None:
    track, wide = MediaTrack(0.0), AudioFormat(Encoding.L16, 16_000)
    out = 0
    for step in range(100):
        out += len(blocks(track, SLIN if step % 2 else wide, [bytes(20)]))
    assert list(track.fill(1.0)) == [], "what the blocks were filled up with counts as time that has passed"
    assert out == 99


def test_silence_stands_where_frames_are_missing() -> None:
    track = MediaTrack(0.0)
    assert not list(track.fill(0.1))
    before = list(track.fill(0.5))
    assert before == [bytes(640)] * 15
    assert len(blocks(track, SLIN, [bytes(320)])) == 1
    assert len(list(track.fill(2.0))) == 74
    assert track.gap_ms == pytest.approx(1780, abs=30)


def test_a_track_without_audio_says_so() -> None:
    track = MediaTrack(0.0)
    assert str(track) == "(no audio yet)"
    assert list(track.finish()) == []
    assert track.format is None


# What was said before the track began.


def spoken(track: MediaTrack, chunks_ms: Iterable[tuple[int, int]]) -> list[bytes]:
    """Play a tone in chunks, each of so many milliseconds and at its time; silence is looked for every 20 ms."""
    blocks: list[bytes] = []
    due = list(chunks_ms)
    for now_ms in range(0, max(at_ms for at_ms, _ in due) + 20, 20):
        now = 100.0 + now_ms / 1000
        while due and due[0][0] <= now_ms:
            blocks += track.push(AudioFrame("x", SLIN, struct.pack("<h", 1000) * (8 * due.pop(0)[1])), now)
        blocks += track.fill(now)
    return blocks


def is_silent(block: bytes) -> bool:
    return not any(block)


@pytest.mark.parametrize("late_ms", [500, 1_500, 2_000])
@pytest.mark.parametrize("first_ms", [0, 100])
def test_what_comes_at_once_at_the_beginning_was_said_before_it(late_ms: int, first_ms: int) -> None:
    """As FreeSWITCH has it, where it has had to wait for the connection."""
    track = MediaTrack(100.0)
    in_time = [(at_ms, 20) for at_ms in range(first_ms + 20, first_ms + 3_000, 20)]
    blocks = spoken(track, [(first_ms, late_ms), *in_time])
    assert not any(map(is_silent, blocks))
    assert track.put_back_ms == pytest.approx(late_ms - first_ms, abs=25)
    assert len(blocks) * 20 - track.put_back_ms == pytest.approx(first_ms + 3_000, abs=60), "it is in time"


@pytest.mark.parametrize("chunk_ms", [20, 40, 100, 200, 240, 500, 1_000, 2_000])
def test_who_always_sends_so_much_at_once_is_not_put_back_and_not_cut(chunk_ms: int) -> None:
    track = MediaTrack(100.0)
    blocks = spoken(track, [(at_ms, chunk_ms) for at_ms in range(0, 8_000, chunk_ms)])
    assert not any(map(is_silent, blocks))
    assert track.put_back_ms == 0


def test_a_burst_later_on_is_late_and_not_older_than_the_track() -> None:
    track = MediaTrack(100.0)
    blocks = spoken(track, [*((at_ms, 20) for at_ms in range(0, 1_000, 20)), (2_500, 1_500), (2_520, 20), (2_540, 20)])
    assert any(map(is_silent, blocks))
    assert track.put_back_ms == 0


def test_so_it_is_with_a_track_that_begins_later() -> None:
    track = MediaTrack(60.0)
    list(track.reach(100.0))
    spoken(track, [(0, 1_500), *((at_ms, 20) for at_ms in range(20, 1_000, 20))])
    assert track.put_back_ms == pytest.approx(1_500, abs=25)
