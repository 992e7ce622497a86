"""`linescribe receive`, as a process and as a function."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import shlex
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from config.checks import decode_webhook_secret
from config.load import load
from config.secret import Secret
from gateway.cli.receive import receive, receiver_url, settings_to_paste
from gateway.cli.receive_output import format_event
from gateway.delivery.signing import sign
from gateway.events import (
    CallEnded,
    CallMessage,
    CallStarted,
    DigitEvent,
    ErrorInfo,
    Event,
    Source,
    TranscriptFailed,
    store,
)
from gateway.receiver import Received

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
PROGRAM = "from gateway.cli.receive import receive; receive(prog_name='linescribe receive')"
KEY = b"0123456789abcdef0123456789abcdef"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
CALL_ID = "0199c8a1-5c00-7abc-8def-0123456789ab"
NOW = 1_760_000_000.0
SOURCE = Source(kind="audiosocket", listener="front desk")
ON_TRACK: dict[str, Any] = {"call_id": CALL_ID, "source": SOURCE, "track": "1", "role": "inbound", "label": "customer"}
FINAL: dict[str, Any] = {
    "call_id": CALL_ID,
    "track": "1",
    "role": "inbound",
    "label": None,
    "start_ms": 12_340,
    "end_ms": 75_020,
    "text": "Ich hätte gern ein Bier.",
}
FAILED = TranscriptFailed(
    sequence=3,
    utterance_id="u1",
    start_ms=1000,
    end_ms=2500,
    reason="overloaded",
    error=ErrorInfo(code="overloaded", message="too much waits"),
    **ON_TRACK,
)
ENDED = CallEnded(
    call_id=CALL_ID,
    sequence=9,
    source=SOURCE,
    parameters={},
    reason="hangup",
    error=None,
    duration_ms=63_500,
    audio_ms=None,
    gap_ms=None,
    utterances=4,
    interims_shed=0,
    failed=1,
    suppressed={},
    last_sequence=9,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
field_names = st.sampled_from(["call_id", "source", "label", "start_ms", "end_ms", "text", "duration_ms", "reason"])
kinds = st.sampled_from(
    ["call.started", "transcript.final", "transcript.failed", "call.digit", "call.message", "call.ended"]
)


def received(kind: str, data: dict[str, Any], timestamp: str = "2025-10-09T08:53:20.000Z") -> Received:
    return Received(event_id="msg_1", type=kind, timestamp=timestamp, data=data, received_at=NOW)


def shown(event: Event) -> str:
    body = json.loads(store(event, NOW).body)
    return format_event(received(body["type"], body["data"])).plain


@pytest.fixture(autouse=True)
def _local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Vienna")
    time.tzset()


# The lines


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            CallStarted(call_id=CALL_ID, sequence=1, source=SOURCE, parameters={}),
            "10:53:20  456789ab                                   call.started from front desk",
        ),
        (FAILED, "10:53:20  456789ab  customer    00:01.000-00:02.500  no text: overloaded"),
        (
            DigitEvent(sequence=4, digit="#", at_ms=3000, **ON_TRACK),
            "10:53:20  456789ab  customer                         pressed #",
        ),
        (
            CallMessage(call_id=CALL_ID, sequence=5, source=SOURCE, text='{"menu":\x1b[2J1}', at_ms=3100),
            "10:53:20  456789ab  " + 33 * " " + 'message: {"menu":\ufffd[2J1}',
        ),
        (
            ENDED,
            "10:53:20  456789ab  " + 33 * " " + "call ended: hangup; 01:03.500, utterances 4, failed 1",
        ),
        (
            msgspec.structs.replace(ENDED, duration_ms=None, reason="gateway_restart"),
            "10:53:20  456789ab                                   call ended: gateway_restart; utterances 4, failed 1",
        ),
    ],
)
def test_lines(event: Event, line: str) -> None:
    assert shown(event) == line


def test_words_are_shown_with_their_speaker_and_their_place() -> None:
    line = format_event(received("transcript.final", FINAL)).plain
    assert line == "10:53:20  456789ab  inbound     00:12.340-01:15.020  Ich hätte gern ein Bier."
    assert format_event(received("transcript.interim", FINAL)).plain == line + " …"


def test_what_is_not_known_yet_is_shown_by_its_name() -> None:
    line = format_event(received("call.moved", {"call_id": CALL_ID}, timestamp="soon")).plain
    assert line.split() == ["10:53:20", "456789ab", "call.moved"]


def test_a_caller_cannot_steer_the_terminal() -> None:
    line = format_event(
        received("transcript.final", FINAL | {"text": "\x1b]0;owned\x07[red]x[/red]\r\n", "label": "\x1b[2J"})
    )
    assert line.plain.endswith(
        "\N{REPLACEMENT CHARACTER}]0;owned\N{REPLACEMENT CHARACTER}[red]x[/red]" + "\N{REPLACEMENT CHARACTER}" * 2
    )
    assert line.plain.isprintable()


@given(kinds | st.text(), st.dictionaries(field_names | st.text(max_size=5), json_values), st.text())
def test_any_event_makes_one_line(kind: str, data: dict[str, Any], timestamp: str) -> None:
    assert format_event(received(kind, data, timestamp)).plain.isprintable()


# What is there to paste


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:9900/"),
        ("localhost", "http://localhost:9900/"),
        ("0.0.0.0", "http://127.0.0.1:9900/"),  # noqa: S104  a name, nothing is bound
        ("::", "http://127.0.0.1:9900/"),
        ("::1", "http://[::1]:9900/"),
        ("192.0.2.7", "http://192.0.2.7:9900/"),
        ("2001:db8::7", "http://[2001:db8::7]:9900/"),
    ],
)
@pytest.mark.parametrize("interims", [False, True])
def test_what_is_to_be_pasted_are_settings(host: str, url: str, interims: bool, tmp_path: Path) -> None:
    assert receiver_url(host, 9900) == url
    text = settings_to_paste(url, SECRET, interims=interims)
    file = tmp_path / "gateway.yaml"
    file.write_text(text[text.index("delivery:") : text.index("or this")])
    _, variable = shlex.split(text[text.index("export ") :])
    name, _, value = variable.partition("=")
    for settings in (load(file, {}), load(None, {name: value})):
        (endpoint,) = settings.delivery.endpoints
        assert endpoint.interims is interims
        assert (endpoint.name, endpoint.url, endpoint.secrets) == ("receive", url, (Secret(SECRET),))


# The command


def test_help_teaches() -> None:
    result = CliRunner().invoke(receive, ["--help"])
    assert result.exit_code == 0
    for words in ("linescribe receive --json | jq .", "LINESCRIBE_RECEIVE_SECRET", "openssl rand", "default: 9900;"):
        assert words in " ".join(result.output.split())


def test_a_port_in_use_is_said_clearly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(receive, ["--port", str(port)])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: Cannot listen on 127.0.0.1 port {port}: ")
    assert "address already in use" in result.stderr


@pytest.mark.parametrize("secret", ["hunter2", "whsec_aHVudGVyMg==", "whsec_%%%"])
def test_a_secret_that_is_none_is_refused_and_not_repeated(secret: str) -> None:
    for options, environment in ((["--secret", secret], {}), ([], {"LINESCRIBE_RECEIVE_SECRET": secret})):
        result = CliRunner().invoke(receive, options, env=environment)
        assert result.exit_code == 2
        assert "Expected a secret of the form whsec_" in result.stderr
        assert secret not in result.output


class Running:
    """The command as a process, told apart from its world by its environment."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.preamble = ""
        self.url = ""

    async def listening(self) -> None:
        assert self.process.stderr
        line = (await self.process.stderr.readline()).decode()
        found = re.fullmatch(r"Listening on (http://127\.0\.0\.1:\d+/) - Ctrl-C ends\.\n", line)
        assert found, line
        self.url = found[1]

    async def post(self, body: bytes, key: bytes = KEY, event_id: str = "msg_1") -> int:
        headers = sign([key], event_id, int(time.time()), body)  # noqa: TID251  the process has the same clock
        async with aiohttp.ClientSession() as session, session.post(self.url, data=body, headers=headers) as answer:
            return answer.status

    async def line(self) -> str:
        assert self.process.stdout
        async with asyncio.timeout(10):
            return (await self.process.stdout.readline()).decode()

    async def end(self, number: signal.Signals = signal.SIGINT) -> tuple[str, str]:
        self.process.send_signal(number)
        async with asyncio.timeout(10):
            out, err = await self.process.communicate()
        return out.decode(), err.decode()


