"""Twilio: what it may ask, whom it must be, and what becomes of its calls."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree as ET

import aiohttp
import pytest
from structlog.testing import capture_logs

from adapters import pump
from adapters.twilio.signature import sign
from config.secret import Secret
from gateway.callers.media_stream import call_media_stream
from gateway.callers.media_stream_names import new_stream
from gateway.callers.media_stream_plan import Dialect, StreamPlan
from tests.gateway_under_test import House, house, listener
from tests.media_streams import connected as hello
from tests.media_streams import media, start, stop
from tests.sound import prompt
from tests.twilio_home import ACCOUNTS, AUTH_TOKEN, PUBLIC, signed, spoken, twilio_home
from tests.websocket_lines import connected, line, upgrade

if TYPE_CHECKING:
    from pathlib import Path

    from tests.websocket_lines import Answer, WebSocketLine

FORM = {"CallSid": "CA1", "AccountSid": "AC1", "From": "+15550100", "To": "+15550101", "Direction": "inbound"}

DISTANCE_MS = 700


async def post(home: House, path: str, form: dict[str, str], **headers: str) -> tuple[int, str]:
    """Post a form as Twilio does, signed unless there is another signature; give the answer's status and text."""
    status, text, _ = await asked(home, path, form, **headers)
    return status, text


async def asked(home: House, path: str, form: dict[str, str], **headers: str) -> tuple[int, str, str]:
    """Do the same; give the kind of the text, too."""
    signature = sign(Secret(AUTH_TOKEN), PUBLIC + path, form.items())
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"http://127.0.0.1:{home.http_port}{path}",
            data=urlencode(form),
            headers={"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature} | headers,
        ) as response,
    ):
        return response.status, await response.text(), response.content_type


async def voice(home: House, **said: str) -> ET.Element:
    status, text, kind = await asked(home, "/twilio/voice", FORM | said)
    assert (status, kind) == (200, "text/xml"), text
    return ET.fromstring(text)  # noqa: S314  our own


async def stream_path(home: House, **said: str) -> str:
    """Ask what to do with a call; give the path that its stream is to come to."""
    stream = (await voice(home, **said)).find("Start/Stream")
    assert stream is not None
    assert stream.attrib["url"].startswith("wss://calls.example.test/twilio/twilio/")
    return urlsplit(stream.attrib["url"]).path


async def refusal(home: House, path: str, *headers: str) -> Answer:
    async with connected(home.http_port) as client:
        return await client.ask(upgrade(path, *headers))


async def told(stream: WebSocketLine) -> tuple[int, str]:
    """Wait until the gateway says Close; it has said nothing else."""
    ended = await stream.closed()
    assert stream.texts == []
    return ended


async def test_a_call_is_asked_about_streamed_and_transcribed(tmp_path: Path) -> None:
    async with twilio_home(tmp_path, labels={"inbound": "customer"}) as home:
        path = await stream_path(home, ForwardedFrom="+15550102")
        async with line(home.http_port, path, signed(path)) as stream:
            await stream.say(hello(), start({"queue": "support"}), *spoken(), stop(400))
            assert await told(stream) == (1000, "")
        (ended,) = await home.inbox.wait("call.ended")
        (final,) = home.inbox.of("transcript.final")
    assert (ended["reason"], ended["utterances"]) == ("hangup", 1)
    assert ended["source"] == {
        "kind": "twilio",
        "listener": "twilio",
        "call_id": "CA1",
        "stream_id": "MZ1",
        "account_id": None,
    }
    assert ended["parameters"] == {
        "accountSid": "AC1",
        "calling": "+15550100",
        "called": "+15550101",
        "direction": "inbound",
        "forwarded_from": "+15550102",
        "queue": "support",
    }
    assert (final["track"], final["label"], final["text"] != "") == ("inbound", "customer", True)


