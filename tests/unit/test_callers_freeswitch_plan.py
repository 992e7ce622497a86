from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.callers.freeswitch_plan import (
    LWS_PRE,
    End,
    ForkPlan,
    Module,
    ModuleBuffer,
    fork_upgrade,
    steps,
    stream_upgrade,
    with_format,
)
from gateway.callers.plan import At
from gateway.callers.upgrade import Credentials, parse_url
from tests import freeswitch_captures as captures
from tests.sound import prompt

SPEECH = prompt("conf-onlyperson")


def packets(pcm: bytes, plan: ForkPlan) -> list[tuple[float, bytes]]:
    return [(step.at, step.what) for step in steps(pcm, plan) if isinstance(step.what, bytes)]


@given(
    st.integers(0, 4000),
    st.sampled_from([20, 30, 40]),
    st.sampled_from([8_000, 16_000, 48_000]),
    st.sampled_from([1, 2]),
    st.floats(0, 2),
)
def test_a_plain_call_is_the_audio_and_then_silence(
    samples: int, packet_ms: int, rate_hz: int, channels: int, linger: float
) -> None:
    pcm = SPEECH[: 2 * channels * samples]
    plan = ForkPlan(packet_ms=packet_ms, rate_hz=rate_hz, channels=channels, linger=linger)
    found = packets(pcm, plan)
    sent = b"".join(payload for _, payload in found)
    assert sent[: len(pcm)] == pcm
    assert not any(sent[len(pcm) :])
    assert {len(payload) for _, payload in found} <= {rate_hz // 1000 * packet_ms * channels * 2}
    assert [at for at, _ in found] == pytest.approx([0.02 + n * packet_ms / 1000 for n in range(len(found))])
    assert all(at < plan.ends_at(pcm) for at, _ in found)
    assert plan.ends_at(pcm) - 0.02 == pytest.approx(len(pcm) / (2 * channels * rate_hz) + linger, abs=1e-6)


@pytest.mark.parametrize(
    ("rate_hz", "channels", "packet_ms", "size"),
    [  # seen of mod_audio_fork on FreeSWITCH 1.11
        (8_000, 1, 20, 320),
        (8_000, 2, 20, 640),
        (16_000, 2, 20, 1280),
        (24_000, 1, 20, 960),
        (48_000, 1, 20, 1920),
        (8_000, 1, 30, 480),
    ],
)
def test_a_packet_is_as_long_as_freeswitchs(rate_hz: int, channels: int, packet_ms: int, size: int) -> None:
    assert ForkPlan(rate_hz=rate_hz, channels=channels, packet_ms=packet_ms).packet_bytes == size


def test_what_is_said_in_a_pause_is_lost_and_what_is_said_later_comes_in_its_time() -> None:
    whole, plan = packets(SPEECH, ForkPlan()), ForkPlan(pauses=(At(0.5, "0.3"), At(1.5, "1")))
    heard = packets(SPEECH, plan)
    assert [each for each in whole if each not in heard] == [
        (at, payload) for at, payload in whole if 0.5 <= at < 0.8 or 1.5 <= at < 2.5
    ]
    assert set(heard) < set(whole)


def test_a_text_comes_at_its_time_among_the_packets() -> None:
    plan = ForkPlan(texts=(At(0.5, "b"), At(0.1, "a"), At(9.0, "too late"), At(0.5, "c")))
    found = list(steps(SPEECH, plan))
    assert [(step.at, step.what) for step in found if isinstance(step.what, str)] == [
        (0.1, "a"),
        (0.5, "b"),
        (0.5, "c"),
    ]
    assert [step.at for step in found] == sorted(step.at for step in found)


def test_a_call_ends_when_it_is_hung_up_and_speaks_until_then() -> None:
    early, late = ForkPlan(hang_up_at=1.0), ForkPlan(hang_up_at=100.0)
    assert early.ends_at(SPEECH) == 1.0
    assert packets(SPEECH, early)[-1][0] == pytest.approx(0.98)
    at, silence = packets(SPEECH, late)[-1]
    assert at == pytest.approx(99.98)
    assert silence == bytes(320)


def test_audio_is_made_when_it_is_asked_for() -> None:
    endless = steps(SPEECH, ForkPlan(hang_up_at=float("inf")))
    assert len(list(itertools.islice(endless, 10_000))) == 10_000


@pytest.mark.parametrize(
    ("plan", "wrong"),
    [({"module": Module.STREAM, "end": End.GRACEFUL}, "no graceful-shutdown"), ({"last_text": "bye"}, "only stop")],
)
def test_what_the_modules_cannot_do_is_refused(plan: dict[str, object], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        ForkPlan(**plan)  # type: ignore[arg-type]


@given(st.lists(st.booleans(), max_size=120))
def test_a_buffer_gives_what_it_took_once_and_in_order(takes: list[bool]) -> None:
    buffer, given_, taken = ModuleBuffer(ForkPlan()), b"", b""
    for number, takes_now in enumerate([*takes[:99], True]):
        packet = bytes([number]) * 320
        buffer.push(packet)
        given_ += packet
        if takes_now:
            taken += buffer.take()
    assert (taken, buffer.take(), buffer.overruns) == (given_, b"", 0)


def test_a_full_buffer_is_emptied_and_forgets_its_first_bytes() -> None:
    """An upgrade answered after 2.5 s left 8304 bytes of 126 packets (seen of mod_audio_fork on FreeSWITCH 1.11)."""
    buffer = ModuleBuffer(ForkPlan())
    spoken = [bytes([number]) * 320 for number in range(126)]
    for packet in spoken:
        buffer.push(packet)
    left = buffer.take()
    assert len(left) == 8304
    assert left == b"".join(spoken[100:])[LWS_PRE:]
    assert buffer.overruns == 1
    buffer.push(spoken[0])
    assert buffer.take() == spoken[0]


def test_the_buffer_holds_as_many_seconds_as_it_is_told() -> None:
    buffer = ModuleBuffer(ForkPlan(rate_hz=48_000, channels=2, buffer_seconds=5))
    for _ in range(250):
        buffer.push(bytes(3840))
    assert (len(buffer.take()), buffer.overruns) == (960_000, 0)


def test_credentials_and_headers_are_spelled_as_the_modules_do() -> None:
    target, credentials = parse_url("ws://gw:8080/x"), Credentials("u", "p")
    fork = fork_upgrade(target, "KEY", credentials=credentials).request.decode()
    assert fork.endswith("\r\nauthorization: Basic dTpw\r\n\r\n")
    assert "authorization" not in fork_upgrade(target, "KEY").request.decode().lower()
    stream = stream_upgrade(target, "KEY", credentials=credentials, headers={"X-Tenant": "7"}).request.decode()
    assert stream.endswith("\r\nOrigin:http://gw:8080\r\nAuthorization:Basic dTpw\r\nX-Tenant:7\r\n\r\n")
    assert stream_upgrade(target, "KEY").request.decode().endswith("\r\nOrigin:http://gw:8080\r\n\r\n")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ws://gw/x", "ws://gw/x?rate=16000&channels=2"),
        ("ws://gw/x?call=1", "ws://gw/x?call=1&rate=16000&channels=2"),
        ("ws://gw/x?rate=8000", "ws://gw/x?rate=8000&channels=2"),
        ("ws://gw/x?channels=1&rate=", "ws://gw/x?channels=1&rate="),
    ],
)
def test_a_url_tells_the_format_unless_it_does_already(url: str, expected: str) -> None:
    assert with_format(url, ForkPlan(rate_hz=16_000, channels=2)) == expected


@pytest.mark.parametrize("name", captures.NAMES)
def test_the_cadence_is_that_of_freeswitch(name: str) -> None:
    """Its packets come when they are planned, or late where the machine was busy, and hardly ever are."""
    told = captures.session(name)
    wanted = captures.replay(told)
    planned = [at for at, _ in packets(wanted.pcm, wanted.plan) if at > told.answered_at]
    late = [seen - due for (seen, _), due in zip(told.audio, planned, strict=True)]
    assert all(seconds > -0.003 for seconds in late)
    assert sum(seconds < 0.005 for seconds in late) >= 0.85 * len(late)