@contextlib.asynccontextmanager
async def running(*options: str, secret: str | None = SECRET) -> AsyncIterator[Running]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LINESCRIBE_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, "--port", "0", *options),
        cwd=ROOT,
        env=environ | ({"LINESCRIBE_RECEIVE_SECRET": secret} if secret else {}) | {"COLUMNS": "40"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    command = Running(process)
    try:
        await command.listening()
        yield command
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_shows_each_event_once_and_ends_cleanly() -> None:
    body = json.dumps({"type": "transcript.final", "timestamp": "2025-10-09T08:53:20.000Z", "data": FINAL}).encode()
    async with running() as command:
        assert await command.post(body) == 204
        assert await command.line() == "10:53:20  456789ab  inbound     00:12.340-01:15.020  Ich hätte gern ein Bier.\n"
        assert await command.post(body) == 204
        assert await command.post(body, key=KEY[::-1], event_id="msg_2") == 401
        out, err = await command.end()
    assert (out, err) == ("", "Refused a request: no signature fits. Has the gateway this receiver's secret?\n")
    assert command.process.returncode == 0


async def test_json_is_one_object_a_line_and_nothing_else() -> None:
    event = {"type": "transcript.final", "timestamp": "2025-10-09T08:53:20.000Z", "data": FINAL | {"new": [1, None]}}
    async with running("--json") as command:
        assert await command.post(json.dumps(event, indent=4).encode()) == 204
        assert json.loads(await command.line()) == event
        assert await command.end(signal.SIGTERM) == ("", "")
    assert command.process.returncode == 0


async def test_where_no_line_can_be_replaced_every_interim_is_one() -> None:
    interim = FINAL | {"utterance_id": "u1", "stable_chars": 3}
    async with running() as command:
        for revision, text in enumerate(("Ich hätte", "Ich hätte gern"), start=1):
            data = interim | {"text": text, "revision": revision}
            body = {"type": "transcript.interim", "timestamp": "2025-10-09T08:53:20.000Z", "data": data}
            assert await command.post(json.dumps(body).encode(), event_id=f"msg_u1_{revision}") == 204
            assert (await command.line()).endswith(f"  {text} …\n")
        assert await command.end() == ("", "")


async def test_without_a_secret_it_makes_one_to_paste(tmp_path: Path) -> None:
    async with running("--json", secret=None) as command:
        out, err = await command.end()
    assert out == ""
    file = tmp_path / "gateway.yaml"
    file.write_text(err[err.index("delivery:") : err.index("or this")])
    (endpoint,) = load(file, {}).delivery.endpoints
    assert endpoint.url == command.url
    assert len(decode_webhook_secret(endpoint.secrets[0])) == 32


async def test_a_made_secret_is_good_and_another_every_time() -> None:
    made = set()
    for _ in range(2):
        async with running(secret=None) as command:
            assert command.process.stderr
            text = (await command.process.stderr.readuntil(b"]'\n")).decode()
            found = re.search(r"whsec_[A-Za-z0-9+/=]+", text)
            assert found
            made.add(found[0])
            body = b'{"type":"call.moved","timestamp":"","data":{}}'
            assert await command.post(body, key=decode_webhook_secret(Secret(found[0]))) == 204
            assert "call.moved" in await command.line()
            await command.end()
    assert len(made) == 2


async def test_ends_when_nobody_reads_any_more() -> None:
    body = b'{"type":"call.moved","timestamp":"","data":{}}'
    async with running("--json") as command:
        reader = command.process.stdout
        assert reader
        transport = reader._transport  # type: ignore[attr-defined]
        transport.close()
        assert await command.post(body) == 503
        async with asyncio.timeout(10):
            assert await command.process.wait() == 1
        assert command.process.stderr
        assert await command.process.stderr.read() == b""
