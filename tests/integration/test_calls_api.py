from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.gateway_under_test import House, house
from tests.sound import prompt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SPEECH = prompt("conf-onlyperson")
PAUSE = bytes(16 * 900)
UUIDS = [str(uuid.UUID(int=number, version=4)) for number in range(1, 5)]


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    strict = {"name": "strict", "port": 0, "registration": "required"}
    listeners = [{"port": 0}, strict, {"name": "agents", "port": 0, "role": "outbound", "label": "agent"}]
    async with house(tmp_path, AUDIOSOCKET=msgspec.json.encode(listeners).decode()) as built:
        yield built


async def register(home: House, stream_id: str = UUIDS[0], **more: Any) -> tuple[int, dict[str, Any]]:
    return await home.ask("POST", "/v1/calls", json={"stream_id": stream_id, **more})


async def test_a_registered_stream_is_let_in_and_is_what_was_said_of_it(home: House) -> None:
    status, answer = await register(
        home,
        external_call_id="17.3",
        role="outbound",
        label="agent",
        language="de",
        options={"hotwords": "Linescribe", "words": True},
        webhook="test",
        parameters={"queue": "support"},
    )
    assert status == 201
    assert answer["state"] == "registered"
    assert (answer["stream_id"], answer["external_call_id"], answer["account_id"]) == (UUIDS[0], "17.3", "pbx")
    assert answer["expires_at"].endswith("Z")
    line = await home.call(SPEECH, listener="strict", call_uuid=uuid.UUID(UUIDS[0]))
    await line.hang_up()
    await home.inbox.wait("call.ended")
    assert home.inbox.types("17.3") == ["call.started", "track.started", "transcript.final", "call.ended"]
    (started,), (final,) = home.inbox.of("call.started"), home.inbox.of("transcript.final")
    assert started["parameters"] == {"queue": "support"}
    assert started["source"]["stream_id"] == UUIDS[0]
    assert started["source"]["account_id"] == "pbx"
    assert (final["track"], final["role"], final["label"]) == ("outbound", "outbound", "agent")
    assert final["words"] == []
    (request,) = home.engine.begun
    assert (request.language, request.options.hotwords, request.options.word_times) == ("de", "Linescribe", True)


@pytest.mark.parametrize(
    ("languages", "language", "allowed"),
    [(["en", "es"], None, ("en", "es")), ("es", "es", None), ([], None, ()), (None, None, ("en", "fr"))],
)
async def test_the_languages_that_may_be_spoken_are_said_beforehand(
    tmp_path: Path, languages: list[str] | str | None, language: str | None, allowed: tuple[str, ...] | None
) -> None:
    async with house(tmp_path, MODELS__LANGUAGE="auto", MODELS__LANGUAGES="[en, fr]") as home:
        assert (await register(home, languages=languages))[0] == 201
        line = await home.call(SPEECH, call_uuid=uuid.UUID(UUIDS[0]))
        await line.hang_up()
        await home.inbox.wait("call.ended")
        (request,) = home.engine.begun
        assert request.language == language
        assert (request.known.allowed if request.known else None) == allowed


async def test_a_dialplan_registers_by_a_form(home: House) -> None:
    form = {
        "stream_id": UUIDS[0].upper(),
        "external_call_id": "17.3",
        "label": "",
        "options.words": "true",
        "options.endpointing": "auto_end",
        "parameters.calling": "+49 30 123",
        "parameters.queue": "support",
        "expires_in_seconds": "60",
    }
    assert (await home.ask("POST", "/v1/calls", data=form))[0] == 201
    line = await home.call(SPEECH + PAUSE, listener="strict", call_uuid=uuid.UUID(UUIDS[0]))
    assert (await line.rest()).endswith(b"\x00\x00\x00")
    await line.hang_up()
    (ended,) = await home.inbox.wait("call.ended")
    assert (ended["parameters"], ended["reason"]) == ({"calling": "+49 30 123", "queue": "support"}, "stopped")


