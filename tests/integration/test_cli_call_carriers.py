from __future__ import annotations

import base64
import json
import re
import ssl
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trustme

from adapters.twilio import plivo_signature
from adapters.twilio.signature import sign
from config.secret import Secret
from gateway.callers.media_stream_plan import FORMATS, Dialect, StreamPlan, steps
from tests.calling import AGENT, CALLER, SHORT, call, linescribe
from tests.sound import prompt
from tests.wire_recorder import CLOSE, TEXT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.wire_recorder import Wire

LONGER = ("--hangup-at", "0.5")
CALL_IDS = {
    "twilio": "callSid",
    "telnyx": "call_control_id",
    "signalwire": "callSid",
    "plivo": "callId",
    "exotel": "call_sid",
}


def told(wire: Wire) -> list[dict[str, Any]]:
    return [json.loads(frame.payload) for frame in wire.of(TEXT)]


def start(wire: Wire) -> dict[str, Any]:
    (found,) = [message for message in told(wire) if message["event"] == "start"]
    return found


def audio(wire: Wire, track: str | None = "inbound") -> bytes:
    media = [message["media"] for message in told(wire) if message["event"] == "media"]
    return b"".join(base64.b64decode(each["payload"]) for each in media if each.get("track") == track)


def header(wire: Wire, name: str) -> str | None:
    found = re.search(rf"^{name}: (.*)\r$", wire.request.decode(), re.MULTILINE)
    return found[1] if found else None


@pytest.mark.parametrize("kind", CALL_IDS)
async def test_a_carrier_calls_with_each_file_at_the_same_time(kind: str) -> None:
    status, out, recorder = await call(kind, *LONGER, "--calls", 2, CALLER, AGENT)
    assert (status, len(out.splitlines())) == (0, 4)
    names = {start(wire)["start"][CALL_IDS[kind]] for wire in recorder.wires}
    assert {line.split("  ")[0] for line in out.splitlines()} == names
    assert len(names) == 4
    assert all(line.endswith("; what was understood is told by webhooks alone") for line in out.splitlines())
    plan = StreamPlan(dialect=Dialect(kind), format=FORMATS[Dialect(kind)][0])
    begun = {audio(wire, None if kind == "exotel" else "inbound") for wire in recorder.wires}
    samples = 4 * 800 if kind == "exotel" else 19 * 160
    assert begun == {plan.encode(prompt(file.stem)[: 2 * samples]) for file in (CALLER, AGENT)}
    assert [message["event"] for message in told(recorder.wires[0])][-1] == ("media" if kind == "plivo" else "stop")
    assert len(recorder.wires[0].of(CLOSE)) == 1


@pytest.mark.parametrize("kind", ["twilio", "telnyx", "signalwire", "plivo"])
async def test_a_carrier_plays_two_speakers_of_one_call(kind: str) -> None:
    status, out, recorder = await call(kind, *LONGER, "--both", CALLER, AGENT)
    (wire,) = recorder.wires
    assert (status, len(out.splitlines())) == (0, 1)
    for track, file in (("inbound", CALLER), ("outbound", AGENT)):
        sent = audio(wire, track)
        assert len(sent) == 19 * 160
        assert StreamPlan().encode(prompt(file.stem)).startswith(sent)


async def test_twilio_signs_the_url_that_it_calls() -> None:
    _, _, recorder = await call("twilio", *SHORT, CALLER, path="/media/x", LINESCRIBE_TWILIO_AUTH_TOKEN="12345")
    (wire,) = recorder.wires
    url = f"wss://127.0.0.1:{recorder.port}/media/x"
    assert header(wire, "X-Twilio-Signature") == sign(Secret("12345"), url)
    assert header(wire, "User-Agent") == "Twilio.TmeWs/1.0"


