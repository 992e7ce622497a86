"""The HTTP port over real sockets: what it answers, what it withstands, and how it opens and closes."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import socket
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import structlog
import trustme
import uvloop
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from config.listeners import Http, Token
from config.secret import Secret
from gateway.http import server as module
from gateway.http.connections import Limits
from gateway.http.errors import ApiError, printable
from gateway.http.proxies import seen_of
from gateway.http.server import HttpServer
from gateway.http.tokens import account_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence

    from structlog.typing import EventDict

ALICE = "alice-0123456789-0123456789"
BOB = "bob-0123456789-0123456789"
TOKENS = (Token(name="alice", secret=Secret(ALICE)), Token(name="bob", secret=Secret(BOB)))
GOOD = {"Authorization": f"Bearer {ALICE}"}
PATIENCE_SECONDS = 20
ANYWHERE = "0.0.0.0"  # noqa: S104  whether that is wise is what is asked
HUGE_BYTES = 32 * 1024 * 1024
"""More than the sockets of both sides hold."""

AUTHORITY = trustme.CA()
SERVED = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
AUTHORITY.issue_cert("127.0.0.1").configure_cert(SERVED)
TRUSTING = ssl.create_default_context()
AUTHORITY.configure_trust(TRUSTING)


class Handlers:
    """The routes of these tests."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.released = asyncio.Event()
        self.cancelled = asyncio.Event()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/health", self.health),
            web.get("/v1/whoami", self.whoami),
            web.post("/v1/echo", self.echo),
            web.delete("/v1/echo", self.gone),
            web.post("/v1/stuck", self.stuck),
            web.post("/v1/broken", self.broken),
            web.get("/v1/huge", self.huge),
            web.get("/v1/hoard", self.hoard),
            web.get("/v1/half", self.half),
            web.get("/v1/raises/{what}", self.raises),
            web.get("/v1/split", self.split),
        ]

    async def health(self, _request: web.Request) -> web.Response:
        return web.Response(text="well\n")

    async def whoami(self, request: web.Request) -> web.Response:
        at = seen_of(request)
        bound = structlog.contextvars.get_contextvars()
        return web.json_response({"account": account_of(request), "client": at.client, "url": at.base_url} | bound)

    async def echo(self, request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async def gone(self, _request: web.Request) -> web.Response:
        return web.Response(status=204)

    async def stuck(self, _request: web.Request) -> web.Response:
        self.entered.set()
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            for _ in range(20):  # as one that has to tidy up
                await asyncio.sleep(0)
            self.cancelled.set()
            raise
        return web.Response(text="released\n")

    async def broken(self, _request: web.Request) -> web.Response:
        raise RuntimeError("the word is swordfish")

    async def huge(self, _request: web.Request) -> web.Response:
        return web.Response(body=b"x" * HUGE_BYTES)

    async def hoard(self, request: web.Request) -> web.Response:
        """Leave with the transport what the peer does not read, and close."""
        transport = request.transport
        assert transport is not None
        transport.set_write_buffer_limits(high=2 * HUGE_BYTES)
        response = web.Response(body=b"x" * HUGE_BYTES)
        response.force_close()
        return response

    async def half(self, request: web.Request) -> web.StreamResponse:
        """Break off in the middle of an answer."""
        response = web.StreamResponse(headers={"Content-Length": "10"})
        await response.prepare(request)
        await response.write(b"12345")
        raise RuntimeError("no more")

    async def split(self, _request: web.Request) -> web.Response:
        return web.Response(headers={"X-Odd": "\r\nX-Evil: 1"})

    async def raises(self, request: web.Request) -> web.Response:
        raised: dict[str, Callable[[], BaseException]] = {
            "api": lambda: ApiError(409, "conflict", "it is there already", {"Retry-After": "1"}),
            "timeout": TimeoutError,
            "reset": lambda: ConnectionResetError("our own store's"),
            "redirect": lambda: web.HTTPSeeOther("/health"),
            "teapot": web.HTTPUnprocessableEntity,
            "success": web.HTTPNoContent,
            "header": lambda: ApiError(409, "conflict", "so it is", {"X-Odd": "\r\nX-Evil: 1"}),
        }
        error = raised[request.match_info["what"]]()
        raise error


class Answer:
    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def error(self) -> dict[str, str]:
        """What is said of what went wrong, which has one form always."""
        assert self.headers["Content-Type"].startswith("application/json")
        assert self.body.endswith(b"}\n")
        content = json.loads(self.body)
        assert list(content) == ["error"]
        assert set(content["error"]) == {"code", "message"}
        error: dict[str, str] = content["error"]
        return error


class Port:
    """One open port, and those who speak to it."""

    def __init__(self, number: int, server: HttpServer, handlers: Handlers, session: aiohttp.ClientSession) -> None:
        self.number = number
        self.server = server
        self.handlers = handlers
        self.session = session
        self.scheme = "http"

    async def ask(
        self, method: str, path: str, headers: Any = GOOD, body: bytes | AsyncIterator[bytes] | None = None
    ) -> Answer:
        data = io.BytesIO(body) if isinstance(body, bytes) else body
        url = f"{self.scheme}://127.0.0.1:{self.number}{path}"
        async with self.session.request(method, url, headers=headers, data=data, allow_redirects=False) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def works(self) -> None:
        """Show that a good client is served."""
        assert (await self.ask("POST", "/v1/echo", body=b"hello")).body == b"hello"

    @contextlib.asynccontextmanager
    async def raw(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.number)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def say(self, *packets: bytes) -> bytes:
        """Send bytes as they are, and listen until the port hangs up."""
        async with self.raw() as (reader, writer):
            for packet in packets:
                writer.write(packet)
            return await hung_up(reader)

    async def idle_out(self) -> None:
        """Let the time pass that the port gives a silent connection."""
        assert await self.say() == b""


async def hung_up(reader: asyncio.StreamReader) -> bytes:
    """Read until the port closes; a reset is an end too."""
    got = b""
    with contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while chunk := await reader.read(1 << 20):
                got += chunk
    return got


FAILED_HANDSHAKE = "Error on transport creation for incoming connection"
"""What asyncio says of one in debug mode, which these tests run in."""


class Complaints(logging.Handler):
    """What asyncio and aiohttp say where nobody caught an exception."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not record.getMessage().startswith(FAILED_HANDSHAKE):
            self.said.append(self.format(record))

    @contextlib.contextmanager
    def expect_none(self) -> Any:
        names = ("asyncio", "aiohttp")
        for name in names:
            logging.getLogger(name).addHandler(self)
        try:
            yield
        finally:
            for name in names:
                logging.getLogger(name).removeHandler(self)
        assert self.said == []


@contextlib.asynccontextmanager
async def serving(
    limits: Limits = Limits(),  # noqa: B008
    *,
    tokens: Sequence[Token] = TOKENS,
    tls: ssl.SSLContext | None = None,
    **http: Any,
) -> AsyncIterator[Port]:
    handlers = Handlers()
    others = asyncio.all_tasks()
    with Complaints().expect_none():
        server = HttpServer(Http(port=0, tokens=tuple(tokens), **http), handlers.routes(), tls=tls, limits=limits)
        number = await server.start()
        trust = TRUSTING if tls else True
        try:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
                port = Port(number, server, handlers, session)
                port.scheme = "https" if tls else "http"
                yield port
        finally:
            await server.close()
        assert asyncio.all_tasks() == others


def get(path: str, *headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: gateway", f"Authorization: Bearer {ALICE}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def post(path: str, *headers: str, body: bytes = b"") -> bytes:
    return get(path, *headers).replace(b"GET", b"POST", 1) + body


# Who may


@pytest.mark.parametrize(("token", "account"), [(ALICE, "alice"), (BOB, "bob")])
async def test_a_token_opens_the_api_for_its_account(token: str, account: str) -> None:
    async with serving() as port:
        answer = await port.ask("GET", "/v1/whoami", {"Authorization": f"bearer {token}"})
    assert answer.status == 200
    assert json.loads(answer.body) == {
        "account": account,
        "client": "127.0.0.1",
        "url": f"http://127.0.0.1:{port.number}",
        "listener": "http",
        "method": "GET",
        "path": "/v1/whoami",
    }


@pytest.mark.parametrize("path", ["/v1/whoami", "/v1/nothing", "/v1/", "/%761/whoami", "/v1%2Fwhoami", "/v1/../v1/x"])
@pytest.mark.parametrize(
    "value", [None, "", "Bearer wrong", f"Basic {ALICE}", f"Bearer {ALICE}\N{LATIN SMALL LETTER O}x"]
)
async def test_without_one_nothing_is_told_of_it(path: str, value: str | None) -> None:
    request = get(path, "Connection: close").replace(f"Authorization: Bearer {ALICE}\r\n".encode(), b"")
    if value is not None:
        request = request.replace(b"Connection", f"Authorization: {value}\r\nConnection".encode(), 1)
    async with serving() as port:
        answer = await port.say(request)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 401 ")
    assert b"\r\nWWW-Authenticate: Bearer\r\n" in head
    assert json.loads(body)["error"]["code"] == "unauthorized"


@pytest.mark.parametrize("value", [b"Bearer \xff\xfe", "Bearer \N{SNOWMAN}".encode(), b"Bearer \x80" + ALICE.encode()])
async def test_a_token_that_is_not_ascii_is_a_wrong_one(value: bytes) -> None:
    request = get("/v1/whoami", "Connection: close").replace(f"Bearer {ALICE}".encode(), value)
    async with serving() as port:
        assert (await port.say(request)).startswith(b"HTTP/1.1 401 ")
        await port.works()


async def test_the_first_of_several_tokens_counts() -> None:
    """As Asterisk's CURLOPT(httpheader) sends one more with every call of a channel."""
    async with serving() as port:
        again = get("/v1/whoami", "Authorization: Bearer of-yesterday", "Connection: close")
        assert b'"account": "alice"' in await port.say(again)
        other = get("/v1/whoami", "Connection: close").replace(b"Auth", b"Authorization: Bearer x\r\nAuth", 1)
        assert (await port.say(other)).startswith(b"HTTP/1.1 401 ")


async def test_without_tokens_the_api_is_shut_and_says_which_setting_opens_it() -> None:
    async with serving(tokens=()) as port:
        answer = await port.ask("GET", "/v1/whoami")
        assert (answer.status, answer.error["code"]) == (403, "no_tokens")
        assert "http.tokens" in answer.error["message"]
        assert (await port.ask("GET", "/health", {})).status == 200


async def test_the_rest_of_the_port_asks_for_no_token() -> None:
    async with serving() as port:
        assert (await port.ask("GET", "/health", {})).body == b"well\n"
        assert (await port.ask("GET", "/nothing", {})).error["code"] == "not_found"


async def test_a_trusted_proxy_tells_who_the_client_is() -> None:
    said = GOOD | {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "calls.example"}
    async with serving(trusted_proxies=("127.0.0.0/8",)) as port:
        told = json.loads((await port.ask("GET", "/v1/whoami", said)).body)
        assert (told["client"], told["url"]) == ("203.0.113.7", "https://calls.example")
    async with serving(public_url="https://calls.example/pbx/") as port:
        told = json.loads((await port.ask("GET", "/v1/whoami", said)).body)
        assert (told["client"], told["url"]) == ("127.0.0.1", "https://calls.example/pbx")


# What is said of errors


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("PUT", "/v1/echo", 405, "method_not_allowed"),
        ("POST", "/v1/broken", 500, "internal_error"),
        ("GET", "/v1/raises/api", 409, "conflict"),
        ("GET", "/v1/raises/timeout", 500, "internal_error"),
        ("GET", "/v1/raises/reset", 500, "internal_error"),
        ("GET", "/v1/raises/redirect", 303, "error"),
        ("GET", "/v1/raises/teapot", 422, "error"),
        ("GET", "/v1/raises/header", 500, "internal_error"),
        ("GET", "/v1/split", 500, "internal_error"),
        ("GET", "/v1/raises/unheard-of", 500, "internal_error"),
    ],
)
async def test_whatever_goes_wrong_is_told_in_one_form(method: str, path: str, status: int, code: str) -> None:
    async with serving() as port:
        answer = await port.ask(method, path)
        assert (answer.status, answer.error["code"]) == (status, code)
        assert answer.error["message"]
        await port.works()


