"""The connections of the HTTP port: so many and no more, and an end for each.

With TLS a connection is one once its handshake is done; those under way are bounded by the time they have. One that has
become a WebSocket is counted no more: how many there are of those, their own server decides.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import msgspec
import structlog
from aiohttp import web

from adapters.allowance import Allowance
from gateway.http.errors import dressed, plain_error, refusal

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

log = structlog.get_logger()

BAD_REQUEST = 400


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one client may ask of the port."""

    connections: int = 256
    body_bytes: int = 64 * 1024
    request_seconds: float = 10.0
    """To read a request's body, to do it, and to send the answer."""
    idle_seconds: float = 15.0
    """For a request's head to be there whole, from the connection or from the answer before it."""
    handshake_seconds: float = 10.0
    linger_seconds: float = 2.0
    """What is left of a body after its answer is read for so long: on a reset the answer would be lost."""
    farewell_seconds: float = 2.0
    """For requests in progress, when the port is closed."""
    socket_bytes_per_second: float = 2e6
    """By a WebSocket. 48 kHz stereo takes a tenth of it."""
    socket_bytes_at_once: float = 20e6
    """The same; after a minute's stall all of it comes at once."""


class Connections:
    """Every open connection of one port, from its first packet to its last."""

    def __init__(self, server: web.Server, limits: Limits, tls: ssl.SSLContext | None) -> None:
        self.server = server
        self.limits = limits
        self.tls = tls
        self.loop = asyncio.get_running_loop()
        self._open: dict[HttpConnection, asyncio.Transport] = {}
        """In the order in which they came."""
        self._settled: dict[HttpConnection, asyncio.Transport] = {}
        """WebSockets."""
        self._last_gone = asyncio.Event()
        self._closed = False

    async def listen(self, host: str, port: int) -> asyncio.Server:
        """Open the port. Raises OSError."""
        seconds = self.limits.handshake_seconds if self.tls else None
        farewell = self.limits.farewell_seconds if self.tls else None
        return await self.loop.create_server(
            lambda: HttpConnection(self),
            host,
            port,
            ssl=self.tls,
            ssl_handshake_timeout=seconds,
            ssl_shutdown_timeout=farewell,
        )

    def admit(self, protocol: HttpConnection, transport: asyncio.Transport) -> bool:
        """Keep a connection, or drop it when there are too many and each of them is asking for something."""
        if self._closed:  # its handshake took longer than the port stayed open
            transport.abort()
            return False
        if len(self._open) >= self.limits.connections and not self._make_room():
            log.debug("too many connections", listener="http", limit=self.limits.connections)
            transport.abort()
            return False
        self._open[protocol] = transport
        return True

    def settle(self, protocol: HttpConnection) -> None:
        """Count a connection no more."""
        if (transport := self._open.pop(protocol, None)) is not None:
            self._settled[protocol] = transport

    def forget(self, protocol: HttpConnection) -> None:
        """Make room again."""
        self._open.pop(protocol, None)
        self._settled.pop(protocol, None)
        if not self._open and not self._settled:
            self._last_gone.set()

    def _make_room(self) -> bool:
        """Drop the oldest connection that asks for nothing: whoever only keeps connections open keeps no call out."""
        idle = next((each for each in self._open if not each.asking), None)
        if idle is None:
            return False
        log.debug("idle connection dropped for another", listener="http", limit=self.limits.connections)
        self._open.pop(idle).abort()
        return True

    async def close(self, seconds: float) -> None:
        """Cut off whatever is left, and what is still to come."""
        self._closed = True
        for transport in (*self._open.values(), *self._settled.values()):
            transport.abort()
        if self._open or self._settled:
            self._last_gone.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._last_gone.wait(), seconds)


class HttpConnection(web.RequestHandler):
    """aiohttp's connection, counted, civil to those who speak no HTTP, and rid of peers that never read."""

    def __init__(self, connections: Connections) -> None:
        limits = connections.limits
        super().__init__(
            connections.server,
            loop=connections.loop,
            keepalive_timeout=limits.idle_seconds,
            lingering_time=limits.linger_seconds,
            access_log=None,  # type: ignore[arg-type]  # so it is told to keep none
            auto_decompress=False,  # what nobody reads would be unpacked all the same
        )
        self._connections = connections
        self._watch: asyncio.TimerHandle | None = None
        self.asking = False
        """Whether a request of it is being done."""
        self._allowance: Allowance | None = None
        """What a WebSocket may bring; messages have another, but there may be none: of fragments without end, say."""
        self._overflow: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many."""
        own = cast("asyncio.Transport", transport)
        if self._connections.admit(self, own):
            super().connection_made(own)
            self._look(own, was_closing=False)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Make room for another."""
        if self._watch is not None:
            self._watch.cancel()
        self._connections.forget(self)
        super().connection_lost(exc)

    def settle(self, overflow: Callable[[], None]) -> None:
        """Be a WebSocket from here on, which is told when more bytes come than can be borne."""
        limits = self._connections.limits
        self._overflow = overflow
        self._allowance = Allowance(limits.socket_bytes_per_second, limits.socket_bytes_at_once, self._now())
        self._connections.settle(self)

    def data_received(self, data: bytes) -> None:
        """Take what has come, as long as there is not too much of it."""
        if self._allowance is None or self._allowance.take(self._now(), len(data)):
            super().data_received(data)
        elif self._overflow is not None:
            self._overflow()

    def _now(self) -> float:
        return self._connections.loop.time()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what aiohttp could not make a request of; anything else that comes here is our fault."""
        if status == BAD_REQUEST:
            error = plain_error(BAD_REQUEST, message or "")
            log.debug("not understood", listener="http", client=request.remote, error=error.message)
        else:
            error = plain_error(500)
            log.error("request failed", listener="http", exc_info=exc)
        response = dressed(refusal(error))
        response.force_close()
        return response

    def _look(self, transport: asyncio.Transport, *, was_closing: bool) -> None:
        """Cut a peer off that does not read our last words: a transport waits for it without end."""
        if was_closing:
            transport.abort()
        else:
            self._watch = self._connections.loop.call_later(
                self._connections.limits.idle_seconds,
                lambda: self._look(transport, was_closing=transport.is_closing()),
            )
