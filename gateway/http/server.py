"""The port of the HTTP API: every request's way in and out, and the port's own opening and closing."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, cast

import structlog
from aiohttp import hdrs, web

from adapters.sockets import networks
from config.checks import is_loopback
from gateway.http.connections import Connections, Limits
from gateway.http.errors import ApiError, dressed, plain_error, printable, refusal, translated
from gateway.http.proxies import SEEN, seen
from gateway.http.streaming import asking
from gateway.http.tokens import ACCOUNT, Tokens

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from config.listeners import Http

log = structlog.get_logger()

GUARDED = "/v1/"
"""Whatever lies under it is for those with a token."""

NOT_FOUND = 404

READING = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})

_NOT_HERE = "no interface here has that address: see ip address"
REMEDIES = {
    errno.EADDRINUSE: "another program has it: see ss -ltnp",
    errno.EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE: see AmbientCapabilities= in systemd.exec(5)",
    errno.EADDRNOTAVAIL: _NOT_HERE,
    None: _NOT_HERE,  # so says Python from 3.13
}


class HttpServer:
    """Serves `routes` on the port of the settings.

    What a handler raises is answered: ApiError as it says, anything else with 500 and a log line. It has the
    account of a request under /v1/ from `account_of`, and the client from `seen_of`. A path that is neither under /v1/
    nor that of a route, word for word, may hold a secret, and is not logged. `guarded` says that clients show secrets.
    `check` may refuse any request, by ApiError, before its token is asked for.
    """

    def __init__(
        self,
        settings: Http,
        routes: Sequence[web.RouteDef],
        *,
        guarded: bool = False,
        tls: ssl.SSLContext | None = None,
        limits: Limits = Limits(),  # noqa: B008  it is frozen
        name: str = "http",
        tokens: Tokens | None = None,
        check: Callable[[web.Request], None] = lambda _request: None,
    ) -> None:
        if settings.port is None:
            raise ValueError("Expected http.port: without it there is no HTTP")
        self._settings = settings
        self._name = name
        self._check = check
        self._guarded = guarded or bool(settings.tokens)
        self._paths = {route.path for route in routes}
        self._port = settings.port
        self._tls = tls
        self._limits = limits
        self._tokens = tokens or Tokens(settings.tokens)
        self._trusted = networks(settings.trusted_proxies)
        app = web.Application(client_max_size=limits.body_bytes)
        app.add_routes(routes)
        # Twice it waits so long: for the requests, and then for those it has told to stop.
        self._runner = web.AppRunner(app, shutdown_timeout=limits.farewell_seconds / 2)
        self._listening: asyncio.Server | None = None
        self._running: set[asyncio.Task[object]] = set()

    async def start(self) -> int:
        """Open the port and tell its number. Raises OSError when it cannot be had."""
        await self._runner.setup()
        server = cast("web.Server", self._runner.server)
        # Not a middleware: those never see what aiohttp refuses before it knows the route.
        self._handle, server.request_handler = server.request_handler, self._serve
        self._connections = Connections(server, self._limits, self._tls)
        host = self._settings.host
        try:
            self._listening = await self._connections.listen(host, self._port)
        except OSError as error:
            await self._runner.cleanup()
            remedy = f"; {REMEDIES[error.errno]}" if error.errno in REMEDIES else ""
            raise OSError(f"listener {self._name!r} cannot have {host}:{self._port}: {error}{remedy}") from error
        bound: int = self._listening.sockets[0].getsockname()[1]
        self._announce(bound)
        return bound

    async def close(self) -> None:
        """Close the port; requests in progress are given up after two seconds."""
        if self._listening is None:
            return
        self._listening.close()
        await self._runner.cleanup()
        await self._connections.close(self._limits.farewell_seconds)
        for task in self._running:
            if not task.cancelling():  # those whose client is gone aiohttp forgets, and the others it has told
                task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=self._limits.farewell_seconds)

    def _announce(self, port: int) -> None:
        host, kind = self._settings.host, "http" if self._tls is None else "https"
        log.info("listening", listener=self._name, kind=kind, host=host, port=port)
        sheltered = is_loopback(host) or self._tls is not None or self._settings.trusted_proxies
        if self._guarded and not sheltered:
            log.warning(
                "secrets travel in the clear; set http.tls or put a TLS proxy before it", listener=self._name, host=host
            )

    async def _serve(self, base: web.BaseRequest) -> web.StreamResponse:
        request = cast("web.Request", base)
        self._own()
        request[SEEN] = seen(
            request.headers,
            request.remote,
            secure=self._tls is not None,
            trusted=self._trusted,
            public_url=self._settings.public_url,
        )
        about = {
            "method": printable(request.method),
            "path": self._printable_path(request),
            "client": request[SEEN].client,
        }
        structlog.contextvars.bind_contextvars(listener=self._name, **about)
        response = None
        try:
            response = await self._in_time(request)
        finally:
            astray = response is not None and response.status == NOT_FOUND and hdrs.UPGRADE in request.headers
            note = log.debug if request.method in READING and not astray else log.info
            note("request", status=response and response.status, account=request.get(ACCOUNT), **about)
        return response

    def _printable_path(self, request: web.Request) -> str:
        path = request.rel_url.raw_path
        return printable(path) if path in self._paths or path.startswith(GUARDED) else "/..."

    def _own(self) -> None:
        """Wait for the task of this request when the port is closed; aiohttp has made it, and does not."""
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _in_time(self, request: web.Request) -> web.StreamResponse:
        try:
            async with asyncio.timeout(self._limits.request_seconds) as limit:
                with asking(request, limit):
                    return await self._answered(request)
        except TimeoutError:
            return self._too_late(request, refusal(plain_error(408)))

    async def _answered(self, request: web.Request) -> web.StreamResponse:
        try:
            response = await self._done(request)
            await _send(request, response)
        except ApiError as error:
            response = refusal(error)
        except web.HTTPException as error:
            response = translated(error)
        except Exception as error:  # whatever a handler does wrong is told to its client, and to us, and no more
            if error is request.content.exception():
                response = refusal(plain_error(400))  # the body broke off: the peer's fault
            else:
                log.exception("request failed")
                response = self._too_late(request, refusal(plain_error(500)))
        await _send(request, response)
        return response

    async def _done(self, request: web.Request) -> web.StreamResponse:
        self._check(request)
        if request.path.startswith(GUARDED):
            request[ACCOUNT] = self._tokens.account(request.headers.getall(hdrs.AUTHORIZATION, ()))
            structlog.contextvars.bind_contextvars(account=request[ACCOUNT])
        if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
            raise ApiError(415, "unsupported_encoding", "the body is taken as it is: send no Content-Encoding")
        return await self._handle(request)

    @staticmethod
    def _too_late(request: web.Request, response: web.Response) -> web.StreamResponse:
        """Say that it failed, if nothing was said yet; half an answer must not look like a whole one."""
        response.force_close()
        if request.writer.output_size and request.transport is not None:
            request.transport.abort()
        return dressed(response)


async def _send(request: web.Request, response: web.StreamResponse) -> None:
    """Send an answer while the time for its request runs; a second time does nothing."""
    try:
        await dressed(response).prepare(request)
        await response.write_eof()
    except ConnectionError:
        return  # the client did not wait for it