async def test_headers_that_belong_to_an_error_stay() -> None:
    async with serving() as port:
        assert (await port.ask("PUT", "/v1/echo")).headers["Allow"] == "DELETE,POST"
        assert (await port.ask("GET", "/v1/raises/redirect")).headers["Location"] == "/health"
        assert (await port.ask("GET", "/v1/raises/api")).headers["Retry-After"] == "1"


async def test_a_success_may_be_raised_as_well() -> None:
    async with serving() as port:
        answer = await port.ask("GET", "/v1/raises/success")
        assert (answer.status, answer.body) == (204, b"")


async def test_our_own_faults_are_logged_and_not_told() -> None:
    with capture_logs() as logs:
        async with serving() as port:
            answer = await port.ask("POST", "/v1/broken")
            assert answer.headers["Connection"] == "close"
    assert b"swordfish" not in answer.body
    assert b"Traceback" not in answer.body
    assert [(each["log_level"], each["exc_info"]) for each in logs if each["event"] == "request failed"] == [
        ("error", True)
    ]


async def test_a_fault_of_the_port_itself_is_no_different(monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(*_: object, **__: object) -> None:
        raise RuntimeError("swordfish")

    monkeypatch.setattr(module, "seen", seen)
    with capture_logs() as logs:
        async with serving() as port:
            answer = await port.ask("GET", "/health")
    assert (answer.status, answer.error["code"]) == (500, "internal_error")
    assert [each["event"] for each in logs if each["log_level"] == "error"] == ["request failed"]


async def test_half_an_answer_is_not_passed_off_as_a_whole_one() -> None:
    with capture_logs() as logs:
        async with serving() as port:
            with pytest.raises(aiohttp.ClientPayloadError):
                await port.ask("GET", "/v1/half")
            await port.works()
    assert [each["status"] for each in logs if each.get("path") == "/v1/half"] == [500]


async def test_an_answer_that_cannot_be_sent_is_our_fault_too() -> None:
    with capture_logs() as logs:
        async with serving() as port:
            assert b"X-Evil" not in await port.say(get("/v1/split"))
    assert [each["status"] for each in logs if each["event"] == "request"] == [500]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_of_64_kib_is_taken_and_no_more(*, chunked: bool) -> None:
    async def pieces(body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    async with serving() as port:
        for length, status in ((65536, 200), (65537, 413), (300_000, 413)):
            body = b"x" * length
            answer = await port.ask("POST", "/v1/echo", body=pieces(body) if chunked else body)
            assert answer.status == status
            if status == 413:
                assert answer.error["code"] == "body_too_large"


async def test_a_packed_body_is_not_unpacked() -> None:
    async with serving() as port:
        answer = await port.ask("POST", "/v1/echo", GOOD | {"Content-Encoding": "gzip"}, b"and is not looked into")
        assert (answer.status, answer.error["code"]) == (415, "unsupported_encoding")
        assert (await port.ask("POST", "/v1/echo", GOOD | {"Content-Encoding": "Identity"}, b"a")).body == b"a"


@pytest.mark.parametrize(("expectation", "status"), [("100-continue", 100), ("a miracle", 417)])
async def test_answers_what_a_client_expects(expectation: str, status: int) -> None:
    request = post("/v1/echo", f"Expect: {expectation}", "Content-Length: 2", "Connection: close", body=b"hi")
    async with serving() as port:
        answer = await port.say(request)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert (b"expectation_failed" if status == 417 else b"hi") in answer
        refused = await port.say(request.replace(ALICE.encode(), b"x"))
        assert refused.startswith(b"HTTP/1.1 401 ")  # and is not asked for the body first


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/health"), ("GET", "/v1/nothing"), ("POST", "/v1/broken"), ("GET", "/v1/raises/success")],
)
@pytest.mark.parametrize("headers", [GOOD, {}])
async def test_every_answer_carries_what_keeps_it_private(method: str, path: str, headers: dict[str, str]) -> None:
    async with serving() as port:
        answer = await port.ask(method, path, headers)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Server"] == "linescribe"


# The log


async def test_one_line_is_logged_for_each_request() -> None:
    with capture_logs() as logs:
        async with serving() as port:
            await port.ask("POST", "/v1/echo?secret=swordfish", body=b"swordfish")
            await port.ask("DELETE", "/v1/echo", GOOD | {"X-Secret": "swordfish"})
            await port.ask("GET", "/v1/whoami")
            await port.ask("GET", "/health", {})
            await port.ask("POST", "/v1/echo", {"Authorization": "Bearer swordfish"})
    lines = [each for each in logs if each["event"] == "request"]
    assert [(each["log_level"], each["method"], each["path"], each["status"], each["account"]) for each in lines] == [
        ("info", "POST", "/v1/echo", 200, "alice"),
        ("info", "DELETE", "/v1/echo", 204, "alice"),
        ("debug", "GET", "/v1/whoami", 200, "alice"),
        ("debug", "GET", "/health", 200, None),
        ("info", "POST", "/v1/echo", 401, None),
    ]
    assert {each["client"] for each in lines} == {"127.0.0.1"}
    assert "swordfish" not in repr(logs)


async def test_what_a_peer_writes_cannot_forge_a_line() -> None:
    path = "/v1/%0A%1B[31m" + "x" * 500
    with capture_logs() as logs:
        async with serving() as port:
            await port.say(get(path, "Connection: close"), b"")
    assert [each["path"] for each in logs if each["event"] == "request"] == [path[:200]]
    assert printable("a\r\n\x1b[31m\N{LATIN SMALL LETTER U WITH DIAERESIS}\udcff") == "a???[31m??"


# How it opens


@pytest.mark.parametrize("tls", [None, SERVED])
async def test_says_where_it_listens(tls: ssl.SSLContext | None) -> None:
    with capture_logs() as logs:
        async with serving(tls=tls) as port:
            pass
    assert [each for each in logs if each["event"] == "listening"] == [
        {
            "event": "listening",
            "log_level": "info",
            "listener": "http",
            "kind": "https" if tls else "http",
            "host": "127.0.0.1",
            "port": port.number,
        }
    ]
    assert not [each for each in logs if each["log_level"] == "warning"]


@pytest.mark.parametrize(
    ("http", "tls", "tokens", "warned"),
    [
        ({"host": ANYWHERE}, None, TOKENS, True),
        ({"host": ANYWHERE}, SERVED, TOKENS, False),
        ({"host": ANYWHERE}, None, (), False),
        ({"host": ANYWHERE, "trusted_proxies": ("10.0.0.1",)}, None, TOKENS, False),
        ({"host": "localhost"}, None, TOKENS, False),
    ],
)
async def test_warns_when_tokens_can_be_read_on_their_way(
    http: dict[str, Any], tls: ssl.SSLContext | None, tokens: Sequence[Token], *, warned: bool
) -> None:
    with capture_logs() as logs:
        async with serving(tls=tls, tokens=tokens, **http):
            pass
    texts = [each["event"] for each in logs if each["log_level"] == "warning"]
    assert texts == ["secrets travel in the clear; set http.tls or put a TLS proxy before it"] * warned


async def test_a_port_in_use_is_told_with_a_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        server = HttpServer(Http(port=number), [])
        with pytest.raises(OSError, match=rf"'http' cannot have 127.0.0.1:{number}: .*another program has it: see ss"):
            await server.start()
    await server.close()


async def test_an_address_of_another_machine_is_told_with_a_remedy() -> None:
    with pytest.raises(OSError, match=r"cannot have 192\.0\.2\.1:0: .*no interface here has that address"):
        await HttpServer(Http(host="192.0.2.1", port=0), []).start()


async def test_a_name_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(OSError, match=r"cannot have nowhere\.invalid:0"):
        await HttpServer(Http(host="nowhere.invalid", port=0), []).start()


def test_without_a_port_there_is_no_server() -> None:
    with pytest.raises(ValueError, match=r"http\.port"):
        HttpServer(Http(port=None), [])


# How it closes


async def test_after_its_end_nobody_listens_and_nothing_is_left_open() -> None:
    async with serving() as port, port.raw() as (reader, writer):
        writer.write(get("/health"))
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        await port.server.close()
        assert (await hung_up(reader)).endswith(b"well\n")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port.number)


