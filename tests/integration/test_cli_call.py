from __future__ import annotations

import json
import re
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from gateway.callers.asterisk_websocket_plan import CODECS
from gateway.callers.audio import mixed, stereo
from tests.calling import AGENT, CALLER, SHORT, call, linescribe
from tests.sound import prompt
from tests.wire_recorder import BINARY, CLOSE, TEXT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.wire_recorder import Wire


def said(text: str, **data: object) -> str:
    return json.dumps({"type": "transcription", "data": {"track": "inbound", "text": text, **data}})


def path(wire: Wire) -> str:
    return wire.request.decode().split(" ")[1]


def audio(wire: Wire) -> bytes:
    return b"".join(frame.payload for frame in wire.of(BINARY))


def first_text(wire: Wire) -> dict[str, object]:
    told: dict[str, object] = json.loads(wire.of(TEXT)[0].payload)
    return told


async def test_freeswitch_calls_with_each_file_at_the_same_time() -> None:
    status, out, recorder = await call("freeswitch", *SHORT, "--calls", 2, CALLER, AGENT)
    assert status == 0
    names = {first_text(wire)["callId"] for wire in recorder.wires}
    assert {line.split("  ")[0] for line in out.splitlines()} == names
    assert len(names) == len(out.splitlines()) == 4
    assert all(" with 2880 bytes of audio sent" in line for line in out.splitlines())
    assert {path(wire) for wire in recorder.wires} == {"/x?rate=8000&channels=1"}
    begun = {prompt(file.stem)[: 9 * 320] for file in (CALLER, AGENT)}
    assert {audio(wire) for wire in recorder.wires} == begun


@pytest.mark.parametrize(("more", "channels"), [((), 2), (("--mixed",), 1)])
async def test_freeswitch_plays_two_speakers_of_one_call(more: tuple[str, ...], channels: int) -> None:
    arguments = (*SHORT, "--rate", 8000, *more, "--both", CALLER, AGENT)
    status, out, recorder = await call("freeswitch", *arguments, path="/x?rate=fast")
    (wire,) = recorder.wires
    assert (status, len(out.splitlines())) == (0, 1)
    assert path(wire) == f"/x?rate=fast&channels={channels}"
    both = (stereo if channels == 2 else mixed)(prompt(CALLER.stem), prompt(AGENT.stem))
    assert audio(wire) == both[: 9 * 320 * channels]


async def test_freeswitch_does_what_it_is_told() -> None:
    options = ("--rate", 16000, "--packet-ms", 30, "--text", "0.1:ab:c", "--pause", "0.06:0.1", "--metadata", "{no")
    ending = ("--end", "stop", "--last-text", "bye", "--user", "pbx")
    status, _, recorder = await call("freeswitch", *SHORT, *options, *ending, CALLER, LINESCRIBE_CALL_PASSWORD="p")
    (wire,) = recorder.wires
    assert status == 0
    assert [frame.payload for frame in wire.of(TEXT)] == [b"{no", b"ab:c", b"bye"]
    # Packets of 30 ms at 0.02, 0.05 and 0.17 s; one that the upgrade keeps waiting comes with the next.
    assert len(audio(wire)) == 3 * 960
    assert all(len(frame.payload) % 960 == 0 for frame in wire.of(BINARY))
    assert b"authorization: Basic cGJ4OnA=\r\n" in wire.request