async def test_twilio_signs_the_url_that_it_is_told(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("12345\n")
    options = ("--auth-token-file", file, "--signed-url", "wss://calls.example.test/media")
    _, _, recorder = await call("twilio", *SHORT, *options, CALLER, LINESCRIBE_TWILIO_AUTH_TOKEN="another")
    assert header(recorder.wires[0], "X-Twilio-Signature") == "/MIgWeSdRjBvJidfIkWp5nIktRc="


async def test_twilio_does_not_sign_without_a_token() -> None:
    _, _, recorder = await call("twilio", *SHORT, CALLER, LINESCRIBE_TWILIO_AUTH_TOKEN="")
    assert header(recorder.wires[0], "X-Twilio-Signature") is None


async def test_plivo_signs_as_it_was_seen_to_with_another_nonce_each_time() -> None:
    nonces = set()
    for _ in range(2):
        _, _, recorder = await call("plivo", *SHORT, CALLER, path="/plivo?a=b", LINESCRIBE_PLIVO_AUTH_TOKEN="12345")
        (wire,) = recorder.wires
        nonce = header(wire, "X-Plivo-Signature-V3-Nonce") or ""
        nonces.add(nonce)
        wanted = plivo_signature.sign(Secret("12345"), f"http://127.0.0.1:{recorder.port}/plivo", nonce)
        assert header(wire, "X-Plivo-Signature-V3") == wanted
    assert len(nonces) == 2


@pytest.mark.parametrize("kind", ["telnyx", "signalwire", "exotel"])
async def test_the_others_give_a_user_or_a_token(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("SECRET\n")
    _, _, recorder = await call(kind, *SHORT, "--token-file", file, CALLER)
    assert header(recorder.wires[0], "Authorization") == "Bearer SECRET"
    _, _, recorder = await call(kind, *SHORT, "--user", "pbx", CALLER, LINESCRIBE_CALL_PASSWORD="p")
    assert header(recorder.wires[0], "Authorization") == "Basic cGJ4OnA="


async def test_a_stream_is_named_as_wished() -> None:
    names = ("--call-id", "CA7", "--account-id", "AC7", "--parameter", "call_ref=a=b", "--parameter", "queue=")
    status, out, recorder = await call("twilio", *SHORT, *names, "--calls", 2, CALLER)
    starts = [start(wire) for wire in recorder.wires]
    assert status == 0
    for each in starts:
        assert (each["start"]["callSid"], each["start"]["accountSid"]) == ("CA7", "AC7")
        assert each["start"]["customParameters"] == {"call_ref": "a=b", "queue": ""}
    assert {line.split("  ")[0] for line in out.splitlines()} == {each["streamSid"] for each in starts}
    assert len(out.splitlines()) == 2


async def test_telnyx_and_exotel_tell_who_calls_whom() -> None:
    numbers = ("--from", "+15550177", "--to", "+15550188")
    _, _, recorder = await call("telnyx", *SHORT, *numbers, "--client-state", "17", CALLER)
    said = start(recorder.wires[0])["start"]
    assert (said["from"], said["to"], said["client_state"]) == ("+15550177", "+15550188", "MTc=")
    _, _, recorder = await call("exotel", *SHORT, *numbers, CALLER)
    said = start(recorder.wires[0])["start"]
    assert (said["from"], said["to"]) == ("+15550177", "+15550188")


async def test_plivo_dates_its_packets() -> None:
    _, _, recorder = await call("plivo", *SHORT, "--parameter", "x=1", "--end", "stop", CALLER)
    messages = told(recorder.wires[0])
    assert (messages[0]["extra_headers"], messages[-1]["event"]) == ('{"x":"1"}', "stop")
    assert int(messages[1]["media"]["timestamp"]) > 1_700_000_000_000


async def test_how_a_stream_fares_can_be_told() -> None:
    ways = ("--loss", 0.3, "--seed", 3, "--digit", "0.15:5", "--shape", "no-timestamps")
    status, _, recorder = await call("telnyx", *LONGER, *ways, "--reorder", 0.5, "--loss-numbered", CALLER)
    messages = told(recorder.wires[0])
    media = [message["media"] for message in messages if message["event"] == "media"]
    chunks = [int(each["chunk"]) for each in media]
    assert status == 0
    assert sorted(chunks) != chunks
    assert messages[-1]["sequence_number"] == str(len(["start", *range(19), "dtmf", "stop"]))
    assert len(chunks) < 17
    assert "timestamp" not in media[0]
    assert [message["dtmf"]["digit"] for message in messages if message["event"] == "dtmf"] == ["5"]


async def test_messages_can_be_late() -> None:
    plan = StreamPlan(jitter_ms=400)
    seed = next(n for n in range(99) if next(steps([b""], msgspec.structs.replace(plan, seed=n))).at > 0.4)
    _, _, recorder = await call("twilio", *SHORT, "--jitter", 400, "--seed", seed, CALLER)
    assert recorder.wires[0].times[2] > 0.4


async def test_every_call_has_its_own_chance() -> None:
    _, _, recorder = await call("twilio", *LONGER, "--loss", 0.5, "--calls", 3, CALLER)
    lost = {tuple(m["media"]["timestamp"] for m in told(wire) if m["event"] == "media") for wire in recorder.wires}
    assert len(lost) == 3


async def test_a_format_is_chosen() -> None:
    _, _, recorder = await call("signalwire", *SHORT, "--rate", 24000, "--packet-ms", 40, CALLER)
    (wire,) = recorder.wires
    assert start(wire)["start"]["mediaFormat"] == {"encoding": "audio/x-l16", "sampleRate": 24000, "channels": 1}
    assert len(audio(wire)) == 2 * 1920


async def test_a_stream_breaks_as_wished() -> None:
    status, _, recorder = await call("twilio", *SHORT, "--end", "break", "--shape", "minimal", CALLER)
    (wire,) = recorder.wires
    assert (status, wire.was_reset, wire.of(CLOSE)) == (0, True, [])
    assert list(start(wire)["start"]) == ["streamSid", "callSid"]


async def test_what_the_gateway_says_on_twilios_stream_is_told() -> None:
    async def talk(wire: Wire) -> None:
        wire.answer()
        wire.say_text('{"event":"clear"}')

    status, out, _ = await call("twilio", *SHORT, CALLER, serve=talk)
    assert status == 0
    assert out.splitlines()[0].endswith('the gateway says {"event":"clear"}')
    assert "1 texts received, ended by the caller; Twilio takes no texts on a stream of <Start>" in out
    _, out, _ = await call("telnyx", *SHORT, CALLER, serve=talk)
    assert out.splitlines()[1].endswith("1 texts received, ended by the caller")


@pytest.mark.parametrize(
    ("kind", "answer", "remedy"),
    [
        ("twilio", "403 Forbidden", "(LINESCRIBE_TWILIO_AUTH_TOKEN or --auth-token-file; --signed-url where"),
        ("telnyx", "401 Unauthorized", "(--token-file, or --user and LINESCRIBE_CALL_PASSWORD or --password-file)"),
        ("plivo", "401 Unauthorized", "(put a secret of the listener's credentials into the path of --url)"),
    ],
)
async def test_a_refusal_names_what_to_give(kind: str, answer: str, remedy: str) -> None:
    async def refuse(wire: Wire) -> None:
        wire.answer(status=answer)

    status, out, _ = await call(kind, CALLER, serve=refuse)
    assert status == 1
    assert f"answered {answer}" in out
    assert remedy in out


async def test_wss_trusts_whom_it_is_told_to(tmp_path: Path) -> None:
    authority, server, ca = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), tmp_path / "ca.pem"
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.cert_pem.write_to_path(str(ca))
    status, _, _ = await call("twilio", *SHORT, "--ca", ca, CALLER, tls=server)
    assert status == 0


def test_a_secret_file_holds_one_token(tmp_path: Path) -> None:
    for text in ("", "two words", "line\nline", "\x01"):
        (tmp_path / "token").write_text(text)
        for kind, option in (("twilio", "--auth-token-file"), ("telnyx", "--token-file")):
            status, said = linescribe(kind, option, tmp_path / "token", CALLER)
            assert (status, f"{option} wants a file with one token in it" in said) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["twilio"], 2, "Give one FILE or more, or --both"),
        (["plivo", "--both", CALLER, AGENT, CALLER], 2, "Give one FILE or more, or --both"),
        (["exotel"], 2, "Missing argument"),
        (["exotel", "--both", CALLER, AGENT], 2, "No such option"),
        (["twilio", "--signed-url", "wss://gw/x", CALLER], 2, "set LINESCRIBE_TWILIO_AUTH_TOKEN, or give --auth-token"),
        (["twilio", "--signed-url", "ws://gw/x", CALLER], 2, "a wss:// URL is what is signed"),
        (["twilio", "--signed-url", "gw", CALLER], 2, "is no URL such as"),
        (["twilio", "--rate", "16000", CALLER], 2, "16000"),
        (["twilio", "--user", "x", CALLER], 2, "No such option"),
        (["signalwire", "--encoding", "L16", "--rate", "8000", CALLER], 2, "L16 8000 is none of these"),
        (["telnyx", "--shape", "minimal", CALLER], 2, "minimal"),
        (["telnyx", "--parameter", "a=b", CALLER], 2, "No such option"),
        (["telnyx", "--user", "x", "--token-file", CALLER, CALLER], 2, "Give --token-file or --user"),
        (["telnyx", "--user", "x", CALLER], 2, "set LINESCRIBE_CALL_PASSWORD"),
        (["twilio", "--reorder", "0.1", CALLER], 2, "No such option"),
        (["twilio", "--loss", "2", CALLER], 2, "2"),
        (["twilio", "--parameter", "x", CALLER], 2, "expected NAME=VALUE"),
        (["twilio", "--digit", "1:55", CALLER], 2, "expected AT:KEY"),
        (["twilio", "absent.wav"], 1, "absent.wav: No such file or directory; no call was made"),
        (["twilio", "--url", "ws://127.0.0.1:1/", CALLER], 1, "no call to ws://127.0.0.1:1/"),
    ],
)
def test_what_is_wrong_is_named(arguments: list[object], status: int, expected: str) -> None:
    kind, *rest = arguments
    ended, said = linescribe(str(kind), *rest, LINESCRIBE_TWILIO_AUTH_TOKEN="")
    assert ended == status
    assert expected in said