async def test_a_request_in_progress_is_finished() -> None:
    async with serving() as port, asyncio.TaskGroup() as group:
        asking = group.create_task(port.ask("POST", "/v1/stuck"))
        await port.handlers.entered.wait()
        closing = group.create_task(port.server.close())
        await asyncio.sleep(0)  # so that it begins
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port.number)
        port.handlers.released.set()
        assert (await asking).body == b"released\n"
        await closing


async def test_one_that_does_not_finish_is_given_up() -> None:
    with capture_logs() as logs:
        async with serving(Limits(farewell_seconds=0.2)) as port, port.raw() as (reader, writer):
            writer.write(post("/v1/stuck"))
            await port.handlers.entered.wait()
            async with asyncio.timeout(2):
                await port.server.close()
            assert port.handlers.cancelled.is_set()
            assert await hung_up(reader) == b""
    assert [each["status"] for each in logs if each["event"] == "request"] == [None]


async def test_a_client_that_does_not_read_does_not_hold_up_the_end() -> None:
    async with serving(Limits(farewell_seconds=0.2)) as port, deaf(port) as (reader, writer):
        writer.write(get("/v1/hoard"))
        await reader.readexactly(1)
        async with asyncio.timeout(2):
            await port.server.close()
        assert 0 < len(await hung_up(reader)) < HUGE_BYTES


