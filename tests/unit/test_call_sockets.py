from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gateway.callers.websocket import SocketCall
from gateway.cli.call_sockets import failed, summary, understood

GOOD = SocketCall(
    messages=158,
    audio_bytes=50_560,
    texts=3,
    late_texts=0,
    binaries=0,
    ended_by_gateway=False,
    close_code=1000,
    close_reason="",
    broken=None,
)


def said(**data: Any) -> str:
    return json.dumps({"type": "transcription", "data": data})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (said(track="inbound", text="Hello."), "inbound     Hello."),
        (said(track="inbound", text="Hello.", revision=None), "inbound     Hello."),
        (said(track=None, text="a\x1b[2Jb\nc"), "            a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}c"),
        (said(track="inbound", text="Hel", revision=0), None),
        (said(track="inbound"), 'the gateway says {"type": "transcription", "data": {"track": "inbound"}}'),
        ('{"type": "transcription"}', 'the gateway says {"type": "transcription"}'),
        ('{"command": "HANGUP"}', 'the gateway says {"command": "HANGUP"}'),
        ("HANGUP", "the gateway says HANGUP"),
        ("[1]", "the gateway says [1]"),
    ],
)
def test_what_the_gateway_says_is_one_line(text: str, line: str | None) -> None:
    shown = understood(text, interims=False)
    assert shown == line or (shown is not None and shown.strip() == line)


def test_an_interim_is_shown_where_it_is_wanted() -> None:
    assert understood(said(track="inbound", text="Hel", revision=2), interims=True) == "inbound     Hel …"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "158 messages with 50560 bytes of audio sent, 3 texts received, ended by the caller"),
        ({"late_texts": 2}, "ended by the caller, 2 texts came after the end, too late for the real caller"),
        ({"binaries": 5}, "5 binary messages received, which no gateway should send"),
        ({"overruns": 1}, "audio thrown away 1 times because it could not be sent"),
        ({"ended_by_gateway": True}, "ended by the gateway with 1000; its log says why"),
        ({"ended_by_gateway": True, "close_code": None}, "ended by the gateway; its log says why"),
        ({"ended_by_gateway": True, "close_reason": "full"}, "ended by the gateway with 1000 full; its log says why"),
        ({"ended_by_gateway": True, "broken": "the gateway cut it"}, "ended by a break: the gateway cut it"),
    ],
)
def test_how_a_call_went_is_one_line(changes: dict[str, Any], expected: str) -> None:
    assert summary(msgspec.structs.replace(GOOD, **changes)).endswith(expected)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, False), ({"late_texts": 1}, False), ({"ended_by_gateway": True}, True), ({"broken": "so"}, True)],
)
def test_a_call_that_was_not_to_end_so_has_failed(changes: dict[str, Any], expected: bool) -> None:
    assert failed(msgspec.structs.replace(GOOD, **changes)) is expected