async def test_both_tracks_are_of_one_call_on_one_clock(tmp_path: Path) -> None:
    async with twilio_home(tmp_path, hand_written_twiml=True) as home:
        async with line(home.http_port, "/twilio", signed("/twilio")) as stream:
            both = [each for pair in zip(spoken(2), spoken(1002, "outbound"), strict=True) for each in pair]
            numbered = [json.loads(text) | {"sequenceNumber": str(2 + at)} for at, text in enumerate(both)]
            await stream.say(hello(), start(), *map(json.dumps, numbered), stop(2 + len(both)))
            await told(stream)
        await home.inbox.wait("call.ended")
        finals = home.inbox.of("transcript.final")
    assert {final["track"] for final in finals} == {"inbound", "outbound"}
    assert len({(final["start_ms"], final["end_ms"]) for final in finals}) == 1
    assert home.inbox.types("CA1")[-1] == "call.ended"


async def test_however_unevenly_packets_come_both_speakers_keep_their_distance(tmp_path: Path) -> None:
    pcm = prompt("conf-onlyperson")
    plan = StreamPlan(tracks=2, jitter_ms=120, loss=0.02, seed=7)
    later = bytes(16 * DISTANCE_MS) + pcm
    with capture_logs() as logs:
        async with house(tmp_path) as home:
            await call_media_stream(
                [plan.encode(pcm), plan.encode(later)],
                url=f"ws://127.0.0.1:{home.http_port}/twilio",
                stream=new_stream(Dialect.TWILIO, os.urandom),
                plan=plan,
            )
            (ended,) = await home.inbox.wait("call.ended")
            starts = {final["track"]: final["start_ms"] for final in home.inbox.of("transcript.final")}
    assert abs(starts["outbound"] - starts["inbound"] - DISTANCE_MS) <= 20
    assert all(gap > 0 for gap in ended["gap_ms"].values()), "what was lost is silence"
    assert not [each for each in logs if "is left out" in each["event"]]