# What it withstands


QUICK = Limits(request_seconds=0.2, idle_seconds=0.2, handshake_seconds=0.2, linger_seconds=0.05)


@pytest.mark.parametrize(
    "request_",
    [
        post("/v1/echo", "Content-Length: 10", body=b"12345"),
        post("/v1/echo", "Transfer-Encoding: chunked", body=b"5\r\n12345\r\n"),
        post("/v1/echo", "Transfer-Encoding: chunked", body=b"ffff"),
        post("/v1/stuck"),
    ],
    ids=["short", "chunks without end", "half a chunk's length", "slow handler"],
)
async def test_a_request_has_so_long_and_no_longer(request_: bytes) -> None:
    async with serving(QUICK) as port:
        answer = await port.say(request_)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nConnection: close" in head
    assert b"\r\nServer: linescribe" in head
    assert json.loads(body)["error"]["code"] == "timeout"


async def test_the_body_of_a_request_that_is_refused_is_not_waited_for() -> None:
    limits = Limits(linger_seconds=0.05)
    async with serving(limits) as port, asyncio.timeout(5):
        answer = await port.say(post("/v1/echo", "Content-Length: 10", body=b"1").replace(ALICE.encode(), b"x"))
    assert answer.startswith(b"HTTP/1.1 401 ")


