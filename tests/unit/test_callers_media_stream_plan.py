from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.stream import AudioFormat, Encoding
from gateway.callers.encoders import encoder
from gateway.callers.media_stream_plan import (
    FORMATS,
    PACKETS_MS,
    TRACKS,
    Dialect,
    Key,
    Media,
    Shape,
    Step,
    StreamPlan,
    pick_format,
    steps,
)
from gateway.callers.plan import At
from tests.sound import prompt

SPEECH = prompt("conf-onlyperson")
ULAW = encoder(Encoding.PCMU)(SPEECH)
SOME_FORMAT = st.sampled_from([(dialect, format_) for dialect in Dialect for format_ in FORMATS[dialect]])


def packets(found: list[Step], track: str = "inbound") -> list[tuple[float, Media]]:
    return [(step.at, step.what) for step in found if isinstance(step.what, Media) and step.what.track == track]


@given(SOME_FORMAT, st.integers(0, 4000), st.floats(0, 1), st.floats(0, 2), st.sampled_from([20, 60, 100]))
def test_a_stream_is_the_audio_and_then_silence(
    made: tuple[Dialect, AudioFormat], samples: int, begin: float, linger: float, packet_ms: int
) -> None:
    dialect, format_ = made
    plan = StreamPlan(dialect=dialect, format=format_, begin=begin, linger=linger, packet_ms=packet_ms, epoch_ms=10**12)
    payload = plan.encode(SPEECH[: 2 * samples])
    found = packets(list(steps([payload], plan)))
    sent = b"".join(media.payload for _, media in found)
    assert sent[: len(payload)] == payload
    assert not any(encoded for encoded in sent[len(payload) :].replace(plan.encode(bytes(2)), b""))
    assert {len(media.payload) for _, media in found} <= {plan.packet_bytes}
    assert [at for at, _ in found] == pytest.approx([begin + n * packet_ms / 1000 for n in range(len(found))], abs=1e-5)
    assert [media.stamp_ms for _, media in found] == [plan.first_ms + n * packet_ms for n in range(len(found))]
    ends_at = plan.ends_at([payload])
    assert ends_at == pytest.approx(begin + format_.seconds(payload) + linger, abs=1e-5)
    assert len(found) == plan.packets_until(ends_at)
    assert all(at < ends_at for at, _ in found)


@pytest.mark.parametrize(
    ("dialect", "format_", "size"),
    [
        (Dialect.TWILIO, AudioFormat(Encoding.PCMU, 8_000), 160),
        (Dialect.TELNYX, AudioFormat(Encoding.L16, 16_000), 640),
        (Dialect.SIGNALWIRE, AudioFormat(Encoding.L16, 24_000), 960),
        (Dialect.EXOTEL, AudioFormat(Encoding.L16, 8_000), 1600),
    ],
)
def test_a_packet_is_as_long_as_the_carriers(dialect: Dialect, format_: AudioFormat, size: int) -> None:
    assert StreamPlan(dialect=dialect, format=format_, packet_ms=PACKETS_MS[dialect]).packet_bytes == size


def test_l16_is_little_endian() -> None:
    plan = StreamPlan(dialect=Dialect.EXOTEL, format=AudioFormat(Encoding.L16, 8_000))
    assert plan.encode((1000).to_bytes(2, "little")) == b"\xe8\x03"


@pytest.mark.parametrize(
    ("dialect", "first_ms"),
    [
        (Dialect.TWILIO, 120),
        (Dialect.SIGNALWIRE, 120),
        (Dialect.TELNYX, 0),
        (Dialect.EXOTEL, 0),
        (Dialect.PLIVO, 1_767_322_800_120),
    ],
)
def test_timestamps_count_from_where_the_carriers_do(dialect: Dialect, first_ms: int) -> None:
    plan = StreamPlan(dialect=dialect, format=FORMATS[dialect][0], epoch_ms=1_767_322_800_000)
    assert plan.first_ms == first_ms


