from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
import trustme
from click.testing import CliRunner

import config
from config.settings import Settings
from gateway import __version__
from gateway.cli import COMMANDS, main
from gateway.cli.call import COMMANDS as CALLS
from gateway.cli.twilio import COMMANDS as STREAMS
from tests.gateway_under_test import TOKEN, house

if TYPE_CHECKING:
    from tests.gateway_under_test import House

PROMPT = Path(config.__file__).parent.parent / "gateway" / "demo" / "prompts" / "conf-onlyperson.ulaw"
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("LINESCRIBE_")}


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ.keys() - CLEAN.keys():
        monkeypatch.delenv(name)


def linescribe(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=CLEAN | environ,
    )


@pytest.mark.parametrize(
    "command",
    [
        (),
        *[(name,) for name in COMMANDS],
        *[("call", name) for name in CALLS],
        *[("twilio", name) for name in STREAMS],
    ],
)
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output
    assert "\\b" not in result.output, "click's mark must not be seen"
    assert len(result.output.splitlines()) > 5


def test_the_first_help_names_every_command() -> None:
    output = CliRunner().invoke(main, ["--help"]).output
    assert all(f"  {name} " in output for name in COMMANDS)


def test_the_version() -> None:
    assert __version__ in CliRunner().invoke(main, ["--version"]).output


def test_an_unknown_command_is_an_error() -> None:
    result = CliRunner().invoke(main, ["transmogrify"])
    assert result.exit_code == 2
    assert "transmogrify" in result.output


