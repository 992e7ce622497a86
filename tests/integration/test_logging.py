"""What the gateway says of itself while calls go through it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from adapters.asterisk.audiosocket import Kind, encode
from tests.fakes import FakeEngine
from tests.gateway_under_test import WHSEC, house
from tests.sound import prompt

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path

SPEECH = prompt("conf-onlyperson")
PAUSE = bytes(16 * 900)
WORDS = "my card number is four two"

OF_NO_CALL = {
    "listening",
    "ready",
    "old events forgotten",
    "draining: no new calls; a second signal ends those in progress",
    "ending all calls",
    "stopped",
    "stream refused",
}
"""What the gateway says of itself."""


async def say_everything(tmp_path: Path, **changes: Any) -> list[MutableMapping[str, Any]]:
    """Let a call have words, keys, a failure, a broken wire and a failed delivery; give every line of the log."""
    engine = FakeEngine(fails=lambda request: request.origin_sample > 3 * 16_000, text=lambda _request: WORDS)
    with capture_logs() as logs:
        async with house(tmp_path, engine=engine, **changes) as home:
            line = await home.call(SPEECH + PAUSE + SPEECH + PAUSE)
            line.write(encode(Kind.DIGIT, b"4") * 3)
            await line.writer.drain()
            await home.inbox.wait("call.digit", 3)
            line.write(encode(0x7F, b"") * 3_000)
            await line.rest()
            await home.inbox.wait("call.ended")
            await line.hang_up()
    return logs


def flat(value: object) -> str:
    return repr(value)


async def test_neither_words_nor_keys_nor_secrets_stand_in_the_log(tmp_path: Path) -> None:
    logs = await say_everything(tmp_path)
    assert {"final", "utterance not decoded", "stream ended by an error", "delivered"} <= {
        line["event"] for line in logs
    }
    told = flat(logs)
    assert WORDS not in told
    assert WHSEC not in told
    assert not re.search(r"digit'?[:=] ?'?4", told)


@pytest.mark.parametrize(("setting", "expected"), [("true", True), ("false", False)])
async def test_words_stand_in_the_log_when_a_setting_says_so(tmp_path: Path, setting: str, expected: bool) -> None:
    logs = await say_everything(tmp_path, LOG__TRANSCRIPTS=setting)
    assert any(line.get("text") == WORDS for line in logs) is expected


async def test_every_line_of_a_call_carries_its_call_id(tmp_path: Path) -> None:
    logs = await say_everything(tmp_path)
    of_calls = [line for line in logs if line["event"] not in OF_NO_CALL]
    assert len(of_calls) > 10
    ids = {line.get("call_id") for line in of_calls}
    assert len(ids) == 1, [line for line in of_calls if not line.get("call_id")]


async def test_the_chain_of_a_track_is_told_once(tmp_path: Path) -> None:
    logs = await say_everything(tmp_path)
    (line,) = [line for line in logs if line["event"] == "track heard"]
    assert line["chain"] == ("audiosocket L16 8000 -> timeline -> 16000 -> 20 ms -> webrtcvad(2) -> utterances")


async def test_a_call_tells_its_story_in_order(tmp_path: Path) -> None:
    logs = await say_everything(tmp_path)
    story = [line["event"] for line in logs if line.get("logger") is None and line["event"].startswith("call ")]
    assert story == ["call started", "call ended"]
    (ended,) = [line for line in logs if line["event"] == "call ended"]
    assert (ended["reason"], ended["failed"]) == ("protocol_error", 1)
