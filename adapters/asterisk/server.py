"""The port on which AudioSocket is answered: who may connect, and what all its connections share."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog

from adapters.asterisk.audiosocket import KIND
from adapters.asterisk.connection import FAREWELL_SECONDS, Connection
from adapters.asterisk.keep_alive import Metronome
from adapters.pump import Limits
from adapters.stream import Encoding, Listener, Track, TrackRole
from adapters.tls import ServerTls

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.stream import Host
    from config.listeners import AudioSocketListener

log = structlog.get_logger()

MOST_WAITING = 256
"""Connections that have not sent their UUID yet; when there are more, the oldest of them is closed."""

ENCODINGS = {"slin": Encoding.L16, "ulaw": Encoding.PCMU, "alaw": Encoding.PCMA}


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
        self.connections: dict[Connection, None] = {}
        """In the order in which they came."""
        self._tls: ServerTls | None = None
        self._server: asyncio.Server | None = None
        self._closing = False
        self._last_gone = asyncio.Event()
        self._metronome = Metronome(self._beat)

    async def start(self) -> int:
        """Open the port and tell its number. Raises OSError when it, or TLS on it, cannot be had."""
        host, port = self.settings.host, self.settings.port
        self._tls = ServerTls(self.settings.tls, self.settings.name) if self.settings.tls else None
        try:
            self._server = await self._open(host, port)
        except OSError as error:
            remedy = "; another program has it: see ss -ltnp" if error.errno == errno.EADDRINUSE else ""
            raise OSError(f"listener {self.settings.name!r} cannot have {host}:{port}: {error}{remedy}") from error
        bound: int = self._server.sockets[0].getsockname()[1]
        log.info("listening", listener=self.settings.name, kind=KIND, host=host, port=bound)
        return bound

    def tick(self, now: float) -> None:
        """Hold every connection to its limits, and TLS to its files."""
        if self._tls:
            self._tls.tick(now)
        self._visit(Connection.tick, now)

    def welcome(self, connection: Connection) -> None:
        """Keep a connection that was made; where too many have not said who they are, the first of them goes."""
        self.connections[connection] = None
        if len(self.connections) > MOST_WAITING:
            waiting = [each for each in self.connections if each.waiting]
            if len(waiting) > MOST_WAITING:
                waiting[0].drop("too many connections without a UUID")
        if self._closing:  # its TLS took longer to set up than the port stayed open
            connection.close()
        elif self.settings.keep_alive == "always":
            self._metronome.start()

    def allows(self, transport: asyncio.Transport) -> bool:
        """Tell whether a peer may connect at all."""
        if not self.networks:
            return True
        name = transport.get_extra_info("peername")
        return bool(name) and any(_plain(name[0]) in network for network in self.networks)

    def forget(self, connection: Connection) -> None:
        """Drop a connection that is closed."""
        self.connections.pop(connection, None)
        if not self.connections:
            self._last_gone.set()
            self._metronome.stop()

    async def close(self) -> None:
        """Close the port, and whatever is still connected as its protocol wants it."""
        if self._server is None:
            return
        self._closing = True
        self._server.close()
        for connection in tuple(self.connections):
            connection.close()
        if self.connections:
            self._last_gone.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._last_gone.wait(), FAREWELL_SECONDS)
        for connection in tuple(self.connections):
            connection.abort()
        self._metronome.stop()

    async def _open(self, host: str, port: int) -> asyncio.Server:
        options: dict[str, Any] = {}
        if self._tls:
            options["ssl"] = self._tls.context
            options["ssl_handshake_timeout"] = self.settings.uuid_timeout_seconds
            options["ssl_shutdown_timeout"] = FAREWELL_SECONDS
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: Connection(self), host, port, backlog=1024, **options)

    def _beat(self) -> None:
        self._visit(Connection.beat, self.clock())

    def _visit(self, act: Callable[[Connection, float], None], now: float) -> None:
        for connection in tuple(self.connections):
            try:
                act(connection, now)
            except Exception:  # one connection's fault, ours, must not stop the others' clock
                log.exception("connection failed", listener=self.settings.name)
                connection.abort()


def _plain(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Read a peer's address; one of IPv4 that came in on an IPv6 socket is one of IPv4."""
    address = ipaddress.ip_address(host.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address