async def test_audio_that_comes_too_late_is_left_out_and_told(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with house(tmp_path) as home:
            async with line(home.http_port, "/twilio") as stream:
                stamps = [120, 140, 160, 300, 320, 340, 360, 380, 180]
                frames = [media(2 + at, stamp) for at, stamp in enumerate(stamps)]
                await stream.say(start(tracks=["inbound"]), *frames, stop(2 + len(frames)))
                await told(stream)
            (ended,) = await home.inbox.wait("call.ended")
    (warning,) = [each for each in logs if "is left out" in each["event"]]
    assert warning["late_ms"] == {"inbound": 20}
    assert (ended["audio_ms"], ended["gap_ms"]) == ({"inbound": 160}, {"inbound": 120})


async def test_a_second_stream_of_a_call_is_of_the_same_call(tmp_path: Path) -> None:
    async with twilio_home(tmp_path, hand_written_twiml=True) as home:
        async with (
            line(home.http_port, "/twilio", signed("/twilio")) as first,
            line(home.http_port, "/twilio", signed("/twilio")) as second,
        ):
            await first.say(start(tracks=["inbound"]))
            await home.inbox.wait("call.started")
            await second.say(start(tracks=["outbound"], streamSid="MZ2"))
            await home.inbox.wait("track.started", 2)
            for stream in (first, second):
                await stream.say(stop(2))
                await told(stream)
        await home.inbox.wait("call.ended")
    assert home.inbox.types("CA1") == ["call.started", "track.started", "track.started", "call.ended"]


async def test_what_a_call_goes_on_with_is_its_routes(tmp_path: Path) -> None:
    routes = [{"name": "sales", "match": {"called": "+15550101"}, "twilio": {"dial": "+15550199"}}]
    async with house(
        tmp_path, TWILIO=listener(accounts=ACCOUNTS), HTTP__PUBLIC_URL=PUBLIC, ROUTES=json.dumps(routes)
    ) as home:
        dialled = await voice(home)
        silent = await voice(home, To="+15550102")
    assert [each.tag for each in dialled] == ["Start", "Dial"]
    assert dialled.findtext("Dial/Number") == "+15550199"
    assert [each.tag for each in silent] == ["Start", "Pause"]
    stream = dialled.find("Start/Stream")
    assert stream is not None
    assert stream.attrib["track"] == "both_tracks"
    assert stream.attrib["statusCallback"] == f"{PUBLIC}/twilio/twilio/status"


@pytest.mark.parametrize(("when_full", "tags"), [("go_on", ["Dial"]), ("busy", ["Reject"])])
async def test_without_room_a_call_goes_on_or_is_refused_as_its_route_says(
    tmp_path: Path, when_full: str, tags: list[str]
) -> None:
    routes = [{"name": "all", "twilio": {"dial": "+15550199", "when_full": when_full}}]
    async with (
        house(
            tmp_path,
            TWILIO=listener(accounts=ACCOUNTS, hand_written_twiml=True),
            HTTP__PUBLIC_URL=PUBLIC,
            ROUTES=json.dumps(routes),
            CALLS__MAX_CALLS=1,
        ) as home,
        line(home.http_port, "/twilio", signed("/twilio")) as stream,
    ):
        await stream.say(start(callSid="CA9"))
        await home.inbox.wait("call.started")
        assert [each.tag for each in await voice(home)] == tags
        # A second stream of the call that is there comes in all the same.
        assert [each.tag for each in await voice(home, CallSid="CA9")] == ["Start", "Dial"]
        await stream.say(stop(2))
        await told(stream)


async def test_without_https_a_call_goes_on_and_the_log_says_what_to_set(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with house(tmp_path) as home:
            answer = await voice(home)
    assert [each.tag for each in answer] == ["Pause"]
    (error,) = [each for each in logs if each["log_level"] == "error"]
    assert "http.public_url" in error["event"]


FALSE = {"X-Twilio-Signature": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="}


@pytest.mark.parametrize("path", ["/twilio/voice", "/twilio/twilio/voice", "/twilio/status"])
async def test_what_twilio_has_not_signed_is_refused(tmp_path: Path, path: str) -> None:
    with capture_logs() as logs:
        async with twilio_home(tmp_path) as home:
            status, text = await post(home, path, FORM, **FALSE)
            assert (status, json.loads(text)["error"]["code"]) == (403, "unsigned")
            other, text = await post(home, path, FORM | {"AccountSid": "AC2"})
            assert (other, json.loads(text)["error"]["code"]) == (403, "unsigned")
            assert (await post(home, path, FORM | {"CallSid": "CA2"}))[0] in {200, 204}
    (turned_away, *_) = [each for each in logs if each["event"] == "client turned away"]
    assert PUBLIC in turned_away["reason"]
    assert AUTH_TOKEN not in str(logs)


@pytest.mark.parametrize("body", [b"", b"\xff=1", b"a=1&" * 600])
async def test_what_is_no_form_is_refused(tmp_path: Path, body: bytes) -> None:
    async with house(tmp_path) as home:
        status, answer = await home.ask("POST", "/twilio/voice", token=None, data=body)
    assert (status, answer["error"]["code"]) == (400, "bad_request")


async def test_a_stream_must_bring_what_twilio_signed_and_what_was_given_out_for_it(tmp_path: Path) -> None:
    async with twilio_home(tmp_path) as home:
        path = await stream_path(home)
        for wrong in ((path, FALSE_HEADER), (path,), ("/twilio", signed("/twilio"))):
            answer = await refusal(home, *wrong)
            assert answer.status == 403, wrong
        made_up = "/twilio/twilio/" + "x" * 32
        assert (await refusal(home, made_up, signed(made_up))).error["code"] == "no_token"
        async with line(home.http_port, path, signed(path)) as stream:
            await stream.say(start(), stop(2))
            assert await told(stream) == (1000, "")
        assert (await refusal(home, path, signed(path))).error["code"] == "no_token"


FALSE_HEADER = "X-Twilio-Signature: AAAAAAAAAAAAAAAAAAAAAAAAAAA="


@pytest.mark.parametrize("said", [{"callSid": "CA2"}, {"accountSid": "AC2"}, {"accountSid": None}])
async def test_a_token_is_good_for_its_own_call_alone(tmp_path: Path, said: dict[str, Any]) -> None:
    async with twilio_home(tmp_path) as home:
        path = await stream_path(home)
        async with line(home.http_port, path, signed(path)) as stream:
            await stream.say(start(**said))
            code, reason = await told(stream)
    assert (code, reason) == (1008, "the stream is not of the call that its token was given out for")
    assert home.inbox.received == []


async def test_a_stream_of_ones_own_twiml_is_of_the_account_that_has_signed_it(tmp_path: Path) -> None:
    accounts = [*ACCOUNTS, {"sid": "AC2", "auth_tokens": ["another-token-of-an-account-of-twilio"]}]
    async with (
        twilio_home(tmp_path, hand_written_twiml=True, accounts=accounts) as home,
        line(home.http_port, "/twilio", signed("/twilio")) as stream,
    ):
        await stream.say(start(accountSid="AC2"))
        assert (await told(stream))[0] == 1008
    assert home.inbox.received == []


async def test_an_account_may_sign_with_a_key_that_is_shared_for_webhooks(tmp_path: Path) -> None:
    key = Secret("a-shared-key-of-an-account-of-twilio")
    accounts = [{"sid": "AC1", "shared_keys": {"webhooks_sharedkey_1": key.reveal()}}]
    shown = sign(key, "wss://calls.example.test/twilio", algorithm="HMAC_SHA256")
    named = "X-Twilio-Webhooks-Signature-Settings: key=webhooks_sharedkey_{},algorithm=HMAC_SHA256"
    async with twilio_home(tmp_path, hand_written_twiml=True, accounts=accounts) as home:
        header = f"X-Twilio-Signature: {shown}"
        assert (await refusal(home, "/twilio", header, named.format(2))).status == 403
        async with line(home.http_port, "/twilio", header, named.format(1)) as stream:
            await stream.say(start(), stop(2))
            assert await told(stream) == (1000, "")


async def test_a_status_ends_a_stream_whose_end_got_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump, "LAST_WORDS_SECONDS", 0.3)
    async with (
        twilio_home(tmp_path, hand_written_twiml=True) as home,
        line(home.http_port, "/twilio", signed("/twilio")) as stream,
        line(home.http_port, "/twilio", signed("/twilio")) as other,
    ):
        await stream.say(start(), *spoken())
        await other.say(start(callSid="CA2", streamSid="MZ2"))
        await home.inbox.wait("call.started", 2)
        for event in ("stream-started", "stream-stopped"):
            form = FORM | {"StreamSid": "MZ1", "StreamEvent": event}
            assert (await post(home, "/twilio/status", form))[0] == 204
        assert await told(stream) == (1000, "")
        (ended,) = await home.inbox.wait("call.ended")
        assert (ended["source"]["call_id"], ended["reason"], ended["utterances"]) == ("CA1", "hangup", 1)
        await other.say(stop(2))
        await told(other)


async def test_an_error_of_a_stream_is_told_without_what_may_be_secret(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with twilio_home(tmp_path) as home:
            report = "31920 at wss://calls.example.test/twilio/twilio/a-token: 403"
            form = FORM | {"StreamSid": "MZ1", "StreamEvent": "stream-error", "StreamError": report}
            assert (await post(home, "/twilio/status", form))[0] == 204
    (warning,) = [each for each in logs if each["event"] == "Twilio could not stream a call"]
    assert (warning["call"], warning["stream_id"], warning["error"]) == ("CA1", "MZ1", "31920 at wss://... 403")


async def test_a_stream_that_goes_on_after_an_error_is_heard_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "LAST_WORDS_SECONDS", 0.3)
    async with (
        twilio_home(tmp_path, hand_written_twiml=True) as home,
        line(home.http_port, "/twilio", signed("/twilio")) as stream,
    ):
        await stream.say(start(tracks=["inbound"]))
        await home.inbox.wait("call.started")
        form = FORM | {"StreamSid": "MZ1", "StreamEvent": "stream-error", "StreamError": "31951"}
        assert (await post(home, "/twilio/status", form))[0] == 204
        for number in range(50):
            await stream.say(media(2 + number, 120 + 20 * number))
            await asyncio.sleep(0.02)
        await stream.say(stop(52))
        assert await told(stream) == (1000, "")
        (ended,) = await home.inbox.wait("call.ended")
    assert ended["audio_ms"] == {"inbound": 1000}


OTHER_TOKEN = "another-token-of-an-account-of-twilio"  # noqa: S105  a test's
TWO_ACCOUNTS = [*ACCOUNTS, {"sid": "AC2", "auth_tokens": [OTHER_TOKEN]}]


async def test_one_account_has_no_part_in_the_calls_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump, "LAST_WORDS_SECONDS", 0.2)
    async with (
        twilio_home(tmp_path, hand_written_twiml=True, accounts=TWO_ACCOUNTS) as home,
        line(home.http_port, "/twilio", signed("/twilio")) as ours,
        line(home.http_port, "/twilio", signed("/twilio", OTHER_TOKEN)) as theirs,
    ):
        await ours.say(start(tracks=["inbound"]))
        await theirs.say(start({"accountSid": "AC1"}, tracks=["inbound"], accountSid="AC2"))
        started = await home.inbox.wait("call.started", 2)
        assert [each["source"]["call_id"] for each in started] == ["CA1", "CA1"]
        assert sorted(each["parameters"]["accountSid"] for each in started) == ["AC1", "AC2"]
        form = {"CallSid": "CA1", "AccountSid": "AC2", "StreamSid": "MZ1", "StreamEvent": "stream-stopped"}
        signature = sign(Secret(OTHER_TOKEN), f"{PUBLIC}/twilio/status", form.items())
        assert (await post(home, "/twilio/status", form, **{"X-Twilio-Signature": signature}))[0] == 204
        assert await told(theirs) == (1000, "")
        await home.inbox.wait("call.ended")
        await ours.say(*spoken(), stop(400))
        assert await told(ours) == (1000, "")
        (_, ended) = await home.inbox.wait("call.ended", 2)
    assert (ended["parameters"]["accountSid"], ended["utterances"]) == ("AC1", 1)


async def test_a_status_that_names_no_stream_ends_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump, "LAST_WORDS_SECONDS", 0.1)
    async with (
        twilio_home(tmp_path, hand_written_twiml=True) as home,
        line(home.http_port, "/twilio", signed("/twilio")) as waiting,
        line(home.http_port, "/twilio", signed("/twilio")) as nameless,
        line(home.http_port, "/twilio", signed("/twilio")) as named,
    ):
        first = json.loads(start(streamSid=None))
        del first["streamSid"]
        await nameless.say(json.dumps(first))
        await named.say(start(callSid="CA3", streamSid="MZ3"))
        await home.inbox.wait("call.started", 2)
        for form in (FORM, FORM | {"StreamSid": "MZ3"}):
            assert (await post(home, "/twilio/status", form | {"StreamEvent": "stream-stopped"}))[0] == 204
        assert await told(named) == (1000, "")
        for stream in (waiting, nameless):
            await stream.say(start(callSid="CA2"), *spoken(), stop(400))
            assert await told(stream) == (1000, "")


