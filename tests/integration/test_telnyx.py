"""Telnyx: what it tells of its streams by webhook, whom that is taken from, and what ends by it."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import aiohttp
import pytest
from structlog.testing import capture_logs

from adapters import pump
from tests.gateway_under_test import House, house, listener
from tests.media_streams import FRAME
from tests.telnyx_signing import OTHER_KEY, PUBLIC_TEXT, sign
from tests.websocket_lines import line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.websocket_lines import WebSocketLine

SECRET = "a-token-of-twenty-four-characters"  # noqa: S105  a test's
CREDENTIALS = [{"name": "us", "secret": SECRET}]
BEARER = f"Authorization: Bearer {SECRET}"
STATUS = "/telnyx/status"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump, "LAST_WORDS_SECONDS", 0.4)
    monkeypatch.setattr(pump, "LATEST_WORDS_SECONDS", 2.0)


@asynccontextmanager
async def telnyx_home(state_dir: Path, **settings: Any) -> AsyncIterator[House]:
    """Run a gateway that knows one account of Telnyx's."""
    wanted = {"credentials": CREDENTIALS, "public_keys": [PUBLIC_TEXT]} | settings
    async with house(state_dir, TELNYX=listener(**wanted)) as home:
        yield home


def webhook(event: str, call: str | None = "v3:1", **payload: object) -> bytes:
    return json.dumps({"data": {"event_type": event, "payload": {"call_control_id": call} | payload}}).encode()


def headers(body: bytes, *, ago: int = 0) -> dict[str, str]:
    timestamp = str(int(time.time()) - ago)  # noqa: TID251  tests live in real time
    return {"telnyx-timestamp": timestamp, "telnyx-signature-ed25519": sign(body, timestamp)}