async def test_the_same_again_changes_nothing_and_something_else_is_a_conflict(home: House) -> None:
    assert [(await register(home, label="a"))[0] for _ in range(2)] == [201, 200]
    status, answer = await register(home, label="b")
    assert (status, answer["error"]["code"]) == (409, "conflict")
    line = await home.call(call_uuid=uuid.UUID(UUIDS[0]))
    await home.inbox.wait("call.started")
    status, answer = await register(home, label="a")
    assert (status, answer["state"], answer["expires_at"]) == (200, "live", None)
    assert answer["call_id"] == home.inbox.of("call.started")[0]["call_id"]
    assert (await register(home, label="b"))[0] == 409
    await line.hang_up()


async def test_two_registered_streams_are_one_call_with_both_speakers(home: House) -> None:
    await register(home, UUIDS[0], external_call_id="17.3", role="inbound", label="customer")
    await register(home, UUIDS[1], external_call_id="17.3", role="outbound", label="agent")
    first = await home.call(SPEECH + PAUSE, call_uuid=uuid.UUID(UUIDS[0]))
    await home.inbox.wait("transcript.final")
    second = await home.call(SPEECH, listener="agents", call_uuid=uuid.UUID(UUIDS[1]))
    await first.hang_up()
    await second.hang_up()
    (ended,) = await home.inbox.wait("call.ended")
    assert len(home.inbox.of("call.started")) == 1
    assert home.inbox.types("17.3")[0] == "call.started"
    spoken = {
        (final["track"], final["label"], final["source"]["stream_id"]) for final in home.inbox.of("transcript.final")
    }
    assert spoken == {("inbound", "customer", UUIDS[0]), ("outbound", "agent", UUIDS[1])}
    assert ended["audio_ms"].keys() == {"inbound", "outbound"}


async def test_strangers_refused_ones_and_garbage_leave_a_running_call_alone(home: House) -> None:
    line = await home.call(SPEECH[:16_000])
    await home.inbox.wait("track.started")
    stranger = await home.call(SPEECH, listener="strict")
    assert await stranger.rest() == b"\0\0\0"
    garbage = await home.connect("strict")
    garbage.write(b"GET / HTTP/1.1\r\n\r\n" * 100)
    assert await garbage.rest() == b"\0\0\0"
    assert (await home.ask("POST", "/v1/calls", data=b"\xff\xfe{" * 99))[0] == 415
    for each in (stranger, garbage):
        await each.hang_up()
    await line.say(SPEECH[16_000:])
    await line.hang_up()
    (ended,) = await home.inbox.wait("call.ended")
    assert len(home.inbox.of("call.started")) == 1
    (final,) = home.inbox.of("transcript.final")
    assert final["end_ms"] - final["start_ms"] > 2_000
    assert (ended["reason"], ended["gap_ms"]["inbound"] < 500) == ("hangup", True)
    assert ended["audio_ms"]["inbound"] == pytest.approx(len(SPEECH) / 16, abs=1)


async def test_a_call_is_paused_resumed_and_ended_by_any_of_its_names(home: House) -> None:
    await register(home, external_call_id="17.3")
    line = await home.call(SPEECH, call_uuid=uuid.UUID(UUIDS[0]))
    await home.inbox.wait("track.started")
    shouted = UUIDS[0].upper()
    status, answer = await home.ask("POST", f"/v1/calls/{shouted}/pause", json={"reason": "card entry"})
    assert (status, answer["paused"], answer["route"]) == (200, True, "default")
    await line.say(SPEECH)
    await home.inbox.wait("call.paused")
    status, answer = await home.ask("POST", "/v1/calls/17.3/resume", data="now=1")
    assert (status, answer["paused"]) == (200, False)
    call_id = answer["call_id"]
    assert (await home.ask("GET", f"/v1/calls/{call_id}"))[1] == answer
    assert (await home.ask("GET", "/v1/calls"))[1] == {"calls": [answer]}
    (track,) = answer["tracks"]
    assert (track["track"], track["live"], track["source"]["listener"]) == ("inbound", True, "audiosocket")
    status, answer = await home.ask("POST", f"/v1/calls/{call_id}/end")
    assert (status, answer["state"]) == (200, "ending")
    assert (await line.rest())[-3:] == b"\0\0\0"
    (ended,) = await home.inbox.wait("call.ended")
    assert ended["reason"] == "admin"
    types = home.inbox.types("17.3")
    assert [each for each in types if each != "transcript.final"] == [
        "call.started",
        "track.started",
        "call.paused",
        "call.resumed",
        "call.ended",
    ]
    assert types.count("transcript.final") == 1
    await line.hang_up()
    assert (await home.ask("GET", f"/v1/calls/{call_id}"))[0] == 404