async def test_a_route_that_is_full_lets_calls_go_on_as_it_says(tmp_path: Path) -> None:
    routes = [{"name": "all", "max_calls": 1, "twilio": {"dial": "+15550199", "when_full": "busy"}}]
    async with (
        twilio_home(tmp_path, ROUTES=json.dumps(routes), hand_written_twiml=True) as home,
        line(home.http_port, "/twilio", signed("/twilio")) as stream,
    ):
        await stream.say(start(callSid="CA9"))
        await home.inbox.wait("call.started")
        assert [each.tag for each in await voice(home)] == ["Reject"]
        assert [each.tag for each in await voice(home, CallSid="CA9")] == ["Start", "Dial"]
        await stream.say(stop(2))
        await told(stream)


async def test_a_route_may_go_by_the_account(tmp_path: Path) -> None:
    routes = [{"name": "one", "match": {"parameters": {"accountSid": "AC1"}}, "twilio": {"enqueue": "one"}}]
    async with twilio_home(tmp_path, ROUTES=json.dumps(routes)) as home:
        assert [each.tag for each in await voice(home)] == ["Start", "Enqueue"]


@pytest.mark.parametrize("path", ["/twilio/voice", "/twilio/status", "/twilio/twilio/voice"])
async def test_a_webhook_by_get_is_told_what_to_set(tmp_path: Path, path: str) -> None:
    async with house(tmp_path) as home:
        status, answer = await home.ask("GET", path, token=None)
    assert (status, answer["error"]["code"]) == (405, "method_not_allowed")
    assert "HTTP POST" in answer["error"]["message"]


