from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest
from structlog.testing import capture_logs

from adapters.asterisk import server as module
from adapters.asterisk.audiosocket import SILENCE, TERMINATE, Kind, encode
from adapters.asterisk.server import AudioSocketServer
from adapters.stream import (
    AudioFormat,
    AudioFrame,
    DigitPressed,
    Encoding,
    Listener,
    Peer,
    Refusal,
    RefusalReason,
    StreamEnd,
    StreamEnded,
    StreamEvent,
    StreamOffer,
    StreamStarted,
    TrackRole,
)
from config.settings import AudioSocketListener
from tests.gateway_under_test import Line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Hotel:
    """A host that takes every stream in, unless it is told not to, and remembers what it heard."""

    def __init__(self) -> None:
        self.offers: list[StreamOffer] = []
        self.peers: list[Peer] = []
        self.events: list[StreamEvent] = []
        self.log_context = {"call_id": "01"}
        self.full = False
        self._heard = asyncio.Event()

    def admit(self, offer: StreamOffer, peer: Peer, arrived_at: float) -> Hotel:
        assert arrived_at > 0
        self.offers.append(offer)
        if self.full:
            raise Refusal(RefusalReason.FULL)
        self.peers.append(peer)
        return self

    def handle(self, event: StreamEvent, arrived_at: float) -> None:
        assert arrived_at > 0
        self.events.append(event)
        self._heard.set()

    async def hears(self, kind: type[StreamEvent], count: int = 1) -> StreamEvent:
        """Wait until so many events of a kind have come; give the last."""
        async with asyncio.timeout(20):
            while len(found := [event for event in self.events if isinstance(event, kind)]) < count:
                self._heard.clear()
                await self._heard.wait()
        return found[-1]


class Port:
    """A server on a free port, ticking."""

    def __init__(self, server: AudioSocketServer, hotel: Hotel, number: int) -> None:
        self.server = server
        self.hotel = hotel
        self.number = number

    async def connect(self, *, introduce: bool = True) -> Line:
        line = Line(*await asyncio.open_connection("127.0.0.1", self.number))
        if introduce:
            await line.introduce()
        return line


@asynccontextmanager
async def listening(**changes: object) -> AsyncIterator[Port]:
    settings = AudioSocketListener(**({"port": 0, "keep_alive_seconds": None} | changes))  # type: ignore[arg-type]
    hotel, clock = Hotel(), asyncio.get_running_loop().time
    server = AudioSocketServer(settings, hotel, clock)

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.02)
            server.tick(clock())

    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(tick())
        try:
            yield Port(server, hotel, await server.start())
        finally:
            await server.close()
            ticking.cancel()


async def test_a_stream_is_offered_with_what_the_listener_says_of_it() -> None:
    stated = {"name": "customers", "role": "outbound", "label": "agent", "account": "pbx", "registration": "required"}
    async with listening(**stated) as port:
        line = await port.connect()
        await port.hotel.hears(StreamStarted)
        (offer,) = port.hotel.offers
        assert offer.listener == Listener(kind="audiosocket", name="customers", account="pbx", registered_only=True)
        assert offer.started.external_call_id == line.name
        (track,) = offer.started.tracks
        assert (track.id, track.role, track.label) == ("outbound", TrackRole.OUTBOUND, "agent")
        assert offer.address.startswith("127.0.0.1:")
        await line.hang_up()
        assert await port.hotel.hears(StreamEnded) == StreamEnded(StreamEnd.HANGUP)


async def test_frames_split_and_together_come_whole() -> None:
    async with listening() as port:
        line = await port.connect()
        data = encode(Kind.SLIN, bytes(range(200))) * 3 + encode(Kind.DIGIT, b"7")
        for piece in (data[:1], data[1:250], data[250:]):
            line.write(piece)
            await line.writer.drain()
        assert await port.hotel.hears(DigitPressed) == DigitPressed("inbound", "7")
        frames = [event for event in port.hotel.events if isinstance(event, AudioFrame)]
        assert [frame.payload for frame in frames] == [bytes(range(200))] * 3
        await line.hang_up()


