"""The port on which AudioSocket is answered: who may connect, and what all its connections share."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Any

import structlog

from adapters.asterisk.audiosocket import KIND
from adapters.asterisk.connection import FAREWELL_SECONDS, Connection
from adapters.asterisk.keep_alive import Metronome
from adapters.complaints import Complaints
from adapters.connections import Connections
from adapters.pump import Limits
from adapters.sockets import is_within, networks, plain_address
from adapters.stream import Encoding, Listener, Track, TrackRole
from adapters.tls import ServerTls

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.stream import Host
    from config.listeners import AudioSocketListener

log = structlog.get_logger()

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
        self.networks = networks(settings.allowed_peers)
        self.limits = Limits(
            handshake_seconds=settings.uuid_timeout_seconds, idle_seconds=settings.idle_timeout_seconds
        )
        self.connections = Connections[Connection](settings.name)
        self.complaints = Complaints()
        self._tls: ServerTls | None = None
        self._server: asyncio.Server | None = None
        self._closing = False
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
        self.connections.visit(lambda connection: connection.tick(now))

    def welcome(self, connection: Connection) -> None:
        """Keep a connection that was made."""
        self.connections.welcome(connection)
        if self._closing:  # its TLS took longer to set up than the port stayed open
            connection.close()
        elif self.settings.keep_alive == "always":
            self._metronome.start()

    def allows(self, transport: asyncio.Transport) -> bool:
        """Tell whether a peer may connect at all."""
        if not self.networks:
            return True
        name = transport.get_extra_info("peername")
        return bool(name) and is_within(plain_address(name[0]), self.networks)

    def forget(self, connection: Connection) -> None:
        """Drop a connection that is closed."""
        self.connections.forget(connection)
        if not self.connections:
            self._metronome.stop()

    async def close(self) -> None:
        """Close the port, and whatever is still connected as its protocol wants it."""
        if self._server is None:
            return
        self._closing = True
        self._server.close()
        await self.connections.close(FAREWELL_SECONDS)
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
        now = self.clock()
        self.connections.visit(lambda connection: connection.beat(now))
