"""Streams of Twilio's that a program starts: what it is told by the HTTP API, and what becomes of the call."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from adapters.stream import RefusalReason
from tests.gateway_under_test import TOKEN, House, house, listener
from tests.media_streams import start, stop
from tests.twilio_home import ACCOUNTS, PUBLIC, signed, spoken, twilio_home
from tests.websocket_lines import connected, line, upgrade

if TYPE_CHECKING:
    from pathlib import Path

WANTED = {"call_sid": "CA1", "account_sid": "AC1"}


async def ask(home: House, **wanted: Any) -> tuple[int, dict[str, Any]]:
    return await home.ask("POST", "/v1/twilio/streams", json=WANTED | wanted)


async def place(home: House, **wanted: Any) -> str:
    """Ask for a stream; give the path that it is to come to."""
    status, answer = await ask(home, **wanted)
    assert status == 201, answer
    return str(urlsplit(answer["url"]).path)


async def test_a_program_is_told_where_a_stream_is_to_come(tmp_path: Path) -> None:
    async with twilio_home(tmp_path) as home:
        status, answer = await ask(home)
    assert status == 201
    url = answer.pop("url")
    assert url.startswith("wss://calls.example.test/twilio/twilio/")
    assert len(urlsplit(url).path.rpartition("/")[2]) == 32
    assert answer == {
        "name": "linescribe",
        "track": "both_tracks",
        "status_callback": f"{PUBLIC}/twilio/twilio/status",
        "expires_in_seconds": 60,
    }


async def test_the_stream_that_comes_there_is_transcribed_as_its_program_wants_it(tmp_path: Path) -> None:
    routes = [{"name": "support", "match": {"parameters": {"queue": "support"}}}, {"name": "others"}]
    async with twilio_home(tmp_path, ROUTES=json.dumps(routes)) as home:
        path = await place(home, parameters={"queue": "support", "calling": "+15550100", "language": "de"})
        async with line(home.http_port, path, signed(path)) as stream:
            await stream.say(start(), *spoken(), stop(400))
            assert await stream.closed() == (1000, "")
        (ended,) = await home.inbox.wait("call.ended")
        (final,) = home.inbox.of("transcript.final")
        (request,) = home.engine.begun
    assert ended["parameters"] == {"accountSid": "AC1", "queue": "support", "calling": "+15550100"}
    assert (final["source"]["call_id"], final["text"] != "") == ("CA1", True)
    assert request.language == "de"


async def test_what_is_given_out_is_good_once_for_its_own_call_and_for_what_twilio_signs(tmp_path: Path) -> None:
    async with twilio_home(tmp_path) as home:
        path = await place(home)
        async with connected(home.http_port) as unsigned:
            assert (await unsigned.ask(upgrade(path))).error["code"] == "unsigned"
        async with line(home.http_port, path, signed(path)) as other:
            await other.say(start(callSid="CA2"))
            assert (await other.closed())[0] == 1008
        async with connected(home.http_port) as again:
            assert (await again.ask(upgrade(path, signed(path)))).error["code"] == "no_token"
    assert home.inbox.received == []


async def test_a_second_stream_is_of_the_call_that_goes_on(tmp_path: Path) -> None:
    async with twilio_home(tmp_path, CALLS__MAX_CALLS=1) as home:
        first = await place(home)
        async with line(home.http_port, first, signed(first)) as caller:
            await caller.say(start(tracks=["inbound"]))
            await home.inbox.wait("call.started")
            # There is no room for any other call.
            status, answer = await ask(home, call_sid="CA2")
            assert (status, answer["error"]["code"]) == (503, RefusalReason.FULL)
            second = await place(home)
            async with line(home.http_port, second, signed(second)) as agent:
                await agent.say(start(tracks=["outbound"], streamSid="MZ2"))
                await home.inbox.wait("track.started", 2)
                for each in (agent, caller):
                    await each.say(stop(2))
                    assert await each.closed() == (1000, "")
        await home.inbox.wait("call.ended")
    assert home.inbox.types("CA1") == ["call.started", "track.started", "track.started", "call.ended"]


async def test_of_parameters_no_more_are_taken_than_are_told(tmp_path: Path) -> None:
    some = {f"p{number}": "x" for number in range(60)}
    async with twilio_home(tmp_path) as home:
        assert (await ask(home, parameters=some | {"one": "more"}))[0] == 400
        status, answer = await ask(home, parameters=some)
        assert status == 201
        path = urlsplit(answer["url"]).path
        async with line(home.http_port, path, signed(path)) as stream:
            await stream.say(start(), stop(2))
            assert await stream.closed() == (1000, "")
        (ended,) = await home.inbox.wait("call.ended")
    assert ended["parameters"] == some | {"accountSid": "AC1"}


@pytest.mark.parametrize("public_url", ["http://calls.example.test", ""])
async def test_without_https_it_is_told_what_to_set(tmp_path: Path, public_url: str) -> None:
    """Though whoever asks comes by https: Twilio may not be able to."""
    settings: dict[str, Any] = {"HTTP__PUBLIC_URL": public_url} if public_url else {}
    settings |= {"HTTP__TRUSTED_PROXIES": "[127.0.0.1]", "TWILIO": listener(accounts=ACCOUNTS)}
    async with house(tmp_path, **settings) as home:
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "gateway.example.test"}
        status, answer = await home.ask("POST", "/v1/twilio/streams", json=WANTED, headers=headers)
    assert (status, answer["error"]["code"]) == (409, "no_https")
    assert "set http.public_url to the https:// URL" in answer["error"]["message"]


async def test_a_listener_is_chosen_by_its_name_among_those_of_the_programs_own_account(tmp_path: Path) -> None:
    listeners = [
        {"name": "theirs", "account": "crm", "accounts": ACCOUNTS},
        {"name": "sales", "account": "pbx", "accounts": ACCOUNTS},
        {"name": "others", "insecure": True},
    ]
    async with house(tmp_path, TWILIO=json.dumps(listeners), HTTP__PUBLIC_URL=f"{PUBLIC}/lines/") as home:
        answers = [await ask(home, **asked) for asked in ({}, {"listener": "others", "account_sid": "AC9"})]
        assert [(status, answer["url"].rpartition("/")[0]) for status, answer in answers] == [
            (201, "wss://calls.example.test/lines/twilio/sales"),
            (201, "wss://calls.example.test/lines/twilio/others"),
        ]
        for unknown in ("theirs", "nobody"):
            status, answer = await ask(home, listener=unknown)
            assert (status, answer["error"]["code"]) == (404, "unknown_listener")
            assert answer["error"]["message"].endswith("expected one of sales, others")


async def test_without_listeners_there_is_nowhere_to_come(tmp_path: Path) -> None:
    async with house(tmp_path, TWILIO="[]", HTTP__PUBLIC_URL=PUBLIC) as home:
        status, answer = await ask(home)
    assert (status, answer["error"]["code"]) == (404, "unknown_listener")
    assert answer["error"]["message"].endswith("there is none")


async def test_a_gateway_that_drains_takes_no_streams(tmp_path: Path) -> None:
    async with twilio_home(tmp_path) as home:
        call = await home.call()
        await home.inbox.wait("call.started")
        home.gateway.stop()
        status, answer = await ask(home)
        await call.hang_up()
    assert (status, answer["error"]["code"]) == (503, "draining")


async def test_a_gateway_without_room_says_when_to_ask_again(tmp_path: Path) -> None:
    async with twilio_home(tmp_path, CALLS__MAX_CALLS=1) as home:
        call = await home.call()
        await home.inbox.wait("call.started")
        url, headers = f"http://127.0.0.1:{home.http_port}/v1/twilio/streams", {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession() as session, session.post(url, json=WANTED, headers=headers) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
            assert "ask again in 10 seconds" in await answer.text()
        await call.hang_up()


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"account_sid": "AC2"}, "Expected an `account_sid` of the accounts of listener 'twilio'"),
        ({"call_sid": ""}, "call_sid: expected `str` of length >= 1"),
        ({"call_sid": "C" * 65}, "call_sid: expected `str` of length <= 64"),
        ({"call_sid": 7}, "call_sid: expected `str`"),
        ({"calls_sid": "CA1"}, "did you mean 'call_sid'?"),
        ({"parameters": {"": "x"}}, "length >= 1"),
        ({"parameters": {"a": "x" * 2001}}, "length <= 2000"),
        ({"parameters": {str(number): "x" for number in range(65)}}, "length <= 64"),
        ({"parameters": {str(number): "x" * 1990 for number in range(5)}}, "8000 characters"),
    ],
)
async def test_what_makes_no_sense_is_told_why(tmp_path: Path, wanted: dict[str, Any], told: str) -> None:
    async with twilio_home(tmp_path) as home:
        status, answer = await ask(home, **wanted)
    assert (status, answer["error"]["code"]) == (400, "invalid")
    assert told in answer["error"]["message"]


async def test_without_a_token_nothing_is_given_out(tmp_path: Path) -> None:
    async with twilio_home(tmp_path) as home:
        status, _ = await home.ask("POST", "/v1/twilio/streams", token="x" * 32, json=WANTED)
    assert status == 401