async def test_our_end_is_said_before_it_is_done_and_audio_on_its_way_breaks_nothing() -> None:
    async with listening() as port:
        line = await port.connect()
        await port.hotel.hears(StreamStarted)
        port.hotel.peers[0].close()
        assert await line.rest() == TERMINATE
        # Asterisk has not noticed yet and goes on speaking: no reset may answer it.
        for _ in range(10):
            await line.say(bytes(3200))
        await line.hang_up()
        async with asyncio.timeout(10):
            while port.server.connections:  # noqa: ASYNC110  the server tells nobody
                await asyncio.sleep(0.01)
        assert not any(isinstance(event, AudioFrame) for event in port.hotel.events)


async def test_a_peer_that_does_not_close_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FAREWELL_SECONDS", 0.2)
    async with listening() as port:
        line = await port.connect()
        await port.hotel.hears(StreamStarted)
        port.hotel.peers[0].close()
        port.hotel.peers[0].close()
        assert await line.rest() == TERMINATE
        async with asyncio.timeout(10):
            while port.server.connections:  # noqa: ASYNC110  as above
                await asyncio.sleep(0.01)
        line.writer.close()


async def test_a_refused_stream_ends_so_that_the_dialplan_goes_on() -> None:
    async with listening() as port:
        port.hotel.full = True
        line = await port.connect()
        await line.say(bytes(3200))
        assert await line.rest() == TERMINATE
        assert port.hotel.events == []
        await line.hang_up()


async def test_silence_is_answered_with_silence_and_speech_with_nothing() -> None:
    async with listening(keep_alive_seconds=0.2) as port:
        line = await port.connect()
        async with asyncio.timeout(10):
            assert await line.reader.readexactly(len(SILENCE)) == SILENCE
        for _ in range(20):
            await line.say(bytes(320))
            await asyncio.sleep(0.03)  # a caller's packets, in time
        heard = len([event for event in port.hotel.events if isinstance(event, AudioFrame)])
        await line.hang_up()
        assert heard >= 19
        assert await line.rest() == b""


@pytest.mark.parametrize(
    ("allowed", "welcome"),
    [([], True), (["127.0.0.1"], True), (["10.0.0.0/8", "127.0.0.0/8"], True), (["10.0.0.0/8", "::1/128"], False)],
)
async def test_only_allowed_peers_are_heard(allowed: list[str], welcome: bool) -> None:
    async with listening(allowed_peers=tuple(allowed)) as port:
        line = await port.connect()
        if welcome:
            await port.hotel.hears(StreamStarted)
        else:
            assert await line.rest() == TERMINATE
            assert port.hotel.offers == []
        await line.hang_up()


def test_an_address_of_ipv4_is_one_also_on_a_socket_of_ipv6() -> None:
    assert str(module._plain("::ffff:10.0.0.7")) == "10.0.0.7"
    assert str(module._plain("fe80::1%eth0")) == "fe80::1"


async def test_mu_law_under_the_wrong_kind_is_told_once_with_the_remedy() -> None:
    with capture_logs() as logs:
        async with listening() as port:
            line = await port.connect()
            for _ in range(130):
                line.write(encode(Kind.SLIN, bytes(160)))
                await line.writer.drain()
                await asyncio.sleep(0.02)  # a caller's packets, in time
            await line.hang_up()
            await port.hotel.hears(StreamEnded)
    (advice,) = [line for line in logs if "c(slin)" in line["event"]]
    assert advice["log_level"] == "error"
    assert (advice["call_id"], advice["track"]) == ("01", "inbound")