async def test_a_message_that_no_carrier_sends_ends_its_stream_alone(tmp_path: Path) -> None:
    async with twilio_home(tmp_path, hand_written_twiml=True) as home:
        async with line(home.http_port, "/twilio", signed("/twilio")) as stream:
            await stream.say(start(), media(2, 60, payload=bytes(64 * 1024)))
            assert (await stream.closed())[0] == 1009
        (ended,) = await home.inbox.wait("call.ended")
    assert ended["reason"] == "protocol_error"


async def test_addresses_that_are_not_allowed_may_sign_as_they_like(tmp_path: Path) -> None:
    async with twilio_home(tmp_path, hand_written_twiml=True, allowed_peers=["192.0.2.1"]) as home:
        assert (await refusal(home, "/twilio", signed("/twilio"))).error["code"] == "not_allowed"
        status, text = await post(home, "/twilio/voice", FORM)
    assert (status, json.loads(text)["error"]["code"]) == (403, "not_allowed")


@pytest.mark.parametrize(("insecure", "stream", "webhook"), [(False, 403, 403), (True, 101, 200)])
async def test_without_accounts_only_who_is_insecure_takes_what_comes_by_a_proxy(
    tmp_path: Path, insecure: bool, stream: int, webhook: int
) -> None:
    async with twilio_home(tmp_path, accounts=[], insecure=insecure) as home:
        assert (await refusal(home, "/twilio")).status == stream
        assert (await post(home, "/twilio/voice", FORM))[0] == webhook