def test_two_tracks_take_turns_and_the_shorter_is_followed_by_silence() -> None:
    plan = StreamPlan(tracks=2, linger=0.1)
    found = list(steps([ULAW, ULAW[:160]], plan))
    assert [step.what.track for step in found if isinstance(step.what, Media)] == list(TRACKS) * (len(found) // 2)
    inbound, outbound = (packets(found, track) for track in TRACKS)
    assert [(at, media.stamp_ms) for at, media in inbound] == [(at, media.stamp_ms) for at, media in outbound]
    assert b"".join(media.payload for _, media in outbound) == ULAW[:160] + b"\xff" * 160 * (len(outbound) - 1)
    assert b"".join(media.payload for _, media in inbound)[: len(ULAW)] == ULAW


def test_a_key_comes_at_its_time_among_the_packets() -> None:
    plan = StreamPlan(keys=(At(0.5, "5"), At(0.13, "#"), At(99.0, "9")), epoch_ms=1000)
    found = list(steps([ULAW], plan))
    assert [step for step in found if isinstance(step.what, Key)] == [
        Step(0.13, Key("#", 1130)),
        Step(0.5, Key("5", 1500)),
    ]
    assert [step.at for step in found] == sorted(step.at for step in found)


def test_a_stream_ends_when_it_is_told_to_and_carries_silence_until_then() -> None:
    early, late = StreamPlan(hang_up_at=1.0), StreamPlan(hang_up_at=100.0)
    assert packets(list(steps([ULAW], early)))[-1][0] == 0.98
    at, silence = packets(list(steps([ULAW], late)))[-1]
    assert (at, silence.payload) == (99.98, b"\xff" * 160)


def test_audio_is_made_when_it_is_asked_for() -> None:
    endless = steps([ULAW], StreamPlan(hang_up_at=float("inf"), jitter_ms=50, loss=0.5))
    assert len(list(itertools.islice(endless, 10_000))) == 10_000


@given(st.floats(0, 1), st.integers(0, 99), st.integers(1, 2), st.integers(0, 100))
def test_what_is_lost_leaves_the_rest_as_it_was(loss: float, seed: int, tracks: int, jitter_ms: int) -> None:
    whole = StreamPlan(tracks=tracks)
    lossy = msgspec.structs.replace(whole, loss=loss, seed=seed)
    sounds = [ULAW[:3200]] * tracks
    all_, left = list(steps(sounds, whole)), list(steps(sounds, lossy))
    assert [step for step in all_ if step in left] == left
    numbered = list(steps(sounds, msgspec.structs.replace(lossy, lost_have_numbers=True)))
    assert [step for step in numbered if isinstance(step.what, Media) and not step.what.lost] == left
    assert len(numbered) == len(all_)
    trembling = list(steps(sounds, msgspec.structs.replace(lossy, jitter_ms=jitter_ms)))
    assert [step.what for step in trembling] == [step.what for step in left]


@pytest.mark.parametrize("loss", [0.0, 0.02, 0.3, 1.0])
def test_as_much_is_lost_as_wanted(loss: float) -> None:
    found = list(steps([b""], StreamPlan(loss=loss, linger=100.0)))
    assert 1 - len(found) / 5000 == pytest.approx(loss, abs=0.02)


def test_another_seed_loses_something_else() -> None:
    first, again, other = (list(steps([ULAW], StreamPlan(loss=0.5, seed=seed))) for seed in (1, 1, 2))
    assert first == again != other


@given(st.integers(0, 1000), st.integers(0, 99))
def test_jitter_delays_and_keeps_the_order(jitter_ms: int, seed: int) -> None:
    plan = StreamPlan(tracks=2, jitter_ms=jitter_ms, seed=seed, keys=(At(0.3, "1"),), linger=0.5)
    sounds = [ULAW[:1600]] * 2
    punctual = list(steps(sounds, msgspec.structs.replace(plan, jitter_ms=0)))
    found = list(steps(sounds, plan))
    assert [step.what for step in found] == [step.what for step in punctual]
    late = [step.at - due.at for step, due in zip(found, punctual, strict=True)]
    assert all(0 <= seconds <= jitter_ms / 1000 + 1e-9 for seconds in late)
    assert [step.at for step in found] == sorted(step.at for step in found)


def test_jitter_is_as_much_as_wanted() -> None:
    plan = StreamPlan(jitter_ms=100, linger=20.0)
    late = [step.at - (0.12 + 0.02 * number) for number, step in enumerate(steps([b""], plan))]
    assert 0.09 < max(late) <= 0.1
    assert min(late) < 0.06


@pytest.mark.parametrize(
    ("plan", "wrong"),
    [
        ({"format": AudioFormat(Encoding.L16, 8_000)}, "twilio streams are of PCMU 8000; L16 8000 is none of these"),
        ({"dialect": Dialect.EXOTEL}, "exotel streams are of L16 8000, L16 16000, L16 24000; PCMU 8000"),
        (
            {"dialect": Dialect.EXOTEL, "format": AudioFormat(Encoding.L16, 8_000), "tracks": 2},
            "exotel streams have no 2 tracks",
        ),
        ({"tracks": 3}, "no 3 tracks"),
        ({"tracks": 0}, "no 0 tracks"),
        ({"dialect": Dialect.TELNYX, "shape": Shape.MINIMAL}, "the minimal shape is one of twilio streams"),
        ({"loss": 1.1}, "a share is"),
        ({"reorder": -0.1}, "a share is"),
    ],
)
def test_what_a_carrier_cannot_do_is_refused(plan: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        StreamPlan(**plan)


def test_as_many_sounds_are_played_as_there_are_tracks() -> None:
    with pytest.raises(ValueError, match="zip"):
        list(steps([b""], StreamPlan(tracks=2)))


@pytest.mark.parametrize(
    ("dialect", "encoding", "rate_hz", "expected"),
    [
        ("twilio", None, None, AudioFormat(Encoding.PCMU, 8_000)),
        ("exotel", None, None, AudioFormat(Encoding.L16, 8_000)),
        ("telnyx", None, 16_000, AudioFormat(Encoding.L16, 16_000)),
        ("telnyx", "PCMA", None, AudioFormat(Encoding.PCMA, 8_000)),
        ("plivo", None, 8_000, AudioFormat(Encoding.PCMU, 8_000)),
        ("plivo", "L16", 8_000, AudioFormat(Encoding.L16, 8_000)),
        ("signalwire", "L16", None, AudioFormat(Encoding.L16, 16_000)),
        ("signalwire", "L16", 24_000, AudioFormat(Encoding.L16, 24_000)),
    ],
)
def test_a_format_is_picked_by_what_is_asked_for(
    dialect: str, encoding: str | None, rate_hz: int | None, expected: AudioFormat
) -> None:
    assert pick_format(Dialect(dialect), Encoding(encoding) if encoding else None, rate_hz) == expected


def test_a_format_that_a_carrier_has_not_is_refused() -> None:
    with pytest.raises(ValueError, match="signalwire streams are of PCMU 8000, L16 16000, L16 24000; L16 8000 is none"):
        pick_format(Dialect.SIGNALWIRE, Encoding.L16, 8_000)