async def test_what_was_registered_can_be_taken_back(home: House) -> None:
    await register(home, UUIDS[0], external_call_id="17.3", label="a")
    await register(home, UUIDS[1], external_call_id="17.3")
    assert (await home.ask("DELETE", f"/v1/calls/{UUIDS[0]}"))[0] == 204
    assert (await register(home, UUIDS[0], external_call_id="17.3", label="b"))[0] == 201
    assert (await home.ask("DELETE", "/v1/calls/17.3"))[0] == 204
    assert (await home.ask("DELETE", "/v1/calls/17.3"))[0] == 404
    line = await home.call(listener="strict", call_uuid=uuid.UUID(UUIDS[0]))
    assert await line.rest() == b"\0\0\0"
    await line.hang_up()


@pytest.mark.parametrize("end", ["pause", "resume", "end"])
async def test_who_is_not_there_cannot_be_told_anything(home: House, end: str) -> None:
    status, answer = await home.ask("POST", f"/v1/calls/{UUIDS[0]}/{end}")
    assert (status, answer["error"]["code"]) == (404, "unknown_call")
    await register(home)
    status, answer = await home.ask("POST", f"/v1/calls/{UUIDS[0]}/{end}")
    assert (status, answer["error"]["code"]) == (409, "not_started")
    assert (await home.ask("GET", f"/v1/calls/{UUIDS[0]}"))[1]["state"] == "registered"


async def test_a_name_that_two_calls_go_by_is_ambiguous(home: House) -> None:
    lines = [await home.call(call_uuid=uuid.UUID(UUIDS[0])) for _ in range(2)]
    await home.inbox.wait("track.started", 2)
    status, answer = await home.ask("POST", f"/v1/calls/{UUIDS[0]}/end")
    assert (status, answer["error"]["code"]) == (409, "ambiguous")
    for line in lines:
        await line.hang_up()


async def test_a_gateway_that_drains_takes_no_registrations(home: House) -> None:
    line = await home.call()
    await home.inbox.wait("call.started")
    home.gateway.stop()
    status, answer = await register(home)
    assert (status, answer["error"]["code"]) == (503, "draining")
    assert (await home.ask("POST", f"/v1/calls/{line.name}/end"))[0] == 200
    await line.hang_up()


async def test_registrations_that_wait_are_bounded(tmp_path: Path) -> None:
    async with house(tmp_path, CALLS__MAX_REGISTRATIONS=1) as home:
        assert (await register(home, UUIDS[0]))[0] == 201
        status, answer = await register(home, UUIDS[1])
        assert (status, answer["error"]["code"]) == (503, "full")