async def test_an_account_signs_for_itself_alone(tmp_path: Path) -> None:
    async with twilio_home(tmp_path, accounts=TWO_ACCOUNTS) as home:
        signature = sign(Secret(OTHER_TOKEN), f"{PUBLIC}/twilio/voice", FORM.items())
        status, text = await post(home, "/twilio/voice", FORM, **{"X-Twilio-Signature": signature})
    assert (status, json.loads(text)["error"]["code"]) == (403, "unsigned")


async def test_no_secret_stands_in_a_log_or_an_event(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with twilio_home(tmp_path) as home:
            path = await stream_path(home)
            assert (await refusal(home, path, FALSE_HEADER)).status == 403
            async with line(home.http_port, path, signed(path)) as stream:
                await stream.say(start({"said": AUTH_TOKEN}), stop(2))
                await told(stream)
            (ended,) = await home.inbox.wait("call.ended")
            form = FORM | {
                "StreamSid": "MZ1",
                "StreamEvent": "stream-error",
                "StreamError": f"{AUTH_TOKEN} " + "x" * 900,
            }
            await post(home, "/twilio/status", form)
    token = path.rpartition("/")[2]
    assert ended["parameters"]["said"] == "********"
    assert token not in str(logs)
    assert AUTH_TOKEN not in str(logs)
    (warning,) = [each for each in logs if each["event"] == "Twilio could not stream a call"]
    assert len(warning["error"]) == 200


async def test_a_stream_of_which_only_an_error_is_told_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump, "LAST_WORDS_SECONDS", 0.2)
    async with (
        twilio_home(tmp_path, hand_written_twiml=True) as home,
        line(home.http_port, "/twilio", signed("/twilio")) as stream,
    ):
        await stream.say(start())
        await home.inbox.wait("call.started")
        form = FORM | {"StreamSid": "MZ1", "StreamEvent": "stream-error", "StreamError": "31903"}
        assert (await post(home, "/twilio/status", form))[0] == 204
        assert await told(stream) == (1000, "")


async def test_a_call_that_no_route_knows_goes_on_without_room_too_and_that_is_told(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with (
            twilio_home(tmp_path, CALLS__MAX_CALLS=1, hand_written_twiml=True) as home,
            line(home.http_port, "/twilio", signed("/twilio")) as stream,
        ):
            await stream.say(start(callSid="CA9"))
            await home.inbox.wait("call.started")
            for _ in range(2):
                assert [each.tag for each in await voice(home)] == ["Pause"]
            await stream.say(stop(2))
            await told(stream)
    assert sum("hears an hour of silence" in each["event"] for each in logs) == 1
    assert any(each.get("reason") == "full; goes on" for each in logs)


async def test_a_form_that_is_too_long_is_none(tmp_path: Path) -> None:
    async with twilio_home(tmp_path) as home:
        assert (await post(home, "/twilio/voice", FORM | {"x": "y" * 17_000}))[0] == 400