async def test_a_body_that_drips_gains_no_time() -> None:
    async with serving(QUICK) as port, port.raw() as (reader, writer), asyncio.TaskGroup() as group:
        writer.write(post("/v1/echo", "Transfer-Encoding: chunked"))

        async def drip() -> None:
            with contextlib.suppress(ConnectionError):
                while not reader.at_eof():
                    writer.write(b"1\r\nx\r\n")
                    await writer.drain()
                    await asyncio.sleep(0.01)

        group.create_task(drip())
        assert (await hung_up(reader)).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "head",
    [b"", b"G", b"GET /health HTTP/1.1", b"GET /health HTTP/1.1\r\nHost: gateway\r\nX-Slow: ", b"\r\n"],
)
async def test_a_head_that_is_never_whole_is_not_waited_for(head: bytes) -> None:
    async with serving(QUICK) as port:
        assert await port.say(head) == b""
        await port.works()


async def test_a_head_that_drips_gains_no_time() -> None:
    async with serving(QUICK) as port, port.raw() as (reader, writer), asyncio.TaskGroup() as group:
        writer.write(b"GET /health HTTP/1.1\r\n")

        async def drip() -> None:
            with contextlib.suppress(ConnectionError):
                for number in range(10_000):
                    if reader.at_eof():
                        break
                    writer.write(b"X-%d: 1\r\n" % number if number < 100 else b"x")
                    await writer.drain()
                    await asyncio.sleep(0.01)

        group.create_task(drip())
        assert await hung_up(reader) == b""


async def test_a_connection_that_idles_after_its_answer_is_closed() -> None:
    async with serving(QUICK) as port:
        assert (await port.say(get("/health"))).endswith(b"well\n")
        assert (await port.say(get("/health"), b"GET /health HT")).count(b"200 OK") == 1