async def test_a_model_of_english_only_is_asked_for_nothing_else(tmp_path: Path) -> None:
    async with house(tmp_path, MODELS__FINAL="tiny.en", MODELS__INTERIM="tiny.en") as home:
        status, answer = await register(home, language="de")
        assert (status, "tiny.en knows no other" in answer["error"]["message"]) == (400, True)
        status, answer = await register(home, languages=["de", "fr"])
        assert (status, "Expected en among languages" in answer["error"]["message"]) == (400, True)
        status, answer = await register(home, options={"task": "translate"})
        assert (status, "tiny.en knows English only" in answer["error"]["message"]) == (400, True)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "stream_id"),
        (b"[]", "object"),
        (b"{", "JSON"),
        (b"[" * 60_000, "JSON"),
        (b'"\xff"', "JSON"),
        (b'{"stream_id": "17.3"}', "UUID"),
        (b'{"stream_id": 7}', "stream_id: expected `str`, got `int` (quote"),
        (b'{"stream_id": "%s", "rol": "inbound"}', "rol: unknown key; did you mean 'role'?"),
        (b'{"stream_id": "%s", "role": "caller"}', "expected one of inbound, mixed, other, outbound"),
        (b'{"stream_id": "%s", "language": "zz"}', "language code"),
        (b'{"stream_id": "%s", "languages": ["en", "zz"]}', "language code"),
        (b'{"stream_id": "%s", "languages": "auto"}', "auto stands under language"),
        (b'{"stream_id": "%s", "options": {"profile": "fast"}}', "'fast'; expected one of realtime, accurate"),
        (b'{"stream_id": "%s", "webhook": "nobody"}', "'nobody'; expected one of test"),
        (b'{"stream_id": "%s", "webhook": "https://evil.example/"}', "expected one of test"),
        (b'{"stream_id": "%s", "parameters": {"a": 1}}', "`str`"),
        (b'{"stream_id": "%s", "options": {"mask": ["oh heck"]}}', "single words"),
        (b'{"stream_id": "%s", "options": {"beam": 5}}', "options.beam: unknown key"),
        (b'{"stream_id": "%s", "options": {"endpointing": "stop"}}', "options.endpointing"),
        (b'{"stream_id": "%s", "expires_in_seconds": 1e9}', "86400"),
        (b'{"stream_id": "%s", "label": ""}', "length >= 1"),
        (b'{"stream_id": "%s", "webhook": ["test", "test"]}', "'test' stands there twice"),
        (b'{"stream_id": "%s", "expires_in_seconds": 1e-9}', ">= 1"),
        (b'{"stream_id": "%s", "parameters": {%b}}', "8000 characters"),
    ],
)
async def test_a_registration_that_makes_no_sense_is_told_why(home: House, body: bytes, told: str) -> None:
    many = b",".join(b'"%d": "%s"' % (number, b"x" * 1990) for number in range(5))
    body = body.replace(b"%s", UUIDS[0].encode()).replace(b"%b", many)
    status, answer = await home.ask("POST", "/v1/calls", data=body, headers={"Content-Type": "application/json"})
    assert status == 400
    assert told in answer["error"]["message"]


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ("stream_id=%s&parameters=1&parameters.a=2", "parameters is a value"),
        ("stream_id=%s&options.words=perhaps", "`bool"),
        ("stream_id=%s&stream_id=%s", "`str`"),
        ("&".join(f"f{number}=1" for number in range(300)), "fields"),
        ("stream_id=%s&label=%%ff", "form"),
    ],
)
async def test_a_form_that_makes_no_sense_is_told_why(home: House, form: str, told: str) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = form.replace("%s", UUIDS[0]).replace("%%", "%")
    status, answer = await home.ask("POST", "/v1/calls", data=body, headers=headers)
    assert status == 400
    assert told in answer["error"]["message"].lower()


async def test_what_is_neither_json_nor_a_form_is_not_taken(home: House) -> None:
    status, answer = await home.ask("POST", "/v1/calls", data=b"<a/>", headers={"Content-Type": "text/xml"})
    assert (status, answer["error"]["code"]) == (415, "unsupported_type")


async def test_without_a_token_nothing_is_told(home: House) -> None:
    for method, path in (("POST", "/v1/calls"), ("GET", "/v1/calls"), ("POST", f"/v1/calls/{UUIDS[0]}/end")):
        for token in (None, "x" * 32):
            status, answer = await home.ask(method, path, token=token)
            assert (status, answer["error"]["code"]) == (401, "unauthorized")
