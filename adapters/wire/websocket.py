"""One WebSocket of a telephone system: read without ever waiting for anybody else, told what was said, and ended."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
import structlog
from aiohttp import WebSocketError, WSCloseCode, WSMsgType, hdrs, web

from adapters.pump import Pump
from adapters.sockets import harden
from adapters.stream import Hearing, RefusalReason, StreamEnd, StreamEnded
from adapters.wire.outgoing import Outgoing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import WSMessage

    from adapters.connections import Connections
    from adapters.pump import Limits
    from adapters.rate import RateVerdict
    from adapters.stream import Host, Listener, Transcript, Wire

log = structlog.get_logger()

FAREWELL_SECONDS = 2.0
"""So long the peer may take to answer our Close, or to read what comes before it."""

LONGEST_MESSAGE_BYTES = 2 * 1024 * 1024
"""mod_audio_fork's largest buffer, five seconds of 48 kHz stereo, is half of that."""

WRITE_AHEAD_BYTES = 16 * 1024
"""So much is written to a peer before it is looked at whether it reads."""

LONGEST_REASON_BYTES = 123
"""What a Close has room for (RFC 6455 5.5)."""

CLOSE_CODES = {
    StreamEnd.PROTOCOL_ERROR: WSCloseCode.POLICY_VIOLATION,
    StreamEnd.LIMIT: WSCloseCode.POLICY_VIOLATION,
    StreamEnd.ERROR: WSCloseCode.INTERNAL_ERROR,
}
"""Of ends that are no matter of course; all others are said by 1000."""


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """How one kind of telephone system wants a WebSocket to be kept."""

    compress: bool
    """Whether an offer to compress is taken up."""
    hearing: Hearing
    encode: Callable[[Transcript], bytes] = lambda transcript: transcript.data
    """Make the text message that carries a transcript."""
    advice: Mapping[RateVerdict, str] = {}


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What all connections of a listener share."""

    listener: Listener
    limits: Limits
    host: Host
    clock: Callable[[], float]
    manner: Manner


class WebSocketConnection:
    """One connection; also the Peer of its stream. `run` is its request's task, and owns the one that sends."""

    def __init__(self, shared: Circumstances, wire: Wire[str | bytes], address: str, subprotocol: str | None) -> None:
        self._shared = shared
        self._pump = Pump[str | bytes](
            wire,
            listener=shared.listener,
            address=address,
            limits=shared.limits,
            host=shared.host,
            peer=self,
            clock=shared.clock,
            advice=shared.manner.advice,
        )
        self._socket = web.WebSocketResponse(
            timeout=FAREWELL_SECONDS,
            compress=shared.manner.compress,
            max_msg_size=LONGEST_MESSAGE_BYTES,
            writer_limit=WRITE_AHEAD_BYTES,
            protocols=[subprotocol] if subprotocol else [],
        )
        self._socket.headers[hdrs.SERVER] = "linescribe"  # aiohttp's own would name its version and Python's
        self._log = log.bind(listener=shared.listener.name, peer=address)
        self._transport: asyncio.Transport | None = None
        self._outgoing = Outgoing()
        self._stirred = asyncio.Event()
        self._closing_since: float | None = None
        self._saying_goodbye = False
        """Whether our Close is on its way, and the peer's is waited for."""
        self._told_of_shedding = False

    @property
    def waiting(self) -> bool:
        """Whether the peer has yet to introduce itself."""
        return self._pump.waiting

    @property
    def hearing(self) -> Hearing:
        """Which transcripts the peer is sent."""
        return self._shared.manner.hearing

    async def run(self, request: web.BaseRequest, connections: Connections[WebSocketConnection]) -> web.StreamResponse:
        """Answer the upgrade, and serve until it is over. Raises HTTPBadRequest where the handshake is none."""
        await self._socket.prepare(request)
        self._transport = request.transport
        if self._transport is None:
            return self._socket  # the peer did not wait for the answer
        connections.welcome(self)
        try:
            harden(self._transport)
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self._send_all())
                self._end(await self._receive_all())
                if not self._saying_goodbye:
                    sending.cancel()
        finally:
            connections.forget(self)
            self._pump.end(StreamEnd.CONNECTION_LOST)
        return self._socket

    def send(self, transcript: Transcript) -> int:
        """Let a transcript follow those that wait; what a slow peer cannot take is shed."""
        if self._closing_since is not None or self._socket.closed:
            return 0
        before = self._outgoing.finals_shed
        shed = self._outgoing.put(transcript)
        if self._outgoing.finals_shed > before and not self._told_of_shedding:
            self._told_of_shedding = True
            self._log.warning("the peer reads too slowly: finals are not sent back to it; webhooks bring them")
        self._stirred.set()
        return shed

    def close(self) -> None:
        """Send what waits, say Close, and hear the peer's."""
        if self._closing_since is None:
            self._closing_since = self._shared.clock()
            self._stirred.set()

    def drop(self, reason: str) -> None:
        """End a connection that is one too many."""
        self._pump.end(StreamEnd.LIMIT, reason)

    def abort(self) -> None:
        """Give up on a peer that does not close."""
        if self._transport is not None:
            self._transport.abort()

    def tick(self, now: float) -> None:
        """Hold the peer to its limits; to be called every 100 ms or so."""
        self._pump.tick(now)
        if self._closing_since is not None and now - self._closing_since > FAREWELL_SECONDS:
            self.abort()

    def _end(self, ended: StreamEnded) -> None:
        self._pump.end(ended.reason, ended.error)

    async def _receive_all(self) -> StreamEnded:
        """Hand every message to the pump as it comes; tell how the connection ended.

        Nothing else is awaited here: what was read when a connection is lost would be lost with it.
        """
        while True:
            message = await self._socket.receive()
            if message.type in {WSMsgType.BINARY, WSMsgType.TEXT}:
                self._pump.receive(message.data)
            else:
                return _meaning(message)

    async def _send_all(self) -> None:
        with suppress(ConnectionError):
            while self._closing_since is None or self._outgoing:
                self._stirred.clear()
                while transcript := self._outgoing.take():
                    await self._socket.send_frame(self._shared.manner.encode(transcript), WSMsgType.TEXT)
                if self._closing_since is None:
                    await self._stirred.wait()
            self._saying_goodbye = True
            code, reason = _farewell(self._pump.outcome)
            await self._socket.close(code=code, message=reason)


def _meaning(last: WSMessage) -> StreamEnded:
    """Tell how a connection ended by the last that was heard of it."""
    if last.type is WSMsgType.CLOSE:
        return StreamEnded(StreamEnd.HANGUP)
    if last.type is WSMsgType.ERROR and isinstance(last.data, WebSocketError):
        return StreamEnded(StreamEnd.PROTOCOL_ERROR, str(last.data))
    return StreamEnded(StreamEnd.CONNECTION_LOST)


def _farewell(outcome: StreamEnded | RefusalReason | None) -> tuple[int, bytes]:
    """Choose the code and the reason of our Close."""
    if isinstance(outcome, RefusalReason):
        return WSCloseCode.TRY_AGAIN_LATER, outcome.encode()
    if outcome is None:
        return WSCloseCode.OK, b""
    reason = (outcome.error or "").encode()[:LONGEST_REASON_BYTES]
    return CLOSE_CODES.get(outcome.reason, WSCloseCode.OK), reason.decode(errors="ignore").encode()
