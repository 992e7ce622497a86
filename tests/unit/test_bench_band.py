from __future__ import annotations

import audioop
import gzip
import wave
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.media.resample import OUTPUT_RATE_HZ
from bench.band import main
from bench.band_figures import paired_difference, rate
from bench.band_loss import FADED_SAMPLES, FULL_SAMPLES, conceal, lose
from bench.band_prompts import (
    FRAME_BYTES,
    BandError,
    frames,
    mu_law_of,
    narrowed,
    parse_texts,
    read_prompts,
    read_texts,
    received,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FRAME_16_KHZ = OUTPUT_RATE_HZ // 50 * 2
TEXTS = """; Core sounds

agent-pass: Please enter your password followed by the pound key.
one: Yes, please.
conf-161: Please press 1 to mute.
tone: [this is a tone]
who: Mr. & Mrs. <name> are here
digits/and: Colons: are not read out
spelled: M-I-S-D-N is here, isn't it?
no colon at all
"""


def tone(hz: float, seconds: float, rate_hz: int = 8_000) -> NDArray[np.float64]:
    return np.asarray(8_000 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz))


def samples(payload: bytes) -> NDArray[np.float64]:
    return np.frombuffer(audioop.ulaw2lin(payload, 2), "<i2").astype(np.float64)


def loudness(pcm: bytes) -> float:
    return float(np.abs(np.frombuffer(pcm, "<i2").astype(np.float64)).mean())


def test_only_what_can_be_scored_is_read() -> None:
    assert list(parse_texts(TEXTS.splitlines())) == [
        ("agent-pass", "Please enter your password followed by the pound key."),
        ("digits/and", "Colons: are not read out"),
        ("spelled", "M-I-S-D-N is here, isn't it?"),
    ]


def test_texts_may_be_packed(tmp_path: Path) -> None:
    plain, packed = tmp_path / "texts.txt", tmp_path / "texts.txt.gz"
    plain.write_text(TEXTS)
    packed.write_bytes(gzip.compress(TEXTS.encode()))
    assert read_texts(plain) == read_texts(packed) == list(parse_texts(TEXTS.splitlines()))
    (tmp_path / "broken.gz").write_bytes(b"no archive")
    for wrong in ("broken.gz", "nowhere.txt"):
        with pytest.raises(BandError, match="Debian's asterisk-core-sounds-en"):
            read_texts(tmp_path / wrong)


def make_sounds(directory: Path, name: str = "agent-pass", rate_hz: int = 8_000) -> None:
    with wave.open(str(directory / f"{name}.wav"), "wb") as file:
        file.setparams((1, 2, rate_hz, 0, "NONE", ""))
        file.writeframes(tone(400, 1.0).astype("<i2").tobytes())
    (directory / f"{name}.g722").write_bytes(bytes(8_000))  # 64 kbit/s: one second of whatever that is


def test_a_prompt_is_read_in_both_bands(tmp_path: Path) -> None:
    make_sounds(tmp_path)
    (tmp_path / "texts.txt").write_text(TEXTS)
    (prompt,) = read_prompts(tmp_path, tmp_path / "texts.txt")
    assert prompt.name == "agent-pass"
    assert len(prompt.mu_law) == 8_000
    assert len(prompt.audio) == pytest.approx(2 * OUTPUT_RATE_HZ, abs=2 * FRAME_16_KHZ)


@pytest.mark.parametrize(("make", "told"), [(False, "asterisk-core-sounds-en-g722"), (True, "16-bit mono at 8 kHz")])
def test_material_that_is_not_there_is_one_line(tmp_path: Path, make: bool, told: str) -> None:
    if make:
        make_sounds(tmp_path, rate_hz=16_000)
    (tmp_path / "texts.txt").write_text(TEXTS)
    with pytest.raises(BandError, match=told):
        read_prompts(tmp_path, tmp_path / "texts.txt")
    result = CliRunner().invoke(
        main,
        ["--sounds", str(tmp_path), "--texts", str(tmp_path / "texts.txt")],
        env={"OPENBLAS_NUM_THREADS": "1"},  # begun anew otherwise
    )
    assert (result.exit_code, result.output.count("\n")) == (2, 1)
    assert told in result.output


def test_the_band_is_narrowed_without_a_change_of_length_or_loudness() -> None:
    low, high = tone(1_000, 0.5, 16_000), tone(6_000, 0.5, 16_000)
    narrow = narrowed(low.astype("<i2").tobytes())
    assert len(narrow) == 4_000
    assert np.abs(samples(narrow)[500:3500]).mean() == pytest.approx(np.abs(low).mean(), rel=0.05)
    assert np.abs(samples(mu_law_of(high, 16_000))[500:3500]).mean() < 100  # there is no room for it


@given(st.integers(0, 5 * FRAME_BYTES))
def test_packets_hold_20_ms(size: int) -> None:
    data = bytes(range(256)) * 4
    packets = frames(data[:size])
    assert b"".join(packets) == data[:size]
    assert all(len(packet) == FRAME_BYTES for packet in packets[:-1])


