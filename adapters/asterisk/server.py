"""The port on which AudioSocket is answered: who may connect, and how a connection is kept and ended."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import structlog

from adapters.asterisk.audiosocket import KIND, SILENCE, TERMINATE, AudioSocketWire
from adapters.pump import Limits, Pump
from adapters.rate import RateVerdict
from adapters.stream import Encoding, Listener, StreamEnd, Track, TrackRole

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.stream import Host
    from config.settings import AudioSocketListener

log = structlog.get_logger()

MOST_WAITING = 256
"""Connections that have not sent their UUID yet; when there are more, the oldest of them is closed."""

FAREWELL_SECONDS = 2.0
"""So long the peer may take to close after we said that it is over."""

ENCODINGS = {"slin": Encoding.L16, "ulaw": Encoding.PCMU, "alaw": Encoding.PCMA}

ADVICE = {
    RateVerdict.SLOW: "audio comes at half the rate of its kind: it is mu-law, A-law or G.722, and is heard as noise."
    " Dial AudioSocket/.../c(slin), or set this listener's encoding",
    RateVerdict.FAST: "audio comes at twice the rate of its kind: it is wideband under the kind of 8 kHz, or 16-bit PCM"
    " where this listener's encoding says otherwise. Dial AudioSocket/.../c(slin), and set encoding to slin",
}

VANISHED_SECONDS = 60
"""A peer whose machine is gone is noticed after about so long."""


class AudioSocketServer:
    """Listens on one port and owns its connections."""

    def __init__(self, settings: AudioSocketListener, host: Host, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.host = host
        self.clock = clock
        self.track = Track(id=settings.role, role=TrackRole(settings.role), label=settings.label)
        self.encoding = ENCODINGS[settings.encoding]
        self.listener = Listener(
            kind=KIND,
            name=settings.name,
            account=settings.account,
            registered_only=settings.registration == "required",
        )
        self.networks = tuple(ipaddress.ip_network(each) for each in settings.allowed_peers)
        self.limits = Limits(
            handshake_seconds=settings.uuid_timeout_seconds, idle_seconds=settings.idle_timeout_seconds
        )
        self.connections: dict[_Connection, None] = {}
        """In the order in which they came."""
        self._server: asyncio.Server | None = None
        self._last_gone = asyncio.Event()

    async def start(self) -> int:
        """Open the port and tell its number. Raises OSError when it cannot be had."""
        host, port = self.settings.host, self.settings.port
        try:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(lambda: _Connection(self), host, port, backlog=1024)
        except OSError as error:
            remedy = "; another program has it: see ss -ltnp" if error.errno == errno.EADDRINUSE else ""
            raise OSError(f"listener {self.settings.name!r} cannot have {host}:{port}: {error}{remedy}") from error
        bound: int = self._server.sockets[0].getsockname()[1]
        log.info("listening", listener=self.settings.name, kind=KIND, host=host, port=bound)
        return bound

    def tick(self, now: float) -> None:
        """Hold every connection to its limits."""
        for connection in tuple(self.connections):
            try:
                connection.tick(now)
            except Exception:  # one connection's fault, ours, must not stop the others' clock
                log.exception("connection failed", listener=self.settings.name)
                connection.abort()

    def welcome(self, connection: _Connection) -> None:
        """Keep a connection that was made; where too many have not said who they are, the first of them goes."""
        self.connections[connection] = None
        if len(self.connections) > MOST_WAITING:
            waiting = [each for each in self.connections if each.waiting]
            if len(waiting) > MOST_WAITING:
                waiting[0].drop("too many connections without a UUID")

    def allows(self, transport: asyncio.Transport) -> bool:
        """Tell whether a peer may connect at all."""
        if not self.networks:
            return True
        name = transport.get_extra_info("peername")
        return bool(name) and any(_plain(name[0]) in network for network in self.networks)

    def forget(self, connection: _Connection) -> None:
        """Drop a connection that is closed."""
        self.connections.pop(connection, None)
        if not self.connections:
            self._last_gone.set()

    async def close(self) -> None:
        """Close the port, and whatever is still connected as its protocol wants it."""
        if self._server is None:
            return
        self._server.close()
        for connection in tuple(self.connections):
            connection.close()
        if self.connections:
            self._last_gone.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._last_gone.wait(), FAREWELL_SECONDS)
        for connection in tuple(self.connections):
            connection.abort()


class _Connection(asyncio.Protocol):
    """One TCP connection of Asterisk; also the Peer of its stream."""

    def __init__(self, server: AudioSocketServer) -> None:
        self._server = server
        self._keep_alive = server.settings.keep_alive_seconds
        self._quiet_since = 0.0
        self._farewell_at: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        _harden(self._transport.get_extra_info("socket"))
        server = self._server
        self._pump = Pump(
            AudioSocketWire(server.track, server.encoding),
            listener=server.listener,
            address=_address(self._transport),
            limits=server.limits,
            host=server.host,
            peer=self,
            clock=server.clock,
            advice=ADVICE,
        )
        self._quiet_since = server.clock()
        server.welcome(self)
        if not server.allows(self._transport):
            self.drop("this peer is not allowed (allowed_peers)")

    @property
    def waiting(self) -> bool:
        return self._pump.waiting

    def data_received(self, data: bytes) -> None:
        self._quiet_since = self._server.clock()
        if self._farewell_at is None:
            self._pump.receive(data)

    def eof_received(self) -> None:
        self._transport.close()  # first, so that nothing is said to a peer that is gone
        self._pump.end(StreamEnd.HANGUP)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.forget(self)
        self._pump.end(_reason(exc))

    def tick(self, now: float) -> None:
        self._pump.tick(now)
        if self._farewell_at is not None:
            if now - self._farewell_at > FAREWELL_SECONDS:
                self.abort()
        elif self._keep_alive is not None and now - self._quiet_since >= self._keep_alive and not self._pump.waiting:
            self._quiet_since = now
            self._write(SILENCE)

    def close(self) -> None:
        """Say 00 00 00, then FIN, and read on until the peer closes.

        Releases up to 20.13 take FIN alone for no end and spin. To close with its audio unread would send a
        reset, on which Asterisk drops the call.
        """
        if self._farewell_at is not None or self._transport.is_closing():
            return
        self._farewell_at = self._server.clock()
        self._write(TERMINATE)
        try:
            self._transport.write_eof()
        except OSError:  # the peer was quicker, and is gone
            self.abort()

    def abort(self) -> None:
        """Give up on a peer that does not close."""
        self._transport.abort()

    def drop(self, reason: str) -> None:
        """End a connection that is one too many."""
        self._pump.end(StreamEnd.LIMIT, reason)

    def _write(self, frame: bytes) -> None:
        """Send unless the peer does not read; a frame that waits would be as good as lost."""
        if not self._transport.is_closing() and not self._transport.get_write_buffer_size():
            self._transport.write(frame)


def _harden(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: tcp(7)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, VANISHED_SECONDS // 2)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, VANISHED_SECONDS // 6)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, VANISHED_SECONDS * 1000)


def _address(transport: asyncio.Transport) -> str:
    name = transport.get_extra_info("peername")
    return f"{name[0]}:{name[1]}" if name else "unknown"


def _plain(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Read a peer's address; one of IPv4 that came in on an IPv6 socket is one of IPv4."""
    address = ipaddress.ip_address(host.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def _reason(error: Exception | None) -> StreamEnd:
    """Tell a vanished peer from a reset, which is how a call ends that had something unread."""
    lost = isinstance(error, OSError) and error.errno in {
        errno.ETIMEDOUT,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
    }
    return StreamEnd.CONNECTION_LOST if lost else StreamEnd.HANGUP