async def test_a_listener_of_mu_law_is_content_with_mu_law() -> None:
    with capture_logs() as logs:
        async with listening(encoding="ulaw") as port:
            line = await port.connect()
            for _ in range(130):
                line.write(encode(Kind.SLIN, bytes(160)))
                await line.writer.drain()
                await asyncio.sleep(0.02)  # as above
            frame = await port.hotel.hears(AudioFrame)
            assert isinstance(frame, AudioFrame)
            assert frame.format == AudioFormat(Encoding.PCMU, 8_000)
            await line.hang_up()
    assert not [line for line in logs if line["log_level"] == "error"]


async def test_nothing_is_said_to_who_has_not_said_who_he_is() -> None:
    async with listening(keep_alive_seconds=0.05, uuid_timeout_seconds=0.3) as port:
        line = await port.connect(introduce=False)
        assert await line.rest() == TERMINATE
        await line.hang_up()
        assert port.hotel.offers == []


async def test_a_reader_that_does_not_read_costs_no_memory() -> None:
    async with listening(keep_alive_seconds=0.02) as port:
        line = await port.connect()
        await port.hotel.hears(StreamStarted)
        cast("asyncio.Transport", line.writer.transport).pause_reading()
        (connection,) = port.server.connections
        for _ in range(2_000):
            connection._write(SILENCE)
        assert connection._transport.get_write_buffer_size() <= len(SILENCE)
        line.writer.transport.abort()
        await port.hotel.hears(StreamEnded)


async def test_sockets_are_set_to_be_quick_and_to_notice_who_vanished() -> None:
    async with listening() as port:
        line = await port.connect()
        await port.hotel.hears(StreamStarted)
        (connection,) = port.server.connections
        sock = connection._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == module.VANISHED_SECONDS * 1000
        await line.hang_up()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, StreamEnd.HANGUP),
        (ConnectionResetError(errno.ECONNRESET, "reset"), StreamEnd.HANGUP),
        (BrokenPipeError(errno.EPIPE, "pipe"), StreamEnd.HANGUP),
        (TimeoutError(errno.ETIMEDOUT, "timed out"), StreamEnd.CONNECTION_LOST),
        (OSError(errno.EHOSTUNREACH, "no route"), StreamEnd.CONNECTION_LOST),
    ],
)
def test_a_reset_is_a_hangup_and_only_a_silent_peer_is_lost(error: Exception | None, reason: StreamEnd) -> None:
    assert module._reason(error) is reason


async def test_a_bug_in_one_connections_clock_costs_only_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening() as port:
        bad, good = await port.connect(), await port.connect()
        await port.hotel.hears(StreamStarted, 2)
        first, _ = port.server.connections

        def broken(_now: float) -> None:
            raise RuntimeError("a bug of ours")

        monkeypatch.setattr(first._pump, "tick", broken)
        await port.hotel.hears(StreamEnded)
        await good.say(bytes(320))
        await port.hotel.hears(AudioFrame)
        bad.writer.close()
        await good.hang_up()


async def test_closing_the_server_ends_what_is_connected_in_order() -> None:
    async with listening() as port:
        lines = [await port.connect() for _ in range(3)]
        await port.hotel.hears(StreamStarted, 3)

        async def asterisk(line: Line) -> bytes:
            said = await line.rest()
            await line.hang_up()
            return said

        async with asyncio.TaskGroup() as group:
            ends = [group.create_task(asterisk(line)) for line in lines]
            group.create_task(port.server.close())
        assert [end.result() for end in ends] == [TERMINATE] * 3
        assert not port.server.connections
        with pytest.raises(ConnectionRefusedError):
            await port.connect()


async def test_an_address_that_cannot_be_had_is_named() -> None:
    async with listening() as port:
        settings = AudioSocketListener(name="second", port=port.number)
        with pytest.raises(OSError, match=rf"listener 'second' cannot have 127\.0\.0\.1:{port.number}.*ss -ltnp"):
            await AudioSocketServer(settings, port.hotel, lambda: 1.0).start()