async def test_a_request_may_last_longer_than_a_connection_may_idle() -> None:
    async with serving(Limits(idle_seconds=0.1)) as port, asyncio.TaskGroup() as group:
        asking = group.create_task(port.ask("POST", "/v1/stuck"))
        await port.handlers.entered.wait()
        for _ in range(3):
            await port.idle_out()
        port.handlers.released.set()
        assert (await asking).body == b"released\n"


@contextlib.asynccontextmanager
async def deaf(port: Port) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect as one who takes next to nothing until it is asked."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)  # noqa: FBT003  it knows no other way
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port.number))
    reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_a_client_that_does_not_read_its_answer_is_cut_off() -> None:
    with capture_logs() as logs:
        async with serving(QUICK) as port, deaf(port) as (reader, writer):
            writer.write(get("/v1/huge"))
            await port.say(post("/v1/stuck"))  # the same time passes
            assert 0 < len(await hung_up(reader)) < HUGE_BYTES
    assert [each["status"] for each in logs if each.get("path") == "/v1/huge"] == [408]


async def test_one_that_does_not_read_our_last_words_is_cut_off() -> None:
    async with serving(QUICK) as port, deaf(port) as (reader, writer):
        writer.write(get("/v1/hoard"))
        for _ in range(4):
            await port.idle_out()
        assert 0 < len(await hung_up(reader)) < HUGE_BYTES


async def test_a_huge_answer_reaches_one_who_reads() -> None:
    async with serving() as port:
        assert len((await port.ask("GET", "/v1/huge")).body) == HUGE_BYTES
        assert len((await port.ask("GET", "/v1/hoard")).body) == HUGE_BYTES


async def test_so_many_connections_that_ask_for_something_and_no_more() -> None:
    with capture_logs() as logs:
        async with serving(Limits(connections=2)) as port, contextlib.AsyncExitStack() as stack:
            for _ in range(2):
                _, writer = await stack.enter_async_context(port.raw())
                writer.write(post("/v1/stuck"))
                await port.handlers.entered.wait()
                port.handlers.entered.clear()
            for _ in range(5):
                assert await port.say() == b""
            port.handlers.released.set()
    assert [each["event"] for each in logs].count("too many connections") == 5


async def test_of_those_that_ask_for_nothing_the_oldest_makes_room() -> None:
    async with serving(Limits(connections=3)) as port, contextlib.AsyncExitStack() as stack:
        first, busy, last = [await stack.enter_async_context(port.raw()) for _ in range(3)]
        first[1].write(b"G")
        busy[1].write(post("/v1/stuck", "Connection: close"))
        await port.handlers.entered.wait()
        await port.works()
        assert await hung_up(first[0]) == b""
        last[1].write(get("/health", "Connection: close"))
        assert (await hung_up(last[0])).endswith(b"well\n")
        port.handlers.released.set()
        assert (await hung_up(busy[0])).endswith(b"released\n")


async def test_one_that_goes_makes_room() -> None:
    async with serving(Limits(connections=1)) as port:
        for _ in range(3):
            assert (await port.say(get("/health", "Connection: close"))).endswith(b"well\n")
        async with port.raw() as (reader, writer):
            writer.write(post("/v1/stuck", "Connection: close"))
            await port.handlers.entered.wait()
            assert await port.say() == b""
            port.handlers.released.set()
            assert (await hung_up(reader)).endswith(b"released\n")
        await port.works()


