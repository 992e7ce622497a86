from __future__ import annotations

import json
import random

import pytest

from gateway.callers.asterisk_websocket_plan import (
    CODECS,
    Dialect,
    Direction,
    Leg,
    Reaction,
    key_of,
    mask_key_of,
    react,
    upgrade,
)
from gateway.callers.plan import At, CallPlan, Step, steps
from gateway.callers.upgrade import Credentials, parse_url
from tests import asterisk_websocket_captures as captures
from tests.sound import prompt

SPEECH = prompt("conf-onlyperson")
JSON = Leg(channel_id="17.5")
PLAIN = Leg(channel_id="17.5", dialect=Dialect.PLAIN)
BOTH, IN, OUT = Direction


def refused(name: str) -> dict[str, str]:
    return {
        "event": "ERROR",
        "channel_id": "17.5",
        "error_text": f"{name} not supported while media direction is 'in'",
    }


@pytest.mark.parametrize(
    ("name", "rate_hz", "size"),
    [("ulaw", 8_000, 160), ("alaw", 8_000, 160), ("slin", 8_000, 320), ("slin16", 16_000, 640)],
)
def test_a_codec_makes_packets_as_asterisk_does(name: str, rate_hz: int, size: int) -> None:
    codec = CODECS[name]
    assert (codec.rate_hz, codec.packet_bytes(20)) == (rate_hz, size)
    assert len(codec.encode(bytes(rate_hz * 2 // 50))) == size


def test_silence_is_silence_in_every_codec() -> None:
    assert CODECS["ulaw"].encode(bytes(4)) == b"\xff\xff"
    assert CODECS["alaw"].encode(bytes(4)) == b"\xd5\xd5"
    assert CODECS["slin12"].encode(bytes(4)) == bytes(4)


def test_the_first_message_tells_of_the_leg() -> None:
    leg = Leg(channel_id="17.5", format="slin16", direction=IN, variables=(("GW_CALL", "7"), ("__FROM", "Jäne Doe")))
    assert json.loads(leg.media_start()) == {
        "event": "MEDIA_START",
        "connection_id": "gw",
        "channel": "WebSocket/gw/0x7fb90c004be0",
        "channel_id": "17.5",
        "format": "slin16",
        "optimal_frame_size": 640,
        "ptime": 20,
        "channel_variables": {
            "DIALEDPEERNUMBER": "gw/c(slin16)f(json)d(in)",
            "MEDIA_WEBSOCKET_CONNECTION_ID": "gw",
            "MEDIA_WEBSOCKET_OPTIMAL_FRAME_SIZE": "640",
            "GW_CALL": "7",
            "__FROM": "Jäne Doe",
        },
    }


def test_plain_text_tells_the_same_without_variables() -> None:
    leg = Leg(channel_id="17.5", dialect=Dialect.PLAIN, variables=(("GW_CALL", "7"),))
    assert leg.media_start() == (
        "MEDIA_START connection_id:gw channel:WebSocket/gw/0x7fb90c004be0 channel_id:17.5 format:ulaw"
        " optimal_frame_size:160 ptime:20"
    )


def test_a_key_is_told_in_either_dialect() -> None:
    assert JSON.dtmf_end("#") == '{"event":"DTMF_END","channel_id":"17.5","digit":"#"}'
    assert PLAIN.dtmf_end("#") == "DTMF_END digit:# channel_id:17.5"


@pytest.mark.parametrize(
    ("text", "leg", "direction", "expected"),
    [
        ("HANGUP", PLAIN, BOTH, Reaction(hangs_up=True)),
        (" HANGUP now\n", PLAIN, BOTH, Reaction(hangs_up=True)),
        ("hangup", PLAIN, BOTH, Reaction()),
        ('{"command":"HANGUP"}', JSON, BOTH, Reaction(hangs_up=True)),
        ('{"command":"HANGUP"}', PLAIN, BOTH, Reaction()),
        ('{"command":"SET_MEDIA_DIRECTION","direction":"out"}', JSON, IN, Reaction(direction=OUT)),
        ('{"command":"SET_MEDIA_DIRECTION","direction":"up"}', JSON, IN, Reaction()),
        ('{"command":"SET_MEDIA_DIRECTION"}', JSON, IN, Reaction()),
        ('{"command":"MARK_MEDIA"}', JSON, BOTH, Reaction()),
        ('{"command":"MARK_MEDIA"}', JSON, IN, Reaction(answer=JSON.error(refused("MARK_MEDIA")["error_text"]))),
        ("FLUSH_MEDIA", PLAIN, IN, Reaction(answer=PLAIN.error(refused("FLUSH_MEDIA")["error_text"]))),
        ("HANGUP", JSON, BOTH, Reaction(answer=JSON.error("Unable to parse JSON command"))),
        ("[1]", JSON, BOTH, Reaction()),
        ('{"type":"transcription","data":{}}', JSON, BOTH, Reaction()),
        ('{"command":"HANGUP"' + " " * 108 + "}", JSON, BOTH, Reaction(hangs_up=True)),
        ('{"command":"HANGUP"' + " " * 109 + "}", JSON, BOTH, Reaction()),
        ("", JSON, BOTH, Reaction()),
    ],
)
def test_a_text_does_what_it_does_to_asterisk(text: str, leg: Leg, direction: Direction, expected: Reaction) -> None:
    assert react(text, leg, direction) == expected


def test_an_error_is_told_in_either_dialect() -> None:
    assert json.loads(JSON.error(refused("MARK_MEDIA")["error_text"])) == refused("MARK_MEDIA")
    assert PLAIN.error("no") == "ERROR channel_id:17.5 error_text:no"


def test_credentials_come_before_the_subprotocol() -> None:
    request = upgrade(parse_url("ws://gw:8080/x"), "KEY", credentials=Credentials("u", "p")).request.decode()
    assert "\r\nHost: gw:8080\r\nAuthorization: Basic dTpw\r\nSec-WebSocket-Protocol: media\r\n" in request
    assert "Authorization" not in upgrade(parse_url("ws://gw/x"), "KEY").request.decode()


def test_chance_has_31_bits_as_in_asterisk() -> None:
    draw = random.Random(7).randbytes
    assert all(key_of(draw).endswith("AAAAAA==") for _ in range(50))
    assert len({key_of(draw) for _ in range(50)}) == 50
    assert {mask_key_of(draw)[3] >> 7 for _ in range(200)} == {0}
    recorded = [key for name in captures.NAMES for key in captures.session(name).mask_keys]
    assert {key[3] >> 7 for key in recorded} == {0}


def test_a_key_leaves_a_hole_and_holds_stop_the_packets() -> None:
    plan = CallPlan(digits=(At(0.5, "5"),), holds=(At(1.0, "2"),), hang_up_at=4.0)
    found = list(steps(CODECS["ulaw"].encode(SPEECH), 160, plan))
    keys = [step for step in found if isinstance(step.what, At)]
    times = [step.at for step in found if isinstance(step.what, bytes)]
    assert keys == [Step(0.7, At(0.5, "5"))]
    assert not [at for at in times if 0.5 <= at < 0.69 or 1.0 <= at < 2.99]
    assert max(times) < 4.0


@pytest.mark.parametrize("name", [name for name in captures.NAMES if captures.session(name).frames])
def test_the_cadence_is_that_of_asterisk(name: str) -> None:
    """Its packets come when they are planned, or late where the machine was busy, and hardly ever are."""
    told = captures.session(name)
    wanted = captures.replay(told)
    heard = [payload for _, payload in told.audio]
    planned = [step.at for step in steps(wanted.payload, 160, wanted.plan) if step.what in heard]
    late = [seen - due for (seen, _), due in zip(told.audio, planned, strict=True)]
    assert all(seconds > -0.003 for seconds in late)
    assert sum(seconds < 0.005 for seconds in late) >= 0.85 * len(late)
