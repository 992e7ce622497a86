"""Who may bring calls over a WebSocket, and what those are told who may not."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import struct
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING
from unittest.mock import ANY

import pytest
from structlog.testing import capture_logs

from adapters.wire import websocket
from tests.gateway_under_test import TOKEN, House, house, listener
from tests.sound import prompt
from tests.websocket_lines import connected, line, upgrade

if TYPE_CHECKING:
    from pathlib import Path

SPEECH = prompt("conf-onlyperson")
"""Three seconds."""
SECRET = "a-token-of-twenty-four-characters"  # noqa: S105  a test's
CREDENTIALS = [{"name": "fs", "secret": SECRET}]
BASIC = "authorization: Basic " + base64.b64encode(f"fs:{SECRET}".encode()).decode()


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/freeswitch", [BASIC]),
        ("/freeswitch", [f"Authorization:Bearer {SECRET}"]),
        (f"/freeswitch?token={SECRET}&call=c1", []),
        (f"/freeswitch/freeswitch/{SECRET}", []),
    ],
)
async def test_a_credential_lets_in_and_is_told_to_nobody(tmp_path: Path, path: str, headers: list[str]) -> None:
    with capture_logs() as logs:
        async with house(tmp_path, FREESWITCH=listener(credentials=CREDENTIALS)) as home:
            async with line(home.http_port, path, *headers) as fork:
                await fork.say("{}")
                await home.inbox.wait("call.started")
            await home.inbox.wait("call.ended")
    assert SECRET not in json.dumps([*home.inbox.of_any(), *logs], default=str)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/freeswitch", []),
        ("/freeswitch", [BASIC[:-4]]),
        ("/freeswitch?token=wrong", []),
        ("/freeswitch/freeswitch/wrong", []),
        (f"/freeswitch?secret={SECRET}", []),
    ],
)
async def test_without_one_the_upgrade_is_answered_with_401(tmp_path: Path, path: str, headers: list[str]) -> None:
    with capture_logs() as logs:
        async with (
            house(tmp_path, FREESWITCH=listener(credentials=CREDENTIALS)) as home,
            connected(home.http_port) as client,
        ):
            answer = await client.ask(upgrade(path, *headers))
    assert (answer.status, answer.error["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert any(each["event"] == "client turned away" for each in logs)
    assert home.inbox.received == []


async def test_a_slash_at_the_end_leads_to_the_same_listener(tmp_path: Path) -> None:
    async with house(tmp_path) as home, line(home.http_port, "/freeswitch/") as fork:
        await fork.say("{}")
        (started,) = await home.inbox.wait("call.started")
    assert started["source"]["listener"] == "freeswitch"


async def test_who_finds_no_path_is_told_of_in_the_log(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with house(tmp_path) as home, connected(home.http_port) as client:
            assert (await client.ask(upgrade("/twillio"))).status == 404
    (request,) = [each for each in logs if each["event"] == "request"]
    assert (request["status"], request["log_level"]) == (404, "info")


async def test_behind_a_proxy_it_is_said_that_nobody_is_known_to_be_local(tmp_path: Path) -> None:
    async with (
        house(tmp_path, HTTP__PUBLIC_URL="https://calls.example.test") as home,
        connected(home.http_port) as client,
    ):
        answer = await client.ask(upgrade("/freeswitch"))
    assert (answer.status, answer.error["code"]) == (403, "not_local")
    assert "http.public_url" in answer.error["message"]
    assert "write 127.0.0.1" not in answer.error["message"]


async def test_a_token_may_come_in_the_metadata_where_the_listener_says_so(tmp_path: Path) -> None:
    wanted = listener(credentials=CREDENTIALS, metadata_token=True)
    async with house(tmp_path, FREESWITCH=wanted) as home:
        async with line(home.http_port, "/freeswitch") as good:
            await good.say(f'{{"token":"{SECRET}","a":"b"}}')
            (started,) = await home.inbox.wait("call.started")
        async with line(home.http_port, "/freeswitch") as bad:
            await bad.say('{"a":"b"}', SPEECH)
            code, reason = await bad.closed()
        async with line(home.http_port, "/freeswitch") as mute:
            await mute.say(SPEECH)
            assert (await mute.closed())[0] == code
    assert started["parameters"] == {"a": "b"}
    assert code == 1008
    assert "token" in reason
    assert len(home.inbox.of("call.started")) == 1


async def test_those_who_owe_a_token_make_room_for_one_another_and_for_nobody_else(tmp_path: Path) -> None:
    wanted = listener(credentials=CREDENTIALS, metadata_token=True)
    with capture_logs() as logs:
        async with house(tmp_path, FREESWITCH=wanted) as home, AsyncExitStack() as stack:
            known, strangers = f"/freeswitch?channels=2&token={SECRET}", websocket.MOST_STRANGERS + 8
            forks = [await stack.enter_async_context(line(home.http_port, known)) for _ in range(strangers)]
            crowd = [await stack.enter_async_context(line(home.http_port, "/freeswitch")) for _ in range(strangers)]
            assert [await each.closed() for each in crowd[:8]] == [(1008, ANY)] * 8
            for fork in forks:
                await fork.say("{}")
            await home.inbox.wait("call.started", strangers)
    assert len([each for each in logs if each["event"] == "client turned away"]) < 8, "of a crowd not each is told"


async def test_one_that_knows_nobody_lets_no_proxy_bring_others(home: House) -> None:
    async with connected(home.http_port) as client:
        answer = await client.ask(upgrade("/freeswitch", "X-Forwarded-For: 203.0.113.9"))
    assert (answer.status, answer.error["code"]) == (403, "not_local")
    assert "credentials" in answer.error["message"]


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (upgrade("/freeswitch/nobody"), 404, "not_found"),
        (upgrade("/freeswitch?rate=11025"), 400, "invalid"),
        (upgrade("/freeswitch?channels=x"), 400, "invalid"),
        (upgrade("/freeswitch").replace(b"Upgrade: websocket\r\n", b""), 426, "upgrade_required"),
        (upgrade("/freeswitch").replace(b"Version: 13", b"Version: 3"), 400, "bad_request"),
        (upgrade("/freeswitch").replace(b"Sec-WebSocket-Key", b"X-Key"), 400, "bad_request"),
        (upgrade("/freeswitch").replace(b"GET", b"POST"), 405, "method_not_allowed"),
    ],
)
async def test_what_cannot_be_used_is_refused_with_its_reason(
    home: House, request_bytes: bytes, status: int, code: str
) -> None:
    async with connected(home.http_port) as client:
        answer = await client.ask(request_bytes)
    assert (answer.status, answer.error["code"]) == (status, code)
    assert home.inbox.received == []


async def test_a_full_gateway_refuses_before_the_upgrade_and_says_when_to_come_again(tmp_path: Path) -> None:
    async with house(tmp_path, CALLS__MAX_CALLS=1) as home:
        async with line(home.http_port, "/freeswitch") as fork:
            await fork.say("{}")
            await home.inbox.wait("call.started")
            async with connected(home.http_port) as client:
                answer = await client.ask(upgrade("/freeswitch"))
            assert (answer.status, answer.error["code"]) == (503, "full")
            assert int(answer.headers["retry-after"]) > 0
            await fork.hang_up()
        await home.inbox.wait("call.ended")
        async with line(home.http_port, "/freeswitch") as fork:
            await fork.say("{}")
            await home.inbox.wait("call.started", 2)


async def test_a_route_that_is_full_is_found_out_later_and_said_by_the_close(tmp_path: Path) -> None:
    async with (
        house(tmp_path, ROUTES="[{name: trial, max_calls: 1}]") as home,
        line(home.http_port, "/freeswitch") as one,
        line(home.http_port, "/freeswitch") as other,
    ):
        await one.say("{}")
        await home.inbox.wait("call.started")
        await other.say("{}", SPEECH)
        assert await other.closed() == (1013, "full")


async def test_a_gateway_that_drains_keeps_its_port_and_refuses_while_calls_go_on(home: House) -> None:
    async with line(home.http_port, "/freeswitch") as fork:
        await fork.say("{}")
        await home.inbox.wait("call.started")
        home.gateway.stop()
        async with connected(home.http_port) as client:
            answer = await client.ask(upgrade("/freeswitch"))
        assert (answer.status, answer.error["code"]) == (503, "draining")
        assert "retry-after" not in answer.headers
        await fork.speak(SPEECH, 320)
        await fork.say(b"")
        assert (await fork.closed())[0] == 1000
        await home.running
    assert len(fork.finals) == 1


async def test_a_gateway_that_is_stopped_tells_what_was_said_and_closes(tmp_path: Path) -> None:
    async with house(tmp_path) as home, line(home.http_port, "/freeswitch") as fork:
        await fork.speak(SPEECH, 320)
        await home.inbox.wait("call.started")
        home.gateway.stop()
        home.gateway.stop()
        assert (await fork.closed())[0] == 1000
        assert len(fork.finals) == 1
    (ended,) = home.inbox.of("call.ended")
    assert ended["reason"] == "shutdown"


async def test_a_call_that_is_ended_by_the_api_is_told_what_was_said_and_closed(home: House) -> None:
    async with line(home.http_port, "/freeswitch?call=c1", f"X-Unused: {TOKEN}") as fork:
        await fork.speak(SPEECH, 320)
        await home.inbox.wait("call.started")
        assert (await home.ask("POST", "/v1/calls/c1/end"))[0] == 200
        assert (await fork.closed())[0] == 1000
    (ended,) = await home.inbox.wait("call.ended")
    assert (ended["reason"], len(fork.finals)) == ("admin", 1)


async def test_a_client_that_is_gone_before_the_answer_is_nobodys_fault(home: House) -> None:
    with capture_logs() as logs:
        for _ in range(20):
            async with connected(home.http_port) as client:
                client.writer.write(upgrade("/freeswitch"))
                sock = client.writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        async with line(home.http_port, "/freeswitch") as fork:
            await fork.say("{}")
            await home.inbox.wait("call.started")
    assert [each for each in logs if each["log_level"] in {"warning", "error"}] == []


async def test_a_bad_handshake_makes_nobody_a_connection_that_is_not_counted(home: House) -> None:
    bad = upgrade("/freeswitch").replace(b"Version: 13", b"Version: 3")
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(300):
            clients.append(await stack.enter_async_context(connected(home.http_port)))
            assert (await clients[-1].ask(bad)).status == 400
        async with asyncio.timeout(5):  # before any is idle for too long
            assert [await client.rest() for client in clients[:40]] == [b""] * 40, "there may be 256, and the oldest go"


@pytest.mark.parametrize(
    "path",
    [f"//freeswitch/x/{SECRET}", f"/freeswitch%2Fx%2F{SECRET}", f"/Freeswitch/x/{SECRET}", f"/./freeswitch/x/{SECRET}"],
)
async def test_a_path_with_a_mistake_in_it_is_not_logged(home: House, path: str) -> None:
    with capture_logs() as logs:
        async with connected(home.http_port) as client:
            assert (await client.ask(upgrade(path))).status in {400, 401, 404}
        await home.ask("GET", "/v1/calls")
    assert SECRET not in repr(logs)
