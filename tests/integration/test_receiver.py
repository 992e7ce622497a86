"""The receiver, spoken to over real connections."""

from __future__ import annotations

import base64
import contextlib
import io
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from gateway import receiver as module
from gateway.delivery.signing import sign
from gateway.receiver import LONGEST_BODY_BYTES, Answer, Received, Receiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

KEY = b"0123456789abcdef0123456789abcdef"
NOW = 1_760_000_000.0
BODY = b'{"type":"transcript.final","timestamp":"2025-10-09T08:53:20.000Z","data":{"text":"hello","sequence":3}}'


class Peer:
    """Posts to one receiver, and sees what it passed on."""

    def __init__(self, session: aiohttp.ClientSession, url: str, passed: list[Received]) -> None:
        self.passed = passed
        self._session = session
        self._url = url

    async def post(self, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        # As a file: aiohttp warns of large bodies given as bytes.
        async with self._session.post(self._url, data=io.BytesIO(body), headers=headers) as answer:
            return answer.status, await answer.text()

    async def send(self, event_id: str = "msg_1", body: bytes = BODY) -> int:
        status, _ = await self.post(body, sign([KEY], event_id, int(NOW), body))
        return status


@contextlib.asynccontextmanager
async def receiving(
    on_event: Callable[[Received], None] | None = None,
    answer: Callable[[Received], Answer] = lambda _received: Answer(),
    path: str = "/",
) -> AsyncIterator[Peer]:
    passed: list[Received] = []
    receiver = Receiver(
        [b"another key, of a rotation past", KEY],
        clock=lambda: NOW,
        on_event=on_event or passed.append,
        answer=answer,
        path=path,
    )
    port = await receiver.start("127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession() as session:
            yield Peer(session, f"http://127.0.0.1:{port}{path}", passed)
    finally:
        await receiver.stop()


async def test_passes_an_event_on() -> None:
    async with receiving() as peer:
        assert await peer.send() == 204
    assert peer.passed == [
        Received(
            event_id="msg_1",
            type="transcript.final",
            timestamp="2025-10-09T08:53:20.000Z",
            data={"text": "hello", "sequence": 3},
            received_at=NOW,
        )
    ]


async def test_accepts_what_the_reference_signed() -> None:
    signature = Webhook(base64.b64encode(KEY).decode()).sign("msg_1", datetime.fromtimestamp(NOW, UTC), BODY.decode())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(NOW)), "webhook-signature": signature}
    async with receiving(path="/hooks/linescribe") as peer:
        assert await peer.post(BODY, headers) == (204, "")
    assert len(peer.passed) == 1


async def test_an_event_sent_again_is_passed_on_once() -> None:
    async with receiving() as peer:
        statuses = [await peer.send(event_id) for event_id in ("msg_1", "msg_2", "msg_1", "msg_1")]
    assert statuses == [204] * 4
    assert [event.event_id for event in peer.passed] == ["msg_1", "msg_2"]


async def test_remembers_only_so_many_the_latest_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED_EVENTS", 2)
    async with receiving() as peer:
        for event_id in ("a", "b", "a", "c", "a", "b"):
            assert await peer.send(event_id) == 204
    assert [event.event_id for event in peer.passed] == ["a", "b", "c", "b"]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("webhook-id", "msg_2", "no signature fits\n"),
        ("webhook-id", "", "webhook-id is missing\n"),
        ("webhook-id", "m\N{LATIN SMALL LETTER U WITH DIAERESIS}", "webhook-id is malformed\n"),
        ("webhook-timestamp", "yesterday", "webhook-timestamp is malformed\n"),
        ("webhook-timestamp", "1759999000", "webhook-timestamp is too far from the time here\n"),
        ("webhook-signature", "v1,AAAA", "no signature fits\n"),
    ],
)
async def test_refuses_what_is_not_vouched_for(name: str, value: str, reason: str) -> None:
    async with receiving() as peer:
        assert await peer.post(BODY, sign([KEY], "msg_1", int(NOW), BODY) | {name: value}) == (401, reason)
        assert await peer.post(BODY, {}) == (401, "webhook-id is missing\n")
        assert await peer.send() == 204
    assert len(peer.passed) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"\xff\xfe",
        b'"\xff"',
        b"[]",
        b"{}",
        b'{"type":"call.ended","timestamp":"2025-10-09T08:53:20.000Z"}',
        b'{"type":"call.ended","timestamp":1,"data":{}}',
        b'{"type":"call.ended","timestamp":"","data":[]}',
        BODY + b"}",
        b'{"type":"x","timestamp":"","data":{"a":' + b"[" * 100_000,
    ],
)
async def test_refuses_what_is_no_event(body: bytes) -> None:
    async with receiving() as peer:
        status, text = await peer.post(body, sign([KEY], "msg_1", int(NOW), body))
        assert await peer.send() == 204  # it was not taken for received
    assert status == 400
    assert text.startswith("expected type, timestamp and data")
    assert len(peer.passed) == 1


async def test_refuses_a_body_too_long() -> None:
    padding = LONGEST_BODY_BYTES - len(BODY)
    async with receiving() as peer:
        assert await peer.send("msg_1", BODY + b" " * padding) == 204
        assert await peer.send("msg_2", BODY + b" " * (padding + 1)) == 413
    assert [event.event_id for event in peer.passed] == ["msg_1"]


async def test_another_path_or_method_is_not_for_it() -> None:
    async with receiving(path="/hook") as peer:
        async with peer._session.get(peer._url) as answer:
            assert answer.status == 405
        async with peer._session.post(f"{peer._url}s", data=BODY) as answer:
            assert answer.status == 404
    assert peer.passed == []


async def test_the_answer_can_be_scripted_and_a_refused_event_comes_again() -> None:
    answers = iter([500, 302, 200, 500])
    seen: list[str] = []

    def answer(event: Received) -> Answer:
        seen.append(event.event_id)
        status = next(answers)
        return Answer(status=status, taken=status < 300)

    async with receiving(answer=answer) as peer:
        assert [await peer.send() for _ in range(4)] == [500, 302, 200, 204]
    assert len(peer.passed) == 1
    assert len(seen) == 3  # nobody asks about an event that is already there


async def test_an_event_that_could_not_be_handled_comes_again() -> None:
    handled: list[str] = []
    errors = iter([RuntimeError("out of paper")])

    def on_event(event: Received) -> None:
        if error := next(errors, None):
            raise error
        handled.append(event.event_id)

    async with receiving(on_event) as peer:
        assert [await peer.send(), await peer.send(), await peer.send()] == [500, 204, 204]
    assert handled == ["msg_1"]


async def test_a_port_in_use_is_an_error() -> None:
    receiver = Receiver([KEY], clock=lambda: NOW, on_event=lambda _event: None)
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OSError, match="address already in use"),
    ):
        await receiver.start("127.0.0.1", taken.getsockname()[1])
    await receiver.stop()


async def test_after_its_end_nobody_listens() -> None:
    async with receiving() as peer:
        pass
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await Peer(session, peer._url, []).send()


@given(st.lists(st.tuples(st.binary(max_size=300), st.booleans()), max_size=5))
@settings(max_examples=40)
async def test_whatever_is_posted_is_answered_and_never_with_an_error_of_ours(posts: list[tuple[bytes, bool]]) -> None:
    async with receiving() as peer:
        for body, signed in posts:
            headers = sign([KEY], "msg_1", int(NOW), body) if signed else {"webhook-id": "msg_1"}
            status, _ = await peer.post(body, headers)
            assert status == (400 if signed else 401)
    assert peer.passed == []
