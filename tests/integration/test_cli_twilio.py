"""`linescribe twilio`, with a gateway and a stand-in for Twilio."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
import pytest
import trustme
from click.testing import CliRunner
from structlog.testing import capture_logs

from gateway import twilio_rest
from gateway.cli import main
from tests.gateway_under_test import TOKEN, house
from tests.media_streams import connected as hello
from tests.media_streams import start, stop
from tests.twilio_api import STREAM, Asked, error, quoting, stream, text, twilio_api
from tests.twilio_home import AUTH_TOKEN, PUBLIC, signed, spoken, twilio_home
from tests.websocket_lines import line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, MutableMapping
    from pathlib import Path

    from aiohttp import web
    from click.testing import Result

    from tests.gateway_under_test import House
    from tests.twilio_api import TwilioApi

ACCOUNT, CALL = "AC" + "1f" * 16, "CA" + "2E" * 16
KNOWN = [{"sid": ACCOUNT, "auth_tokens": [AUTH_TOKEN]}]
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """Keep the log of the gateway apart from what the command prints, which has the same standard output here."""
    with capture_logs() as logs:
        yield logs


def linescribe(*arguments: object, **environ: str | None) -> Result:
    known = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": AUTH_TOKEN, "LINESCRIBE_CALL_TOKEN": TOKEN}
    return CliRunner().invoke(main, ["twilio", *map(str, arguments)], env=known | environ)


async def ask(command: str, twilio: TwilioApi, *arguments: object, **environ: str | None) -> Result:
    """Ask from another thread; neither secret is ever shown."""
    result = await asyncio.to_thread(linescribe, command, CALL, "--api", twilio.url, *arguments, **environ)
    assert AUTH_TOKEN not in result.output
    assert TOKEN not in result.output
    return result


def gateway(home: House) -> tuple[str, str]:
    return "--gateway", f"http://127.0.0.1:{home.http_port}/"


async def test_a_call_in_progress_is_streamed_and_transcribed(
    tmp_path: Path, logs: list[MutableMapping[str, Any]]
) -> None:
    async with twilio_home(tmp_path, accounts=KNOWN) as home, asyncio.TaskGroup() as calls:

        async def fork(asked: Asked) -> web.StreamResponse:
            if "Url" in asked.form:
                calls.create_task(call(home, asked))
            return stream(asked.form.get("Status", "in-progress"))

        async with twilio_api(fork) as twilio:
            started = await ask("start", twilio, *gateway(home), "--parameter", "queue=support")
            (ended,) = await home.inbox.wait("call.ended")
            (final,) = home.inbox.of("transcript.final")
            stopped = await ask("stop", twilio)
    assert (started.exit_code, started.stdout) == (0, f"{STREAM}\n")
    assert started.stderr == f"to stop it: linescribe twilio stop {CALL}\n"
    assert (stopped.exit_code, stopped.stdout) == (0, f"{STREAM} stopped\n")
    assert (ended["source"]["call_id"], ended["parameters"]["queue"], ended["utterances"]) == (CALL, "support", 1)
    assert (final["track"], final["text"] != "") == ("inbound", True)
    begin, end = twilio.asked
    root = f"/2010-04-01/Accounts/{ACCOUNT}/Calls/{CALL}/Streams"
    assert [(each.path, each.user, each.password) for each in twilio.asked] == [
        (f"{root}.json", ACCOUNT, AUTH_TOKEN),
        (f"{root}/linescribe.json", ACCOUNT, AUTH_TOKEN),
    ]
    assert begin.form == {
        "Url": begin.form["Url"],
        "Name": "linescribe",
        "Track": "both_tracks",
        "StatusCallback": f"{PUBLIC}/twilio/twilio/status",
    }
    assert end.form == {"Status": "stopped"}
    for secret in (AUTH_TOKEN, TOKEN, begin.form["Url"].rpartition("/")[2]):
        assert secret not in str(logs)
        assert secret not in started.output


async def call(home: House, asked: Asked) -> None:
    """Send a call to where Twilio was told to send it."""
    url = urlsplit(asked.form["Url"])
    assert (url.scheme, url.netloc) == ("wss", urlsplit(PUBLIC).netloc)
    async with line(home.http_port, url.path, signed(url.path)) as opened:
        await opened.say(hello(), start(callSid=CALL, accountSid=ACCOUNT), *spoken(), stop(400))
        assert await opened.closed() == (1000, "")


async def test_what_is_to_be_heard_and_by_which_listener_is_said(tmp_path: Path) -> None:
    listeners = [{"name": "first", "accounts": KNOWN}, {"name": "sales", "accounts": KNOWN}]
    auth, token = tmp_path / "auth", tmp_path / "token"
    auth.write_text(f"{AUTH_TOKEN}\n")
    token.write_text(f"{TOKEN}\n")
    settings: dict[str, Any] = {"TWILIO": msgspec.json.encode(listeners).decode(), "HTTP__PUBLIC_URL": PUBLIC}
    async with house(tmp_path / "state", **settings) as home, twilio_api() as twilio:
        wanted = ("--track", "inbound", "--listener", "sales", "--account", ACCOUNT)
        files = ("--auth-token-file", auth, "--token-file", token)
        nothing = dict.fromkeys(("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "LINESCRIBE_CALL_TOKEN"))
        result = await ask("start", twilio, *gateway(home), *wanted, *files, **nothing)
        assert (result.exit_code, result.stdout) == (0, f"{STREAM}\n")
    (asked,) = twilio.asked
    assert (asked.form["Track"], asked.password) == ("inbound_track", AUTH_TOKEN)
    assert asked.form["Url"].startswith("wss://calls.example.test/twilio/sales/")


async def test_a_stream_is_stopped_by_any_name() -> None:
    async with twilio_api() as twilio:
        for name, written in ((STREAM, STREAM), ("my stream/../%2e?x#y", "my%20stream%2F..%2F%252e%3Fx%23y")):
            assert (await ask("stop", twilio, "--stream", name)).exit_code == 0
            assert twilio.asked[-1].path.endswith(f"/Calls/{CALL}/Streams/{written}.json")


async def test_a_gateway_with_a_certificate_of_its_own_is_trusted_when_told_to(tmp_path: Path) -> None:
    authority, ca, pair = trustme.CA(), tmp_path / "ca.pem", tmp_path / "pair.pem"
    authority.cert_pem.write_to_path(str(ca))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pair))
    tls = msgspec.json.encode({"certificate": str(pair), "key": str(pair)}).decode()
    async with twilio_home(tmp_path / "state", accounts=KNOWN, HTTP__TLS=tls) as home, twilio_api() as twilio:
        url = f"https://127.0.0.1:{home.http_port}"
        assert (await ask("start", twilio, "--gateway", url, "--ca", ca)).exit_code == 0
        result = await ask("start", twilio, "--gateway", url)
    assert (result.exit_code, "certificate verify failed" in result.stderr) == (1, True)
    assert len(twilio.asked) == 1


@pytest.mark.parametrize(
    ("settings", "asked", "told"),
    [
        ({"HTTP__PUBLIC_URL": "http://calls.example.test"}, (), "answered 409: Twilio streams to wss:// alone, so set"),
        ({}, ("--listener", "sales"), "answered 404: no listener of Twilio's goes by that name"),
        ({}, ("--account", "AC" + "0" * 32), "answered 400: Expected an `account_sid` of the accounts of"),
        ({"CALLS__MAX_CALLS": 1}, (), "answered 503: no new calls are taken"),
    ],
)
async def test_what_the_gateway_refuses_is_told_and_twilio_is_not_asked(
    tmp_path: Path, settings: dict[str, Any], asked: tuple[str, ...], told: str
) -> None:
    async with twilio_home(tmp_path, accounts=KNOWN, **settings) as home, twilio_api() as twilio:
        other = await home.call()
        await home.inbox.wait("call.started")
        result = await ask("start", twilio, *gateway(home), *asked)
        await other.hang_up()
    assert (result.exit_code, result.stdout, twilio.asked) == (1, "", [])
    assert result.stderr.startswith(f"linescribe: http://127.0.0.1:{home.http_port}/v1/twilio/streams {told}")
    assert len(result.stderr.splitlines()) == 1


async def test_a_wrong_token_and_a_gateway_that_is_not_there_are_told(tmp_path: Path) -> None:
    async with twilio_home(tmp_path, accounts=KNOWN) as home, twilio_api() as twilio:
        result = await ask("start", twilio, *gateway(home), LINESCRIBE_CALL_TOKEN="x" * 32)
        assert (result.exit_code, "answered 401: expected a token of http.tokens" in result.stderr) == (1, True)
        result = await ask("start", twilio, "--gateway", NOWHERE)
        why = "cannot be asked: Connection refused; is it there?"
        assert (result.exit_code, result.stderr) == (1, f"linescribe: {NOWHERE}/v1/twilio/streams {why}\n")
    assert twilio.asked == []


def test_a_host_that_has_no_address_is_told_in_the_resolvers_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_asked: object, **_how: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    result = linescribe("stop", CALL, "--api", "https://nowhere.invalid")
    assert result.exit_code == 1
    why = "cannot be asked: Name or service not known; is it there?"
    assert result.stderr == f"linescribe: https://nowhere.invalid {why}\n"


async def test_what_answers_like_no_gateway_is_told() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\nConnection: close\r\n\r\n{"url": 17}')
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, twilio_api() as twilio:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        result = await ask("start", twilio, "--gateway", url)
    assert (result.exit_code, twilio.asked) == (1, [])
    assert result.stderr.startswith(f"linescribe: {url} answered with something else than a gateway's")


def answering(answer: Callable[[], web.Response]) -> Callable[[Asked], Awaitable[web.StreamResponse]]:
    async def serve(_asked: Asked) -> web.StreamResponse:
        return answer()

    return serve


Answers = list[tuple["Callable[[], web.Response]", str]]

REFUSALS: Answers = [
    (lambda: error(401, code=20003, message="Authenticate"), "20003: Authenticate; is the auth token the one that"),
    (lambda: error(404, code=20404, message="No\x1b[31m\n"), "20404: No\ufffd[31m\ufffd; the account has no such call"),
    (lambda: error(400, code=21220, message="Invalid call state"), "21220: Invalid call state; only a call that has"),
    (lambda: error(400, code=1, message="No", more_info="https://t/1"), "1: No; https://t/1\n"),
    (lambda: error(400, code=1, message=None), "1\n"),
    (lambda: text(b"<html>", 401), "401; is the auth token"),
    (lambda: text(b"<html>", 502), "502\n"),
    (lambda: text(b"", 302, {"Location": "/elsewhere"}), "302\n"),
    (lambda: text(b'{"code": "' + b"x" * 50_000, 500), "500\n"),
]


@pytest.mark.parametrize(("answer", "told"), REFUSALS, ids=[told.split(";")[0].strip() for _, told in REFUSALS])
@pytest.mark.parametrize("command", ["start", "stop"])
async def test_what_twilio_refuses_is_told_in_one_line(
    tmp_path: Path, command: str, answer: Callable[[], web.Response], told: str
) -> None:
    async with twilio_home(tmp_path, accounts=KNOWN) as home, twilio_api(answering(answer)) as twilio:
        result = await ask(command, twilio, *(gateway(home) if command == "start" else ()))
    assert (result.exit_code, result.stdout, len(twilio.asked)) == (1, "", 1)
    assert result.stderr.startswith(f"linescribe: Twilio answered {told}")
    assert len(result.stderr.splitlines()) == 1


UNREADABLE: Answers = [
    (lambda: text(b"<html>"), "no JSON"),
    (lambda: text(b"{}"), "no stream"),
    (lambda: stream("stopped", sid="CA" + "1" * 32), "a call"),
    (lambda: stream("stopped", sid=f"{STREAM}\n"), "a line more"),
]


@pytest.mark.parametrize("answer", [each for each, _ in UNREADABLE], ids=[name for _, name in UNREADABLE])
async def test_an_answer_that_tells_of_no_stream_is_told(answer: Callable[[], web.Response]) -> None:
    async with twilio_api(answering(answer)) as twilio:
        result = await ask("stop", twilio)
    assert result.exit_code == 1
    assert result.stderr == f"linescribe: {twilio.url} answered 200 and told of no stream: is it Twilio's?\n"


async def test_an_answer_without_end_is_not_read_to_it() -> None:
    async with twilio_api(answering(lambda: text(b" " * 65_537))) as twilio:
        result = await ask("stop", twilio)
    assert (result.exit_code, "the answer has more than 65536 bytes" in result.stderr) == (1, True)


async def test_an_answer_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twilio_rest, "ANSWER_SECONDS", 0.2)
    over = asyncio.Event()

    async def never(asked: Asked) -> web.StreamResponse:
        await over.wait()
        raise AssertionError(asked)

    async with twilio_api(never) as twilio:
        result = await ask("stop", twilio)
    assert result.exit_code == 1
    assert result.stderr == f"linescribe: {twilio.url} cannot be asked: nobody answered within 0.2 s\n"


async def test_a_secret_that_twilio_repeats_is_not_shown(tmp_path: Path) -> None:
    async def repeat(asked: Asked) -> web.StreamResponse:
        return error(400, code=21234, message=quoting(asked)[-300:], more_info=asked.form["Url"])

    async with twilio_home(tmp_path, accounts=KNOWN) as home, twilio_api(repeat) as twilio:
        result = await ask("start", twilio, *gateway(home))
    (asked,) = twilio.asked
    token = asked.form["Url"].rpartition("/")[2]
    assert len(token) == 32
    assert (result.exit_code, token in result.stderr, "/twilio/twilio/****" in result.stderr) == (1, False, True)


async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, NOWHERE)
    async with twilio_api() as twilio:
        assert (await ask("stop", twilio)).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "environ", "told"),
    [
        (("start", "CA123"), {}, "expected the SID of a call: CA and 32 hexadecimal digits"),
        (("stop", CALL + "\n"), {}, "expected the SID of a call"),
        (("stop", AUTH_TOKEN), {}, "expected the SID of a call"),
        (("stop", CALL, "--account", CALL), {}, "expected the SID of an account: AC and 32"),
        (("stop", CALL), {"TWILIO_ACCOUNT_SID": None}, "--account"),
        (("stop", CALL), {"TWILIO_AUTH_TOKEN": None}, "set TWILIO_AUTH_TOKEN, or give --auth-token-file PATH"),
        (("stop", CALL), {"TWILIO_AUTH_TOKEN": "a b"}, "letters and digits"),
        (("stop", CALL, "--auth-token-file", "/dev/null/x"), {}, "--auth-token-file"),
        (("stop", CALL, "--auth-token-file", __file__), {}, "letters and digits"),
        (("stop", CALL, "--stream", ""), {}, "a stream's SID, or the name"),
        (("stop", CALL, "--stream", "x" * 201), {}, "a stream's SID, or the name"),
        (("stop", CALL, "--api", "http://api.twilio.com"), {}, "the auth token would travel in the clear"),
        (("stop", CALL, "--api", "https://u:p@api.twilio.com"), {}, "without user name and password"),
        (("stop", CALL, "--api", "ftp://127.0.0.1"), {}, "Expected an http:// or https:// url"),
        (("start", CALL, "--gateway", "https://x/?a"), {}, "a URL without ?, # and blanks"),
        (("start", CALL), {"LINESCRIBE_CALL_TOKEN": None}, "set LINESCRIBE_CALL_TOKEN, or give --token-file PATH"),
        (("start", CALL, "--parameter", "queue"), {}, "expected NAME=VALUE"),
        (("start", CALL, "--parameter", "a=1", "--parameter", "a=2"), {}, "expected each NAME once"),
        (("start", CALL, "--track", "left"), {}, "'both', 'inbound', 'outbound'"),
    ],
)
async def test_what_makes_no_sense_is_told_before_anybody_is_asked(
    arguments: tuple[str, ...], environ: dict[str, str | None], told: str
) -> None:
    async with twilio_api() as twilio:
        api = () if "--api" in arguments else ("--api", twilio.url)
        result = await asyncio.to_thread(linescribe, *arguments, *api, **environ)
    assert (result.exit_code, result.stdout, twilio.asked) == (2, "", [])
    assert told in " ".join(result.stderr.replace("│", " ").split())
    assert AUTH_TOKEN not in result.stderr


def test_no_option_takes_a_secret() -> None:
    for command in ("start", "stop"):
        shown = linescribe(command, "--help").output
        assert "--auth-token-file FILE" in shown
        assert "--auth-token " not in shown
        assert "--token " not in shown