HOSTILE = {
    "nothing": b"",
    "blank lines": b"\r\n" * 1000,
    "noise": bytes(range(256)) * 50,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no HTTP": b"EHLO gateway\r\n",
    "half a request": get("/v1/whoami")[:-10],
    "endless line": b"GET /" + b"a" * 100_000,
    "huge header": get("/v1/whoami", "X-Huge: " + "a" * 100_000),
    "many headers": get("/v1/whoami", *(f"X-{number}: a" for number in range(1000))),
    "two lengths": post("/v1/echo", "Content-Length: 1", "Content-Length: 2", body=b"ab"),
    "length and chunks": post("/v1/echo", "Content-Length: 1", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "length below nothing": post("/v1/echo", "Content-Length: -1"),
    "length beyond all": post("/v1/echo", f"Content-Length: {'9' * 30}", body=b"a"),
    "no chunk": post("/v1/echo", "Transfer-Encoding: chunked", body=b"zz\r\n"),
    "two hosts": get("/v1/whoami", "Host: other"),
    "two types": post("/v1/echo", "Content-Type: a/b", "Content-Type: a/b"),
    "header without a name": get("/v1/whoami", ": a"),
    "header with a blank": get("/v1/whoami", "X Y: a"),
    "NUL": get("/v1/whoami", "X: a\x00b"),
    "bare CR": get("/v1/whoami", "X: a\rY: b"),
    "folded": get("/v1/whoami", "X: a", " b"),
    "tunnel": b"CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n",
    "no path": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "whole URL": get("http://other/v1/whoami"),
    "odd URL": get("http://[::1/v1"),
    "path that climbs": get("/../../../etc/passwd"),
    "percents": get("/%zz%ff%00"),
    "upgrade": get("/v1/whoami", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: a")
    + b"\x81\x00" * 100,
    "many at once": get("/v1/whoami") * 500,
    "old": b"GET /health\r\n",
    "odd version": b"GET /health HTTP/9.9\r\n\r\n",
    "packed": post("/v1/echo", "Content-Encoding: gzip", "Content-Length: 4", body=b"\x1f\x8b\x08\x00"),
}


@pytest.mark.parametrize("words", HOSTILE.values(), ids=HOSTILE.keys())
async def test_whatever_is_said_is_answered_in_form_and_ended(words: bytes) -> None:
    with capture_logs() as logs:
        async with serving(QUICK) as port:
            answer = await port.say(words)
            await port.works()
    assert answer == b"" or answer.startswith(b"HTTP/1.")
    assert b"Python" not in answer
    assert b"aiohttp" not in answer
    for line in answer.split(b"\r\n"):
        if line.startswith(b"HTTP/1."):
            assert line.split()[1] in {b"200", b"400", b"404", b"405", b"408", b"415", b"401"}
        if line.startswith(b"{") and b"account" not in line:
            assert b'"error"' in line
    assert not [each for each in logs if each["log_level"] in {"warning", "error"}]


async def test_one_who_sends_a_header_twice_is_told_which() -> None:
    """Asterisk's CURLOPT(httpheader) adds to what was set before; aiohttp refuses a second Content-Type."""
    async with serving() as port:
        answer = await port.say(HOSTILE["two types"])
    body = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert body["error"]["code"] == "bad_request"
    assert body["error"]["message"].endswith("Duplicate 'Content-Type' header found.")


async def test_pipelined_requests_are_answered_in_order() -> None:
    words = post("/v1/echo", "Content-Length: 3", body=b"one") + post("/v1/echo", "Content-Length: 3", body=b"two")
    async with serving() as port:
        answer = await port.say(words + get("/v1/raises/api") + get("/health", "Connection: close"))
    places = [answer.find(part) for part in (b"one", b"two", b"conflict", b"well")]
    assert places == sorted(places)
    assert places[0] > 0
    assert answer.count(b"HTTP/1.1 ") == 4


@pytest.mark.parametrize("words", [post("/v1/echo", "Content-Length: 10", body=b"12345"), post("/v1/stuck"), b"GET /"])
async def test_a_client_that_goes_early_harms_nobody(words: bytes) -> None:
    with capture_logs() as logs:
        async with serving(Limits(farewell_seconds=0.1)) as port:
            for abrupt in (False, True):
                async with port.raw() as (_, writer):
                    writer.write(words)
                    await port.works()  # by now the words are there
                    if abrupt:
                        writer.transport.abort()
            await port.works()
    assert not [each for each in logs if each["log_level"] == "error"]


UNFINISHED = post("/v1/echo", "Transfer-Encoding: chunked", "Expect: 100-continue")


@pytest.mark.parametrize("rest", [b"zz\r\n", b"5\r\n123456"])
async def test_a_body_that_turns_to_noise_is_given_up(rest: bytes) -> None:
    """Aiohttp does not tell the handler that no more will come; the time for the request ends it."""
    with capture_logs() as logs:
        async with serving(QUICK) as port, port.raw() as (reader, writer):
            writer.write(UNFINISHED)
            assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
            writer.write(b"5\r\n12345\r\n" + rest)
            assert b"HTTP/1.1 408 " in await hung_up(reader)
    assert not [each for each in logs if each["log_level"] == "error"]


@pytest.mark.parametrize("abrupt", [False, True])
async def test_a_body_that_breaks_off_is_no_fault_of_ours(*, abrupt: bool) -> None:
    with capture_logs() as logs:
        async with serving() as port, port.raw() as (reader, writer):
            writer.write(UNFINISHED)
            assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
            writer.write(b"5\r\n123")
            if abrupt:
                writer.transport.abort()
            else:
                writer.close()
            await port.works()
    assert sorted(each["status"] for each in logs if each["event"] == "request") == [200, 400]
    assert not [each for each in logs if each["log_level"] == "error"]


@pytest.mark.parametrize("tls", [None, SERVED])
async def test_hostile_clients_leave_a_good_one_its_service(tls: ssl.SSLContext | None) -> None:
    async with serving(tls=tls) as port, contextlib.AsyncExitStack() as stack:
        for words in HOSTILE.values():
            for _ in range(3):
                _, writer = await stack.enter_async_context(port.raw())
                writer.write(words)
        async with asyncio.timeout(PATIENCE_SECONDS):
            for _ in range(20):
                await port.works()


@given(st.lists(st.one_of(st.binary(max_size=200), st.sampled_from(list(HOSTILE.values())[:12])), max_size=4))
@settings(max_examples=30)
async def test_no_bytes_harm_it(packets: list[bytes]) -> None:
    with capture_logs() as logs:
        async with serving() as port, port.raw() as (_, writer):
            for packet in packets:
                writer.write(packet)
            await port.works()
    assert not [each for each in logs if each["log_level"] in {"warning", "error"}]


@given(st.text(), st.sampled_from(["GET", "POST", "DELETE", "BREW", "\N{LATIN SMALL LETTER U WITH DIAERESIS}"]))
@settings(max_examples=60)
async def test_no_path_harms_it(path: str, method: str) -> None:
    words = f"{method} /{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode(errors="surrogatepass")
    with capture_logs() as logs:
        async with serving(QUICK) as port:
            answer = await port.say(words)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4", b"HTTP/1.1 200"))
    assert not [each for each in logs if each["log_level"] in {"warning", "error"}]


# TLS


async def test_speaks_tls() -> None:
    async with serving(tls=SERVED) as port:
        told = json.loads((await port.ask("GET", "/v1/whoami")).body)
        assert told["url"] == f"https://127.0.0.1:{port.number}"
        assert len((await port.ask("GET", "/v1/huge")).body) == HUGE_BYTES
        assert (await port.ask("POST", "/v1/broken")).error["code"] == "internal_error"


async def test_a_request_in_the_packet_that_ends_the_handshake_is_heard() -> None:
    """By hand, for every client of asyncio's waits a while before it speaks."""
    got, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = TRUSTING.wrap_bio(got, sent, server_hostname="127.0.0.1")
    async with serving(tls=SERVED) as port, port.raw() as (reader, writer):
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        while client.version() is None or not client.getpeercert():
            writer.write(sent.read())
            got.write(await reader.read(65536))
            with contextlib.suppress(ssl.SSLWantReadError, ValueError):
                client.do_handshake()
        client.write(get("/health", "Connection: close"))
        writer.write(sent.read())
        heard = b""
        while not heard.endswith(b"well\n"):
            got.write(await reader.read(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                heard += client.read(65536)
    assert heard.startswith(b"HTTP/1.1 200 OK\r\n")


async def plain_words_on_the_port_of_tls() -> Sequence[EventDict]:
    with capture_logs() as logs:
        async with serving(QUICK, tls=SERVED) as port:
            assert b"HTTP/1.1 200" not in await port.say(get("/health"))
            assert b"HTTP/1.1 200" not in await port.say(bytes(1000))
            await port.works()
    return logs


async def test_plain_words_on_the_port_of_tls_trouble_nobody() -> None:
    logs = await plain_words_on_the_port_of_tls()
    assert not [each for each in logs if each["log_level"] in {"warning", "error"}]


def shake_hands_at_once(port: int) -> str | None:
    """Connect and say hello in one go, as a client does that has made ready."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as plain,
        TRUSTING.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        return secured.version()


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_client_may_say_hello_before_its_connection_is_accepted(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def scenario() -> list[str | None]:
        async with serving(tls=SERVED) as port:
            return [await asyncio.to_thread(shake_hands_at_once, port.number) for _ in range(20)]

    with asyncio.Runner(debug=True, loop_factory=loop_factory) as runner:
        assert runner.run(scenario()) == ["TLSv1.3"] * 20


@pytest.mark.parametrize("words", [b"", b"\x16", b"\x16\x03\x01\x02\x00"])
async def test_a_handshake_has_so_long_and_no_longer(words: bytes) -> None:
    async with serving(QUICK, tls=SERVED) as port:
        assert await port.say(words) == b""
        await port.works()


async def test_a_client_that_goes_within_its_handshake_harms_nobody() -> None:
    async with serving(tls=SERVED) as port:
        for abrupt in (False, True):
            async with port.raw() as (_, writer):
                writer.write(b"\x16\x03\x01")
                await port.works()
                if abrupt:
                    writer.transport.abort()
        await port.works()


async def test_one_that_does_not_trust_us_is_no_trouble() -> None:
    with capture_logs() as logs:
        async with serving(tls=SERVED) as port:
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.open_connection("127.0.0.1", port.number, ssl=ssl.create_default_context())
            await port.works()
    assert not [each for each in logs if each["log_level"] in {"warning", "error"}]


async def test_a_handshake_under_way_does_not_hold_up_the_end() -> None:
    async with serving(QUICK, tls=SERVED) as port, port.raw() as (reader, writer):
        writer.write(b"\x16\x03\x01")
        await port.works()
        async with asyncio.timeout(2):
            await port.server.close()
        assert await hung_up(reader) == b""


async def a_day_at_the_port() -> None:
    """Everything once, for the other event loop."""
    for tls in (None, SERVED):
        async with serving(QUICK, tls=tls) as port:
            await port.works()
            assert (await port.ask("POST", "/v1/broken")).status == 500
            assert (await port.ask("POST", "/v1/stuck")).status == 408
            await port.idle_out()
            for words in HOSTILE.values():
                await port.say(words)
            await port.works()


@pytest.mark.parametrize("scenario", [a_day_at_the_port, plain_words_on_the_port_of_tls])
def test_the_event_loop_that_is_used_in_earnest_makes_no_difference(
    scenario: Callable[[], Coroutine[Any, Any, object]],
) -> None:
    with asyncio.Runner(debug=True, loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