def test_check_config_prints_the_effective_settings(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("calls: {max_calls: 7}\n")
    result = linescribe("check-config", str(file), LINESCRIBE_LOG__LEVEL="debug")
    assert result.returncode == 0
    shown = msgspec.yaml.decode(result.stdout)
    assert shown["calls"]["max_calls"] == 7
    assert shown["log"]["level"] == "debug"
    assert shown["speech"] == msgspec.to_builtins(Settings().speech)


@pytest.mark.parametrize("command", [("check-config",), ("run", "--config")])
def test_settings_that_cannot_be_used_are_one_line_and_status_2(command: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("calls:\n  max_cals: 7\n")
    result = linescribe(*command, str(file))
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == f"linescribe: {file}:2: calls.max_cals: unknown key; did you mean 'max_calls'?\n"


def test_run_without_weights_says_what_to_do(tmp_path: Path) -> None:
    result = linescribe(
        "run",
        LINESCRIBE_MODELS__FINAL="no-such-model",
        LINESCRIBE_MODELS__OFFLINE="true",
        LINESCRIBE_MODELS__CACHE_DIR=str(tmp_path),
        LINESCRIBE_STATE_DIR=str(tmp_path / "state"),
    )
    assert result.returncode == 1
    last = msgspec.json.decode(result.stderr.splitlines()[-1])
    assert (last["event"], last["level"]) == ("cannot run", "error")
    assert "no-such-model" in last["error"]


async def test_a_stop_while_weights_are_fetched_is_a_stop(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        while await reader.read(1000):
            pass
        writer.close()

    hub = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "run"),
        env=CLEAN
        | {
            "LINESCRIBE_MODELS__FINAL": "tiny",
            "LINESCRIBE_MODELS__CACHE_DIR": str(tmp_path),
            "HF_ENDPOINT": f"http://127.0.0.1:{hub.sockets[0].getsockname()[1]}",
        },
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        await asked.wait()
        process.terminate()
        _, log = await process.communicate()
    hub.close()
    await hub.wait_closed()
    assert process.returncode == 0, log.decode()
    assert msgspec.json.decode(log.splitlines()[-1])["event"] == "stopped before it was ready"


async def call(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "call", "asterisk", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=CLEAN,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_call_asterisk_plays_files_as_calls_at_the_same_time(home: House) -> None:
    begin = asyncio.get_running_loop().time()
    status, out, _ = await call("--port", str(home.port), "--calls", "3", "--hangup-after", "0.1", str(PROMPT))
    assert asyncio.get_running_loop().time() - begin >= 3.1  # real time, and all at once: see the events' own times
    assert status == 0
    lines = out.splitlines()
    assert len(lines) == 3
    await home.inbox.wait("call.ended", 3)
    for line in lines:
        name = line.split()[0]
        assert "158 frames sent, ended by the caller" in line
        (ended,) = home.inbox.of("call.ended", name)
        assert ended["audio_ms"]["inbound"] == pytest.approx(3159, abs=1)
        assert len(home.inbox.of("transcript.final", name)) == 1
    started = [each.timestamp for each in home.inbox.received if each.type == "call.started"]
    assert max(started) < min(each.timestamp for each in home.inbox.received if each.type == "transcript.final")


async def test_call_asterisk_takes_a_uuid(home: House) -> None:
    name = "7b3a4603-5d43-46db-b93b-d2980fa14c68"
    status, out, _ = await call("--port", str(home.port), "--uuid", name, "--hangup-after", "0", str(PROMPT))
    assert (status, out.split()[0]) == (0, name)
    await home.inbox.wait("call.ended", external_call_id=name)


async def test_call_asterisk_presses_keys_holds_and_breaks_off(home: House) -> None:
    options = ["--digit", "0.5:5", "--hold", "1:0.5", "--hangup-at", "2", "--packet-ms", "40", "--reset"]
    status, out, _ = await call("--port", str(home.port), *options, str(PROMPT))
    assert status == 0
    name = out.split()[0]
    (ended,) = await home.inbox.wait("call.ended", external_call_id=name)
    assert [digit["digit"] for digit in home.inbox.of("call.digit", name)] == ["5"]
    assert ended["reason"] == "hangup"
    assert ended["audio_ms"]["inbound"] == pytest.approx(1_300, abs=80)  # two seconds without hold and key
    assert ended["duration_ms"] == pytest.approx(2_000, abs=400)


async def test_call_asterisk_says_when_the_gateway_hangs_up(tmp_path: Path) -> None:
    async with house(tmp_path, CALLS__MAX_CALLS=1) as home:
        line = await home.call()
        await home.inbox.wait("call.started")
        status, out, _ = await call("--port", str(home.port), str(PROMPT))
        assert status == 1
        assert "ended by the gateway" in out
        await line.hang_up()
        await home.inbox.wait("call.ended")


async def test_call_asterisk_plays_both_speakers_of_one_call(tmp_path: Path) -> None:
    listeners = [
        {"port": 0, "account": "office"},
        {"name": "agents", "port": 0, "account": "office", "role": "outbound"},
    ]
    async with house(tmp_path, AUDIOSOCKET=msgspec.json.encode(listeners).decode()) as home:
        ports = ["--port", str(home.port), "--other-port", str(home.ports["agents"])]
        status, out, err = await call(*ports, "--hangup-after", "0", "--both", str(PROMPT), str(PROMPT))
        assert (status, err.strip()) == (0, "")
        (name,) = {line.split()[0] for line in out.splitlines()}
        await home.inbox.wait("call.ended")
        assert {final["track"] for final in home.inbox.of("transcript.final", name)} == {"inbound", "outbound"}
        assert len(home.inbox.of("call.started")) == 1


async def test_call_asterisk_registers_before_it_calls(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    async with house(tmp_path / "state", AUDIOSOCKET__0__REGISTRATION="required") as home:
        api = ["--register", f"http://127.0.0.1:{home.http_port}/", "--token-file", str(token)]
        arguments = ["--port", str(home.port), *api, "--hangup-after", "0"]
        status, out, err = await call(*arguments, "--both", str(PROMPT), str(PROMPT))
        assert (status, err.strip()) == (0, "")
        names = [line.split()[0] for line in out.splitlines()]
        await home.inbox.wait("call.ended")
        spoken = {(each["source"]["stream_id"], each["role"]) for each in home.inbox.of("transcript.final", names[0])}
        assert spoken == {(names[0], "inbound"), (names[1], "outbound")}
        assert (await call(*arguments, str(PROMPT)))[0] == 0
        token.write_text("x" * 32)
        status, _, err = await call(*arguments, str(PROMPT))
        assert (status, "answered 401" in err, "no call was made" in err) == (1, True, True)
        assert len(await home.inbox.wait("call.ended", 2)) == 2


async def test_call_asterisk_speaks_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    ca, pair = tmp_path / "ca.pem", tmp_path / "pair.pem"
    authority.cert_pem.write_to_path(str(ca))
    certificate.private_key_and_cert_chain_pem.write_to_path(str(pair))
    token = tmp_path / "token"
    token.write_text(TOKEN)
    tls = msgspec.json.encode({"certificate": str(pair), "key": str(pair)}).decode()
    async with house(tmp_path / "state", AUDIOSOCKET__0__TLS=tls, HTTP__TLS=tls) as home:
        api = ["--register", f"https://127.0.0.1:{home.http_port}", "--token-file", str(token)]
        arguments = ["--port", str(home.port), "--hangup-after", "0", *api, "--tls", str(PROMPT)]
        status, out, err = await call("--ca", str(ca), *arguments)
        assert (status, err.strip()) == (0, "")
        await home.inbox.wait("transcript.final", external_call_id=out.split()[0])
        status, _, err = await call(*arguments)
        assert (status, "certificate verify failed" in err) == (1, True)


def test_files_that_tls_needs_are_looked_at_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("http: {tls: {certificate: /nonexistent.pem, key: /nonexistent.pem}}\n")
    for command in (("check-config",), ("run", "--config")):
        result = linescribe(*command, str(file))
        assert result.returncode == 2
        assert result.stdout == ""
        assert "TLS of listener 'http': cannot read tls.certificate, /nonexistent.pem" in result.stderr


def test_a_normalizer_that_is_not_there_is_told_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("transcripts: {normalizer: 'no_such_style:rewrite'}\n")
    for command in (("check-config",), ("run", "--config")):
        result = linescribe(*command, str(file))
        assert (result.returncode, result.stdout) == (2, "")
        (line,) = result.stderr.splitlines()
        assert line.startswith("linescribe: transcripts.normalizer: no_such_style:rewrite cannot be imported")


def test_the_route_of_a_stream_is_told_and_explained(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(
        "audiosocket: [{name: customers, account: pbx}]\n"
        "routes:\n"
        "  - {name: sales, match: {called: '+1900*'}}\n"
        "  - {name: support, match: {account: pbx, parameters: {queue: '*[de]'}}, language: de}\n"
        "  - {name: rest}\n"
    )
    arguments = ["route", "--config", str(file), "--called", "+18005551212", "--parameter", "queue=support [de]"]
    result = linescribe(*arguments)
    assert result.returncode == 0
    shown = msgspec.yaml.decode(result.stdout)
    assert (shown["route"], shown["language"]) == ("support", "de")
    explained = linescribe(*arguments, "--explain").stdout
    assert "called is '+18005551212', not '+1900*'" in explained
    assert "parameter queue is 'support [de]', as '*[de]'" in explained
    assert "rest     not reached" in explained
    assert explained.endswith(result.stdout)


def test_the_route_of_every_kind_of_stream_is_told(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(
        "freeswitch: [{name: fs1, account: office}]\n"
        "routes:\n"
        "  - {name: forks, match: {adapter: freeswitch, listener: fs1, account: office}}\n"
        "  - {name: channels, match: {adapter: asterisk_websocket, listener: asterisk}}\n"
    )
    for adapter, route in (("freeswitch", "forks"), ("asterisk_websocket", "channels"), ("audiosocket", "default")):
        result = linescribe("route", "--config", str(file), "--adapter", adapter)
        assert (msgspec.yaml.decode(result.stdout)["route"], result.stderr) == (route, "")


def test_what_a_call_of_twilios_goes_on_with_is_told(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("routes: [{name: desk, match: {called: '+1*'}, twilio: {dial: '112', timeout_seconds: 9}}]\n")
    shown = [
        msgspec.yaml.decode(linescribe("route", "--config", str(file), "--called", called).stdout)["twilio"]
        for called in ("+18005551212", "+4930123456")
    ]
    assert shown == [{"dial": "112", "timeout_seconds": 9, "when_full": "go_on"}, None]


def test_a_stream_that_cannot_come_is_told() -> None:
    result = linescribe("route", "--listener", "agents")
    assert (result.returncode, "there are: audiosocket" in result.stderr) == (0, True)
    result = linescribe("route", "--parameter", "queue")
    assert (result.returncode, "expected NAME=VALUE" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["absent.wav"], 1, "absent.wav: No such file or directory; no call was made"),
        (["--port", "99999", str(PROMPT)], 2, "99999 is not in the range"),
        (["--port", "1", str(PROMPT)], 1, "no call to 127.0.0.1:1"),
        (["--uuid", "7b3a4603-5d43-46db-b93b-d2980fa14c68", str(PROMPT), str(PROMPT)], 2, "--uuid names one call"),
        ([], 2, "Give one FILE or more, or --both"),
        (["--both", str(PROMPT), str(PROMPT), str(PROMPT)], 2, "Give one FILE or more, or --both"),
        (["--register", "http://127.0.0.1:1", str(PROMPT)], 2, "--token-file"),
        (
            ["--register", "http://127.0.0.1:1", "--token-file", str(PROMPT.with_name("README")), str(PROMPT)],
            2,
            "README",
        ),
        (["--digit", "5", str(PROMPT)], 2, "expected AT:KEY"),
        (["--hold", "1:-2", str(PROMPT)], 2, "expected AT:SECONDS"),
    ],
)
async def test_call_asterisk_names_what_is_wrong(arguments: list[str], status: int, expected: str) -> None:
    result = await call(*arguments)
    assert result[0] == status
    assert expected in result[2]