async def post(home: House, body: bytes, path: str = STATUS, shown: dict[str, str] | None = None) -> tuple[int, str]:
    """Post a webhook as Telnyx does; give the status and, where it is refused, why."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{home.http_port}{path}", data=body, headers=shown or headers(body)) as response,
    ):
        text = await response.text()
        return response.status, json.loads(text)["error"]["code"] if text else ""


def start(stream: str = "s-1", call: str = "v3:1") -> str:
    about = {"call_control_id": call, "user_id": "u-1", "media_format": {"encoding": "PCMU", "sample_rate": 8000}}
    return json.dumps({"event": "start", "sequence_number": "1", "stream_id": stream, "start": about})


def media(number: int) -> str:
    packet = {"track": "inbound", "timestamp": str(20 * number), "payload": "/" * 4 * (len(FRAME) // 3)}
    return json.dumps({"event": "media", "sequence_number": str(2 + number), "media": packet})


async def talk(stream: WebSocketLine) -> None:
    """Send audio as it is spoken, until told to stop."""
    for number in itertools.count():
        await stream.say(media(number))
        await asyncio.sleep(0.02)


async def test_a_stream_that_is_told_to_be_over_ends_and_no_other(tmp_path: Path) -> None:
    async with (
        telnyx_home(tmp_path) as home,
        line(home.http_port, "/telnyx", BEARER) as stream,
        line(home.http_port, "/telnyx", BEARER) as other,
    ):
        await stream.say(start())
        await other.say(start("s-2", "v3:2"))
        await home.inbox.wait("call.started", 2)
        assert await post(home, webhook("streaming.started", stream_id="s-1")) == (204, "")
        assert await post(home, webhook("streaming.stopped")) == (204, "")
        assert await stream.closed() == (1000, "")
        (call,) = await home.inbox.wait("call.ended")
        assert (call["source"]["call_id"], call["reason"]) == ("v3:1", "hangup")
        assert await post(home, webhook("call.hangup", "v3:2")) == (204, "")
        assert await other.closed() == (1000, "")
        await home.inbox.wait("call.ended", 2)


async def test_of_a_calls_streams_the_one_ends_that_is_named(tmp_path: Path) -> None:
    async with (
        telnyx_home(tmp_path) as home,
        line(home.http_port, "/telnyx", BEARER) as stream,
        line(home.http_port, "/telnyx", BEARER) as other,
    ):
        await stream.say(start())
        await home.inbox.wait("call.started")
        await other.say(start("s-2"))
        assert await post(home, webhook("streaming.failed", stream_id="s-1")) == (204, "")
        assert await stream.closed() == (1000, "")
        await other.say(media(0), json.dumps({"event": "stop"}))
        assert await other.closed() == (1000, "")
        (call,) = await home.inbox.wait("call.ended")
    assert sum(call["audio_ms"].values()) == 20


async def test_a_stream_goes_on_where_another_of_its_call_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "LAST_WORDS_SECONDS", 1.0)
    async with (
        telnyx_home(tmp_path) as home,
        line(home.http_port, "/telnyx", BEARER) as stream,
        line(home.http_port, "/telnyx", BEARER) as other,
    ):
        await stream.say(start())
        await home.inbox.wait("call.started")
        await other.say(start("s-2"))
        assert await post(home, webhook("streaming.started", stream_id="s-2")) == (204, "")
        # It is not told which; the two are looked at in the same moment.
        assert await post(home, webhook("streaming.stopped", stream_url="wss://calls.example.test/telnyx")) == (204, "")
        async with asyncio.TaskGroup() as group:
            talking = group.create_task(talk(other))
            assert await stream.closed() == (1000, "")
            talking.cancel()
        await other.say(json.dumps({"event": "dtmf", "dtmf": {"digit": "5"}}))
        await home.inbox.wait("call.digit")
        await other.hang_up()
        (call,) = await home.inbox.wait("call.ended")
    assert call["reason"] == "hangup"


async def test_a_call_that_is_hung_up_has_no_streams_whatever_still_comes(tmp_path: Path) -> None:
    async with (
        telnyx_home(tmp_path) as home,
        line(home.http_port, "/telnyx", BEARER) as stream,
        line(home.http_port, "/telnyx", BEARER) as other,
    ):
        await stream.say(start())
        await home.inbox.wait("call.started")
        await other.say(start("s-2"))
        assert await post(home, webhook("call.hangup")) == (204, "")
        async with asyncio.TaskGroup() as group:
            talking = group.create_task(talk(other))
            assert await stream.closed() == (1000, "")
            assert await other.closed() == (1000, "")
            talking.cancel()
        await home.inbox.wait("call.ended")


async def test_texml_tells_it_in_a_form(tmp_path: Path) -> None:
    async with telnyx_home(tmp_path) as home, line(home.http_port, "/telnyx", BEARER) as stream:
        await stream.say(start())
        await home.inbox.wait("call.started")
        form = urlencode({"StreamEvent": "stream-stopped", "StreamSid": "s-1", "CallSid": "v3:1"}).encode()
        assert await post(home, form) == (204, "")
        assert await stream.closed() == (1000, "")
        await home.inbox.wait("call.ended")


async def test_a_stream_that_could_not_be_is_told_without_what_is_secret(tmp_path: Path) -> None:
    reason = f"wss://calls.example.test/telnyx/telnyx/{SECRET} said 401 to {SECRET}: " + "x" * 300
    failed = webhook(
        "streaming.failed", stream_id="s-1", failure_reason=reason, stream_params={"stream_url": f"wss://x/{SECRET}"}
    )
    with capture_logs() as logs:
        async with telnyx_home(tmp_path) as home:
            assert await post(home, failed) == (204, "")
    (warning,) = [each for each in logs if each["log_level"] == "warning" and "Telnyx" in each["event"]]
    assert (warning["listener"], warning["call"], warning["stream_id"]) == ("telnyx", "v3:1", "s-1")
    assert warning["error"].startswith("wss://... said 401 to ")
    assert len(warning["error"]) == 200
    assert SECRET not in str(logs)


@pytest.mark.parametrize(
    "body", [webhook("call.bridged"), webhook("x" * 300), b"{}", b"[1]", b"", b"\xff", b"a=1&" * 600]
)
async def test_what_means_nothing_is_taken_all_the_same(tmp_path: Path, body: bytes) -> None:
    async with telnyx_home(tmp_path) as home:
        assert await post(home, body) == (204, "")


async def test_what_is_not_signed_now_and_by_the_account_is_refused(tmp_path: Path) -> None:
    body = webhook("streaming.stopped")
    fresh = headers(body)
    false = fresh | {"telnyx-signature-ed25519": sign(body, fresh["telnyx-timestamp"], OTHER_KEY)}
    with capture_logs() as logs:
        async with telnyx_home(tmp_path) as home, line(home.http_port, "/telnyx", BEARER) as stream:
            await stream.say(start())
            await home.inbox.wait("call.started")
            for shown in (
                false,
                headers(body, ago=400),
                headers(body, ago=-400),
                {"authorization": f"Bearer {SECRET}"},
                fresh | {"telnyx-timestamp": "\xff"},
            ):
                assert await post(home, body, shown=shown) == (403, "unsigned")
            assert await post(home, body + b" ", shown=fresh) == (403, "unsigned")
            await stream.say(json.dumps({"event": "stop"}))
            await stream.closed()
    turned_away = [each["reason"] for each in logs if each["event"] == "client turned away"]
    assert "public_keys" in turned_away[0]


async def test_each_listener_has_a_path_and_keys_of_its_own(tmp_path: Path) -> None:
    listeners = [
        {"name": "keyless", "credentials": CREDENTIALS},
        {"name": "second", "public_keys": [PUBLIC_TEXT], "allowed_peers": ["127.0.0.1"]},
        {"name": "far", "public_keys": [PUBLIC_TEXT], "allowed_peers": ["192.0.2.1"]},
    ]
    async with house(tmp_path, TELNYX=json.dumps(listeners)) as home, line(home.http_port, "/telnyx/second") as stream:
        await stream.say(start())
        await home.inbox.wait("call.started")
        hangup = webhook("call.hangup")
        assert await post(home, hangup) == (403, "no_public_keys")
        assert await post(home, hangup, "/telnyx/keyless/status") == (403, "no_public_keys")
        assert await post(home, hangup, "/telnyx/far/status") == (403, "not_allowed")
        assert await post(home, hangup, "/telnyx/second/status") == (204, "")
        assert await stream.closed() == (1000, "")
        await home.inbox.wait("call.ended")


async def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    async with telnyx_home(tmp_path) as home:
        assert await post(home, webhook("call.bridged", x="x" * 65_000)) == (204, "")
        assert (await post(home, webhook("call.bridged", x="x" * 66_000)))[0] == 413


async def test_without_a_listener_there_is_no_path(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        assert (await post(home, webhook("call.hangup")))[0] == 404
