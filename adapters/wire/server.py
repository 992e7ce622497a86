"""Where WebSockets come in: who may connect to a listener of the HTTP port, and what all its connections share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec
import structlog
from aiohttp import hdrs, web

from adapters.complaints import Complaints
from adapters.connections import Connections
from adapters.stream import Refusal, RefusalReason
from adapters.wire.access import AccessError, Approach
from adapters.wire.manner import Circumstances
from adapters.wire.websocket import FAREWELL_SECONDS, WebSocketConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from adapters.pump import Limits
    from adapters.stream import ForeseeingHost, Listener, Wire
    from adapters.wire.manner import Manner

log = structlog.get_logger()

TOKEN = "token"  # noqa: S105  the name of a parameter
RETRY_AFTER: dict[str, str] = {hdrs.RETRY_AFTER: "10"}
UPGRADE_TO: dict[str, str] = {hdrs.UPGRADE: "websocket"}
UPGRADE = "expected a WebSocket: this path is for telephone systems that send audio"


class HttpPort(Protocol):
    """The port that all this happens on."""

    def client(self, request: web.BaseRequest) -> str:
        """Tell the address of who sent a request, proxies that are trusted set aside."""
        ...

    def base(self, request: web.BaseRequest) -> str:
        """Tell how whoever sent a request reaches this port: a URL up to its path."""
        ...

    @property
    def proxied(self) -> bool:
        """Whether there is a proxy before it, through which others than those of this machine come."""
        ...

    def settle(self, request: web.BaseRequest, overflow: Callable[[], None]) -> None:
        """Let a request last as long as it likes: it is a connection of its own from here on.

        `overflow` is called when more bytes come by it than can be borne.
        """
        ...


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """What the URL of an upgrade leads to."""

    wire: Wire[str | bytes]
    limits: Limits
    call: str | None
    """What it calls the call, where that can be relied on."""
    vouched_by: str | None = None
    """Who vouches for that beside the listener."""
    known: bool = True
    """Whether its client has shown who it is, or need not."""


class Dialect(Protocol):
    """One listener, as its kind of telephone system has it."""

    @property
    def listener(self) -> Listener:
        """Its name, and whose it is."""
        ...

    @property
    def manner(self) -> Manner:
        """How its WebSockets are kept."""
        ...

    def subprotocol(self, offered: Sequence[str]) -> str | None:
        """Choose one of those that a client offers, or none."""
        ...

    def visit(self, approach: Approach, query: Mapping[str, str], now: float) -> Visit:
        """Let a client in, and read its URL.

        Raises AccessError where it may not come in, and ValueError where its URL cannot be read.
        """
        ...


class WebSocketServer:
    """One listener, and its connections."""

    def __init__(self, dialect: Dialect, host: ForeseeingHost, clock: Callable[[], float], port: HttpPort) -> None:
        self.listener = dialect.listener
        self.connections = Connections[WebSocketConnection](self.listener.name)
        self._dialect = dialect
        self._host = host
        self._clock = clock
        self._port = port
        self._complaints = Complaints()
        self._shared = Circumstances(
            listener=self.listener,
            host=host,
            clock=clock,
            manner=dialect.manner,
            connections=self.connections,
            complaints=self._complaints,
        )

    async def accept(self, request: web.Request) -> web.StreamResponse:
        """Answer an upgrade at once, and serve it if it may come in.

        Nothing is awaited before the answer: mod_audio_fork takes one that is late for another call's.
        """
        client = self._port.client(request)
        if request.headers.get(hdrs.UPGRADE, "").lower() != "websocket":
            return refused(426, "upgrade_required", UPGRADE, UPGRADE_TO)
        try:
            visit = self._visit(request)
        except AccessError as error:
            self.complain(client, str(error))
            return refused(error.status, error.code, str(error), error.headers)
        except ValueError as error:
            self.complain(client, str(error))
            return refused(400, "invalid", str(error))
        except Refusal as refusal:
            self.complain(client, refusal.reason)
            return _unavailable(refusal.reason)
        offered = [each.strip() for each in request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "").split(",")]
        subprotocol = self._dialect.subprotocol(list(filter(None, offered)))
        connection = WebSocketConnection(
            self._shared, visit.wire, visit.limits, address=client, known=visit.known, subprotocol=subprotocol
        )
        return await connection.run(request, lambda: self._port.settle(request, connection.overflow))

    def tick(self, now: float) -> None:
        """Hold every connection to its limits."""
        self.connections.visit(lambda connection: connection.tick(now))

    async def close(self) -> None:
        """Close whatever is still connected."""
        await self.connections.close(FAREWELL_SECONDS)

    def complain(self, client: str, reason: str) -> None:
        """Tell the log of a client that is turned away, though not of each in a crowd."""
        untold = self._complaints.take(self._clock())
        if untold is not None:
            log.warning("client turned away", listener=self.listener.name, peer=client, reason=reason, others=untold)

    def approach(self, request: web.Request) -> Approach:
        """Tell who asks for what."""
        tokens = [request.match_info[TOKEN]] if TOKEN in request.match_info else []
        tokens += [value for name, value in request.query.items() if name.lower() == TOKEN]
        return Approach(
            client=self._port.client(request),
            headers=request.headers,
            tokens=tuple(tokens),
            base=self._port.base(request),
            target=request.raw_path,
            proxied=self._port.proxied,
        )

    def _visit(self, request: web.Request) -> Visit:
        query = {name: value for name, value in request.query.items() if name.lower() != TOKEN}
        now = self._clock()
        visit = self._dialect.visit(self.approach(request), query, now)
        self._host.foresee(self.listener, visit.call, now, visit.vouched_by)
        return visit


def routes(path: str, servers: Sequence[WebSocketServer], clock: Callable[[], float]) -> list[web.RouteDef]:
    """Give the ways in to listeners of one kind: by name, and with a token behind it; to the first without, too."""
    named = {server.listener.name: server for server in servers}
    first = next(iter(named), "")
    complaints = Complaints()

    async def accept(request: web.Request) -> web.StreamResponse:
        server = named.get(request.match_info.get("name", first))
        if server is None:
            if complaints.take(clock()) is not None:
                log.warning("client turned away: its path names no listener", path=path, listeners=list(named))
            return refused(404, "not_found", f"there is no such listener: {path}/NAME names one of the settings")
        return await server.accept(request)

    paths = (path, f"{path}/", f"{path}/{{name}}", f"{path}/{{name}}/{{{TOKEN}}}") if named else ()
    return [web.get(each, accept, allow_head=False) for each in paths]


def announce(path: str, servers: Sequence[WebSocketServer], port: int) -> None:
    """Tell the log where calls of one kind come in."""
    for number, server in enumerate(servers):
        ways = (path, f"{path}/{server.listener.name}")[number > 0 :]
        log.info("listening", listener=server.listener.name, kind=server.listener.kind, port=port, paths=ways)


def _unavailable(reason: RefusalReason) -> web.Response:
    if reason is RefusalReason.DRAINING:
        return refused(503, reason, "no new calls are taken: the gateway is shutting down")
    return refused(503, reason, "no new calls are taken for now: there are as many as can be served", RETRY_AFTER)


def refused(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Make an answer that refuses: `code` for programs, `message` for people."""
    body = msgspec.json.encode({"error": {"code": code, "message": message}}) + b"\n"
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)