def test_a_lost_packet_is_silence_of_its_length_or_closes_up() -> None:
    packets: list[bytes | None] = [*frames(mu_law_of(tone(400, 0.2), 8_000))]
    whole = received(packets)
    assert len(whole) == 10 * FRAME_16_KHZ
    packets[4] = packets[5] = packets[8] = None
    silent, closed = received(packets), received(packets, stamped=False)
    assert len(silent) == len(whole)
    assert len(closed) == 7 * FRAME_16_KHZ
    loud = [loudness(silent[at : at + FRAME_16_KHZ]) > 1_000 for at in range(0, len(silent), FRAME_16_KHZ)]
    assert loud == [True] * 4 + [False] * 2 + [True] * 2 + [False] + [True]
    assert silent[: 4 * FRAME_16_KHZ] == whole[: 4 * FRAME_16_KHZ]


@given(st.integers(0, 400), st.floats(0.0, 0.3), st.integers(1, 5), st.integers(0, 99))
def test_losses_are_as_many_as_packets_and_the_same_by_the_same_seed(
    count: int, wanted: float, burst: int, seed: int
) -> None:
    first, again = (lose(count, wanted, burst, np.random.default_rng(seed)) for _ in range(2))
    assert first == again
    assert len(first) == count
    if wanted == 0:
        assert not any(first)


@pytest.mark.parametrize("burst", [1, 3])
def test_of_all_packets_so_many_are_lost_and_bursts_are_whole(burst: int) -> None:
    lost = lose(200_000, 0.2, burst, np.random.default_rng(1))
    assert sum(lost) / len(lost) == pytest.approx(0.2, abs=0.005)
    runs = [len(run) for run in "".join("x" if each else " " for each in lost).split()]
    assert all(run % burst == 0 for run in runs[:-1])
    assert min(runs[:-1]) == burst


def test_a_hole_in_a_steady_voice_is_hardly_to_be_heard() -> None:
    voice = mu_law_of(tone(100, 0.4), 8_000)  # a period of 80 samples
    packets: list[bytes | None] = [*frames(voice)]
    packets[10] = None
    filled = conceal(packets)
    assert [filled[at] == packets[at] for at in range(20)] == [at != 10 for at in range(20)]
    made, true = samples(filled[10]), samples(voice[10 * FRAME_BYTES : 11 * FRAME_BYTES])
    assert np.abs(made - true)[:FULL_SAMPLES].max() < 600  # of 8,000, by mu-law's coarse steps
    assert np.corrcoef(made, true)[0, 1] > 0.99


def test_the_period_is_found_in_a_voice_that_dies_away() -> None:
    voice = tone(100, 0.4) * np.exp(-np.arange(3_200) / 200)
    packets: list[bytes | None] = [*frames(mu_law_of(voice, 8_000))]
    packets[4] = None
    made = samples(conceal(packets)[4])
    assert np.corrcoef(made, tone(100, 0.02))[0, 1] > 0.9


def test_what_fills_a_long_hole_fades_to_silence() -> None:
    packets: list[bytes | None] = [*frames(mu_law_of(tone(100, 0.4), 8_000))]
    packets[10:16] = [None] * 6
    loud = [np.abs(samples(packet)).mean() for packet in conceal(packets)[10:16]]
    assert loud == sorted(loud, reverse=True)
    assert loud[FADED_SAMPLES // FRAME_BYTES :] == [0.0] * 3
    assert loud[2] > 0


def test_a_hole_before_anything_was_heard_is_silence() -> None:
    packets = [None, None, *frames(mu_law_of(tone(100, 0.1), 8_000))]
    filled = conceal(packets)
    assert np.abs(samples(b"".join(filled[:2]))).max() == 0
    assert conceal([None]) == [b""]


def test_the_error_rate_is_of_all_words() -> None:
    assert rate([1, 0, 2], [4, 4, 4]) == pytest.approx(25.0)


def test_a_difference_that_every_prompt_has_is_certain() -> None:
    same = paired_difference([1, 1, 1], [0, 0, 0], [10, 10, 10], seed=1)
    assert (same.points, same.low, same.high) == (10.0, 10.0, 10.0)
    assert same.holds(10.0) == (True, True)
    assert same.holds(9.9) == (False, False)


def test_a_difference_of_a_few_prompts_is_not() -> None:
    wide = paired_difference([0] * 99 + [5], [0] * 100, [10] * 100, seed=1)
    assert wide.points == 0.5
    assert wide.low == 0.0
    assert 0.5 < wide.high < 3.0
    assert wide.holds(1.0) == (True, False)
    assert paired_difference([0] * 99 + [5], [0] * 100, [10] * 100, seed=1) == wide


@settings(deadline=None)  # ten thousand draws of each, on a busy machine
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 9)), min_size=1, max_size=30))
def test_the_interval_lies_about_the_estimate_and_turns_with_it(rows: list[tuple[int, int, int]]) -> None:
    more, less, said = zip(*rows, strict=True)
    one, other = paired_difference(more, less, said, seed=3), paired_difference(less, more, said, seed=3)
    assert one.low <= one.high
    assert (one.points, one.low, one.high) == pytest.approx((-other.points, -other.high, -other.low), abs=0.002)
