"""Which endpoint is sent which events, in a whole gateway."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from structlog.testing import capture_logs

from gateway.receiver import Receiver
from tests.gateway_under_test import KEY, WHSEC, Inbox, house
from tests.sound import prompt
from tests.websocket_lines import line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SPEECH = prompt("conf-onlyperson")
PAUSE = bytes(16 * 900)


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[tuple[Inbox, str]]:
    inbox = Inbox()
    receiver = Receiver([KEY], clock=time.time, on_event=inbox.take, path="/their/secret")  # noqa: TID251
    port = await receiver.start("127.0.0.1", 0)
    try:
        yield inbox, f"http://127.0.0.1:{port}/their/secret"
    finally:
        await receiver.stop()


def endpoints(*each: dict[str, Any]) -> str:
    return msgspec.json.encode([{"secrets": [WHSEC]} | one for one in each]).decode()


THEIRS = {
    "name": "theirs",
    "url_parameter": "webhook",
    "allowed_hosts": ["127.0.0.1"],
    "addresses": "any",
    "allow_plain_http": True,
}


async def test_an_endpoint_is_sent_the_events_that_it_wants(tmp_path: Path) -> None:
    async with receiving() as (all_, url), receiving() as (few, few_url):
        there = endpoints(
            {"name": "all", "url": url}, {"name": "few", "url": few_url, "events": ["transcript.*", "call.ended"]}
        )
        async with house(tmp_path, DELIVERY__ENDPOINTS=there) as home:
            call = await home.call(SPEECH + PAUSE)
            await call.hang_up()
            await all_.wait("call.ended")
            await few.wait("call.ended")
    assert [each.type for each in all_.received] == ["call.started", "track.started", "transcript.final", "call.ended"]
    assert [each.type for each in few.received] == ["transcript.final", "call.ended"]
    assert [each["sequence"] for each in few.of_any()] == [3, 4], "the sequence is the call's"


async def test_a_call_may_bring_its_receiver(tmp_path: Path) -> None:
    async with receiving() as (theirs, url), receiving() as (ours, our_url):
        there = endpoints({"name": "ours", "url": our_url}, THEIRS | {"interims": True})
        async with house(tmp_path, DELIVERY__ENDPOINTS=there) as home:
            with capture_logs() as logs:
                async with line(home.http_port, "/freeswitch") as fork:
                    await fork.say(msgspec.json.encode({"callId": "c1", "webhook": url, "queue": "a"}).decode())
                    await fork.speak(SPEECH + PAUSE, 320)
                    await fork.hang_up()
                await theirs.wait("call.ended")
                await ours.wait("call.ended")
                other = await home.call(SPEECH + PAUSE)
                await other.hang_up()
                await ours.wait("call.ended", 2)
            assert (await home.ask("GET", "/v1/calls"))[0] == 200
    assert [each.event_id for each in theirs.received if each.type != "transcript.interim"] == ours.ids[:4]
    assert theirs.of("call.ended", "c1")[0]["parameters"] == {"callId": "c1", "queue": "a"}
    for secret in ("/their/secret", url):
        assert secret not in str(logs)
        assert secret not in str(ours.of_any())


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://169.254.169.254/secret", "'169.254.169.254' is not among allowed_hosts"),
        ("https://me:secret@127.0.0.1/", "without user name"),
        ("nonsense/secret", "expected a URL such as"),
    ],
)
async def test_a_receiver_that_is_not_allowed_costs_the_call_nothing(tmp_path: Path, url: str, why: str) -> None:
    async with receiving() as (ours, our_url):
        there = endpoints({"name": "ours", "url": our_url}, THEIRS)
        async with house(tmp_path, DELIVERY__ENDPOINTS=there) as home:
            with capture_logs() as logs:
                async with line(home.http_port, "/freeswitch") as fork:
                    await fork.say(msgspec.json.encode({"callId": "c1", "webhook": url}).decode())
                    await fork.speak(SPEECH + PAUSE, 320)
                    await fork.hang_up()
                await ours.wait("call.ended")
            stream = "11111111-1111-4111-8111-111111111111"
            asked = {"stream_id": stream, "parameters": {"webhook": url}}
            status, answer = await home.ask("POST", "/v1/calls", json=asked)
            assert (status, answer["error"]["code"]) == (400, "invalid")
            assert why in answer["error"]["message"]
            assert "/secret" not in answer["error"]["message"]
            assert (await home.ask("POST", "/v1/calls", json=asked | {"webhook": "ours"}))[0] == 201, "not for that one"
    (told,) = [each for each in logs if "where it asks" in each["event"]]
    assert why in str(told["problems"])
    assert "secret" not in str(told)


async def test_a_call_that_a_crash_cut_off_ends_at_the_receiver_that_it_had_brought(tmp_path: Path) -> None:
    async with receiving() as (theirs, url), receiving() as (ours, our_url):
        there = endpoints({"name": "ours", "url": our_url}, THEIRS | {"events": ["call.ended"]})
        async with house(tmp_path, DELIVERY__ENDPOINTS=there) as home, line(home.http_port, "/freeswitch") as fork:
            await fork.say(msgspec.json.encode({"callId": "c1", "webhook": url}).decode())
            await ours.wait("call.started")
            await home.gateway._deliveries.outbox.close()  # as if the power had failed: no end is stored
        assert theirs.received == []
        async with house(tmp_path, DELIVERY__ENDPOINTS=there):
            (ended,) = await theirs.wait("call.ended")
    assert (ended["reason"], ended["source"]["call_id"]) == ("gateway_restart", "c1")