async def test_mod_audio_stream_speaks_its_own_way(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("pass word\n")
    options = ("--module", "stream", "--no-metadata", "--user", "pbx", "--password-file", password)

    async def cut_after_close(wire: Wire) -> None:
        wire.cuts_after_close = True
        wire.answer()

    status, _, recorder = await call("freeswitch", *SHORT, *options, CALLER, serve=cut_after_close)
    (wire,) = recorder.wires
    assert (status, wire.of(TEXT)) == (0, [])
    assert b"Authorization:Basic cGJ4OnBhc3Mgd29yZA==\r\n" in wire.request
    assert wire.of(CLOSE)[0].payload[2:] == b"Normal closure"


@pytest.mark.parametrize("more", [(), ("--interims",)])
async def test_transcripts_are_printed_until_the_last_word(more: tuple[str, ...]) -> None:
    async def transcribe(wire: Wire) -> None:
        wire.answer()
        wire.say_text(said("How", revision=0))
        await wire.wait(lambda: any(not frame.payload for frame in wire.frames))
        wire.say_text(said("How do you do?"))
        wire.close()

    status, out, recorder = await call("freeswitch", *SHORT, "--end", "graceful", *more, CALLER, serve=transcribe)
    name = first_text(recorder.wires[0])["callId"]
    interim = [f"{name}  inbound     How …"] * bool(more)
    assert (status, out.splitlines()[:-1]) == (0, [*interim, f"{name}  inbound     How do you do?"])
    assert "2 texts received, ended by the caller" in out.splitlines()[-1]


async def test_transcripts_make_their_way_past_the_bars_of_a_terminal() -> None:
    async def transcribe(wire: Wire) -> None:
        wire.answer()
        wire.say_text(said("How do you do?"))

    _, out, recorder = await call("freeswitch", *SHORT, CALLER, serve=transcribe, FORCE_COLOR="1")
    name = first_text(recorder.wires[0])["callId"]
    assert f"{CALLER.name} {name}"[:40] in out
    assert f"{name}  inbound     How do you do?\n" in out


@pytest.mark.parametrize(("more", "says"), [((), True), (("--end", "stop"), True), (("--module", "stream"), False)])
async def test_what_waits_for_the_last_word_is_named_where_none_came(more: tuple[str, ...], *, says: bool) -> None:
    _, out, _ = await call("freeswitch", *SHORT, *more, CALLER)
    assert ("--end graceful waits" in out) == says


async def test_a_call_that_the_gateway_ends_is_told() -> None:
    async def close(wire: Wire) -> None:
        wire.answer()
        await wire.came(BINARY)
        wire.close(1013, "try again later")

    status, out, _ = await call("freeswitch", CALLER, serve=close)
    assert status == 1
    assert out.splitlines()[-1].endswith("ended by the gateway with 1013 try again later; its log says why")


async def test_asterisk_calls_as_chan_websocket() -> None:
    options = ("--format", "slin16", "--direction", "in", "--variable", "GW_FROM=a=b", "--variable", "__X=")
    status, out, recorder = await call("asterisk-websocket", *SHORT, *options, "--digit", "0:5", "--calls", 2, CALLER)
    assert status == 0
    told = [first_text(wire) for wire in recorder.wires]
    assert {line.split("  ")[0] for line in out.splitlines()} == {each["channel_id"] for each in told}
    assert len({each["channel"] for each in told}) == len(told) == 2
    assert {re.sub(r"\d+", "N", str(each["channel_id"])) for each in told} == {"N.N"}
    for each in told:
        assert (each["format"], each["optimal_frame_size"]) == ("slin16", 640)
        assert each["channel_variables"] == {
            "DIALEDPEERNUMBER": "gw/c(slin16)f(json)d(in)",
            "MEDIA_WEBSOCKET_CONNECTION_ID": "gw",
            "MEDIA_WEBSOCKET_OPTIMAL_FRAME_SIZE": "640",
            "GW_FROM": "a=b",
            "__X": "",
        }


async def test_asterisk_sends_what_the_codec_makes_of_a_file() -> None:
    options = ("--dialect", "plain-text", "--format", "alaw", "--hold", "0.06:0.06")
    status, _, recorder = await call("asterisk-websocket", *SHORT, *options, CALLER)
    (wire,) = recorder.wires
    assert status == 0
    assert wire.of(TEXT)[0].payload.startswith(b"MEDIA_START connection_id:gw channel:WebSocket/gw/0x")
    assert audio(wire) == CODECS["alaw"].encode(prompt(CALLER.stem))[: 7 * 160]


async def test_asterisk_hangs_up_when_it_is_told_to() -> None:
    async def hang_up(wire: Wire) -> None:
        wire.answer(protocol="media")
        await wire.came(BINARY)
        wire.say_text('{"command":"HANGUP"}')

    status, out, _ = await call("asterisk-websocket", CALLER, serve=hang_up)
    assert status == 1
    assert out.splitlines()[0].endswith('the gateway says {"command":"HANGUP"}')
    assert "ended by the gateway; its log says why" in out.splitlines()[1]


async def test_a_refusal_names_what_to_give() -> None:
    async def refuse(wire: Wire) -> None:
        wire.answer(status="401 Unauthorized")

    for kind in ("freeswitch", "asterisk-websocket"):
        status, out, _ = await call(kind, CALLER, serve=refuse)
        assert status == 1
        assert out.startswith(f"linescribe: {CALLER}: no call to ws://127.0.0.1:")
        assert "answered 401 Unauthorized; give the user and the password that it wants" in out
        assert "(--user; LINESCRIBE_CALL_PASSWORD or --password-file)" in out


async def test_wss_trusts_whom_it_is_told_to(tmp_path: Path) -> None:
    authority, server, ca = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), tmp_path / "ca.pem"
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.cert_pem.write_to_path(str(ca))
    for kind in ("freeswitch", "asterisk-websocket"):
        status, _, _ = await call(kind, *SHORT, "--ca", ca, CALLER, tls=server)
        assert status == 0


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["freeswitch"], 2, "Give one FILE or more, or --both"),
        (["freeswitch", "--both", CALLER, AGENT, CALLER], 2, "Give one FILE or more, or --both"),
        (["freeswitch", "--mixed", CALLER], 2, "--mixed needs the two speakers"),
        (["freeswitch", "--metadata", "{}", "--no-metadata", CALLER], 2, "--metadata or --no-metadata"),
        (["freeswitch", "--module", "stream", "--end", "graceful", CALLER], 2, "knows no graceful-shutdown"),
        (["freeswitch", "--last-text", "bye", CALLER], 2, "only stop has a last text"),
        (["freeswitch", "--text", "now", CALLER], 2, "expected AT:TEXT, such as 1.5:5, got now"),
        (["freeswitch", "--pause", "1:0", CALLER], 2, "expected AT:SECONDS"),
        (["freeswitch", "--url", "http://gw/", CALLER], 2, "is no URL such as ws://"),
        (["freeswitch", "--user", "pbx", CALLER], 2, "set LINESCRIBE_CALL_PASSWORD, or give --password-file"),
        (["freeswitch", "--password-file", CALLER, CALLER], 2, "needs the --user"),
        (["freeswitch", "--ca", CALLER, CALLER], 2, "--ca wants a PEM file"),
        (["freeswitch", "absent.wav"], 1, "absent.wav: No such file or directory; no call was made"),
        (["freeswitch", "--url", "ws://127.0.0.1:1/", CALLER], 1, "no call to ws://127.0.0.1:1/"),
        (["asterisk-websocket"], 2, "Missing argument"),
        (["asterisk-websocket", "--variable", "x", CALLER], 2, "expected NAME=VALUE"),
        (["asterisk-websocket", "--variable", "=x", CALLER], 2, "expected NAME=VALUE"),
        (["asterisk-websocket", "--digit", "1:55", CALLER], 2, "expected AT:KEY"),
        (["asterisk-websocket", "--format", "opus", CALLER], 2, "opus"),
        (["asterisk-websocket", "absent.wav"], 1, "absent.wav: No such file or directory; no call was made"),
    ],
)
def test_what_is_wrong_is_named(arguments: list[object], status: int, expected: str) -> None:
    kind, *rest = arguments
    ended, said = linescribe(str(kind), *rest)
    assert ended == status
    assert expected in said
