"""One WebSocket of a telephone system: read without ever waiting for anybody else, told what was said, and ended."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import structlog
from aiohttp import WebSocketError, WSCloseCode, WSMsgType, hdrs, web

from adapters.allowance import Allowance
from adapters.pump import Pump
from adapters.sockets import harden
from adapters.stream import RefusalReason, StreamEnd, StreamEnded
from adapters.wire.outgoing import Outgoing

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.pump import Limits
    from adapters.stream import Hearing, StreamStarted, Transcript, Wire
    from adapters.wire.manner import Circumstances

log = structlog.get_logger()

FAREWELL_SECONDS = 2.0
"""So long the peer may take to answer our Close, or to read what comes before it."""

COST_PER_SECOND, COST_AT_ONCE = 2_000.0, 20_000.0
"""What a peer may send: each message costs 1, and 1 more for each kilobyte in it, unpacked. The most that a telephone
system sends, 48 kHz stereo, costs 240 a second; after a minute's stall all of it comes at once."""

KILOBYTE = 1024

TURN_COST = 64
"""After so much of one peer it is the others' turn."""

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

FLOOD = "more messages than any telephone system sends"

MOST_STRANGERS = 32
"""Connections of clients that have yet to show who they are; when there are more, the oldest of them is closed."""


class WebSocketConnection:
    """One connection; also the Peer of its stream. `run` is its request's task, and owns the one that sends."""

    def __init__(
        self,
        shared: Circumstances,
        wire: Wire[str | bytes],
        limits: Limits,
        *,
        address: str,
        known: bool,
        subprotocol: str | None,
    ) -> None:
        self._shared = shared
        self.address = address
        self.known = known
        """Whether the peer has shown who it is, or need not."""
        self._pump = Pump[str | bytes](
            wire,
            listener=shared.listener,
            address=address,
            limits=limits,
            host=shared.host,
            peer=self,
            clock=shared.clock,
            complaints=shared.complaints,
            advice=shared.manner.advice,
        )
        self._socket: web.WebSocketResponse[Literal[False]] = web.WebSocketResponse(
            autoclose=False,
            autoping=False,
            decode_text=False,  # what is no UTF-8 ends no call
            compress=shared.manner.compress,
            max_msg_size=shared.manner.longest_message_bytes,
            writer_limit=WRITE_AHEAD_BYTES,
            protocols=[subprotocol] if subprotocol else [],
        )
        self._socket.headers[hdrs.SERVER] = "linescribe"  # aiohttp's own would name its version and Python's
        self._log = log.bind(listener=shared.listener.name, peer=address)
        self._transport: asyncio.Transport | None = None
        self._allowance = Allowance(COST_PER_SECOND, COST_AT_ONCE, shared.clock())
        self._turn = 0.0
        """What this peer has cost since the others had theirs."""
        self._outgoing = Outgoing()
        self._pong: bytes | None = None
        """What the last ping is to be answered with."""
        self._stirred = asyncio.Event()
        self._closing_since: float | None = None
        self._said_close = False
        self._told_of_shedding = False

    @property
    def waiting(self) -> bool:
        """Whether the peer has yet to introduce itself."""
        return self._pump.waiting

    @property
    def started(self) -> StreamStarted | None:
        """What the peer's stream is, once it has told it."""
        return self._pump.started

    @property
    def hearing(self) -> Hearing:
        """Which transcripts the peer is sent."""
        return self._shared.manner.hearing

    async def run(self, request: web.BaseRequest, on_open: Callable[[], None]) -> web.StreamResponse:
        """Answer the upgrade, and serve until it is over. Raises HTTPBadRequest where the handshake is none."""
        with suppress(ConnectionError):
            await self._socket.prepare(request)
            self._transport = request.transport
        if self._transport is None:
            return web.Response()  # to a peer that did not wait for the answer
        on_open()
        self._be_welcome()
        try:
            harden(self._transport)
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self._send_all())
                ended = await self._receive_all()
                self._pump.end(ended.reason, ended.error)
                sending.cancel()
            await self._answer_close(ended)
        finally:
            self._shared.connections.forget(self)
            self._pump.end(StreamEnd.CONNECTION_LOST)
            self._transport.close()
        return self._socket

    def _be_welcome(self) -> None:
        connections, most_of_one = self._shared.connections, self._shared.manner.most_waiting_of_one
        connections.welcome(self, None if self.known else MOST_STRANGERS, lambda each: each.known == self.known)
        if most_of_one is not None:
            connections.thin(most_of_one, lambda each: each.address == self.address)

    def send(self, transcript: Transcript) -> int:
        """Let a transcript follow those that wait; what a slow peer cannot take is shed."""
        if self._closing_since is not None or self._transport is None or self._transport.is_closing():
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

    def end_soon(self, *, surely: bool = True) -> None:
        """End the stream, unless it ends by itself: its peer has told by another way that it is over.

        Where that is not sure, it goes on if its peer does.
        """
        self._pump.end_soon(surely=surely)

    def drop(self, reason: str) -> None:
        """End a connection that is one too many."""
        self._pump.end(StreamEnd.LIMIT, reason)

    def overflow(self) -> None:
        """End the stream of a peer that sends more than can be borne; it would not hear a Close out."""
        self._pump.end(StreamEnd.PROTOCOL_ERROR, FLOOD)
        self.abort()

    def abort(self) -> None:
        """Give up on a peer that does not close."""
        if self._transport is not None:
            self._transport.abort()

    def tick(self, now: float) -> None:
        """Hold the peer to its limits; to be called every 100 ms or so."""
        self._pump.tick(now)
        if self._closing_since is not None and now - self._closing_since > FAREWELL_SECONDS:
            self.abort()

    async def _receive_all(self) -> StreamEnded:
        """Hand every message to the pump as it comes; tell how the connection ended.

        Nobody is waited for, but the others have their turns, however much this peer sends.
        """
        while True:
            message = await self._socket.receive()
            if not await self._is_bearable(message.data):
                self.overflow()
                return StreamEnded(StreamEnd.PROTOCOL_ERROR, FLOOD)
            match message.type:
                case WSMsgType.BINARY:
                    self._pump.receive(message.data)
                case WSMsgType.TEXT:
                    self._pump.receive(message.data.decode(errors="replace"))
                case WSMsgType.PING:
                    self._pong = message.data
                    self._stirred.set()
                case WSMsgType.PONG:
                    pass
                case kind:
                    return _meaning(kind, message.data)

    async def _is_bearable(self, data: object) -> bool:
        """Let others have their turn when it is time; tell False of what is too much."""
        size = len(data) if isinstance(data, bytes) else 0
        cost = 1.0 + size / KILOBYTE
        self._turn += cost
        if self._turn >= TURN_COST:
            self._turn = 0.0
            await asyncio.sleep(0)
        return self._allowance.take(self._shared.clock(), cost)

    async def _send_all(self) -> None:
        with suppress(ConnectionError):
            while self._closing_since is None or self._outgoing:
                self._stirred.clear()
                await self._send_waiting()
                if self._closing_since is None:
                    await self._stirred.wait()
            await self._say_close(*_farewell(self._pump.outcome))

    async def _send_waiting(self) -> None:
        if self._pong is not None:
            pong, self._pong = self._pong, None
            await self._socket.send_frame(pong, WSMsgType.PONG)
        while transcript := self._outgoing.take():
            await self._socket.send_frame(self._shared.manner.encode(transcript), WSMsgType.TEXT)

    async def _answer_close(self, ended: StreamEnded) -> None:
        """Say 1000 to a peer that has said Close; `run` lets the connection go after it.

        One that has broken the WebSocket's own rules has heard why from aiohttp.
        """
        if ended.reason is StreamEnd.HANGUP:
            await self._say_close(WSCloseCode.OK, b"")

    async def _say_close(self, code: int, reason: bytes) -> None:
        if not self._said_close:
            self._said_close = True
            with suppress(ConnectionError):
                await self._socket.send_frame(code.to_bytes(2, "big") + reason, WSMsgType.CLOSE)


def _meaning(kind: WSMsgType, data: object) -> StreamEnded:
    """Tell how a connection ended by the last that was heard of it."""
    if kind is WSMsgType.CLOSE:
        return StreamEnded(StreamEnd.HANGUP)
    if kind is WSMsgType.ERROR and isinstance(data, WebSocketError):
        return StreamEnded(StreamEnd.PROTOCOL_ERROR, str(data))
    return StreamEnded(StreamEnd.CONNECTION_LOST)


def _farewell(outcome: StreamEnded | RefusalReason | None) -> tuple[int, bytes]:
    """Choose the code and the reason of our Close."""
    if isinstance(outcome, RefusalReason):
        return WSCloseCode.TRY_AGAIN_LATER, outcome.encode()
    if outcome is None:
        return WSCloseCode.OK, b""
    reason = (outcome.error or "").encode()[:LONGEST_REASON_BYTES]
    return CLOSE_CODES.get(outcome.reason, WSCloseCode.OK), reason.decode(errors="ignore").encode()
