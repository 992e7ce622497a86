from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from adapters import tls
from adapters.asterisk import connection as connections
from adapters.asterisk import server as module
from adapters.asterisk.audiosocket import SILENCE, TERMINATE, Kind, encode
from adapters.asterisk.keep_alive import FRAME_SECONDS, MOST_AT_ONCE, Metronome, Pace
from adapters.asterisk.server import AudioSocketServer
from adapters.sockets import VANISHED_SECONDS, plain_address
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
from adapters.tls import TlsError
from config.listeners import AudioSocketListener, Tls
from tests.gateway_under_test import Line
from tests.integration.test_tls import NAME, Desk, on_both_loops

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from pathlib import Path


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

    async def connect(self, tls: ssl.SSLContext | None = None, *, introduce: bool = True) -> Line:
        name = NAME if tls else None
        line = Line(*await asyncio.open_connection("127.0.0.1", self.number, ssl=tls, server_hostname=name))
        if introduce:
            await line.introduce()
        return line

    async def empty(self) -> None:
        """Wait until no connection is left."""
        async with asyncio.timeout(20):
            while self.server.connections:  # noqa: ASYNC110  the server tells nobody
                await asyncio.sleep(0.01)


@asynccontextmanager
async def listening(**changes: object) -> AsyncIterator[Port]:
    settings = AudioSocketListener(**({"port": 0, "keep_alive": "never"} | changes))  # type: ignore[arg-type]
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
        await port.empty()
        assert not any(isinstance(event, AudioFrame) for event in port.hotel.events)


async def test_a_peer_that_does_not_close_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "FAREWELL_SECONDS", 0.2)
    async with listening() as port:
        line = await port.connect()
        await port.hotel.hears(StreamStarted)
        port.hotel.peers[0].close()
        port.hotel.peers[0].close()
        assert await line.rest() == TERMINATE
        await port.empty()
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
    async with listening(keep_alive="gaps", keep_alive_seconds=0.2) as port:
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
    assert str(plain_address("::ffff:10.0.0.7")) == "10.0.0.7"
    assert str(plain_address("fe80::1%eth0")) == "fe80::1"


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


@pytest.mark.parametrize("keep_alive", ["gaps", "always"])
async def test_nothing_is_said_to_who_has_not_said_who_he_is(keep_alive: str) -> None:
    async with listening(keep_alive=keep_alive, keep_alive_seconds=0.05, uuid_timeout_seconds=0.3) as port:
        line = await port.connect(introduce=False)
        assert await line.rest() == TERMINATE
        await line.hang_up()
        assert port.hotel.offers == []


async def test_a_reader_that_does_not_read_costs_no_memory() -> None:
    async with listening() as port:
        line = await port.connect()
        await port.hotel.hears(StreamStarted)
        cast("asyncio.Transport", line.writer.transport).pause_reading()
        (connection,) = port.server.connections
        for _ in range(2_000):
            connection._be_silent(1)
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
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == VANISHED_SECONDS * 1000
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
    assert connections._reason(error) is reason


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


async def test_never_means_that_nothing_is_said() -> None:
    async with listening(keep_alive="never", keep_alive_seconds=0.02, idle_timeout_seconds=0.5) as port:
        line = await port.connect()
        assert await line.rest() == TERMINATE
        await line.hang_up()


@on_both_loops
async def test_always_means_silence_by_the_clock_whatever_the_caller_says() -> None:
    async with listening(keep_alive="always", keep_alive_seconds=60.0) as port:
        line = await port.connect()
        await port.hotel.hears(StreamStarted)
        begin = port.server.clock()
        await line.say(bytes(3200))
        async with asyncio.timeout(20):
            heard = await line.reader.readexactly(20 * len(SILENCE))
        assert heard == SILENCE * 20
        assert port.server.clock() - begin >= 18 * FRAME_SECONDS
        port.hotel.peers[0].close()
        rest = await line.rest()
        assert rest.endswith(TERMINATE)
        assert rest.removesuffix(TERMINATE) == SILENCE * (len(rest) // len(SILENCE))
        await line.hang_up()


@on_both_loops
async def test_a_stall_is_followed_by_a_few_frames_in_one_piece_and_the_end_behind_them() -> None:
    async with listening() as port:
        line = await port.connect()
        await port.hotel.hears(StreamStarted)
        (connection,) = port.server.connections
        connection.beat(100.0)
        connection.beat(100.0)
        async with asyncio.timeout(20):
            assert await line.reader.readexactly(len(SILENCE)) == SILENCE
        connection.beat(101.0)
        connection.close()
        connection.beat(102.0)
        assert await line.rest() == SILENCE * MOST_AT_ONCE + TERMINATE
        await line.hang_up()


def test_a_pace_follows_the_clock_and_forgives_a_timer_its_wobble() -> None:
    pace = Pace()
    wobble = [0.0, 0.009, -0.009, 0.004, -0.002]
    due = [pace.due(7.0 + frame * FRAME_SECONDS + wobble[frame % 5]) for frame in range(500)]
    assert due == [1] * 500


@pytest.mark.parametrize(
    ("times_ms", "due"),
    [
        ([0], [1]),
        ([0, 5, 9], [1, 0, 0]),
        ([0, 40, 60], [1, 2, 1]),
        ([0, 60, 80], [1, 3, 1]),
        ([0, 1000, 1001, 1020, 1040], [1, MOST_AT_ONCE, 0, 1, 1]),
        ([0, 10_000_000, 10_000_020], [1, MOST_AT_ONCE, 1]),
        ([0, -50, 20], [1, 0, 1]),
    ],
    ids=["at once", "too early", "one missed", "two missed", "a stall", "a long one", "a clock put back"],
)
def test_a_pace_drops_what_a_stall_held_up(times_ms: list[int], due: list[int]) -> None:
    pace = Pace()
    assert [pace.due(50.0 + time_ms / 1000) for time_ms in times_ms] == due


@given(st.lists(st.floats(min_value=0, max_value=5), max_size=60))
def test_no_pace_is_faster_than_the_clock(steps: list[float]) -> None:
    pace, now, sent = Pace(), 3.0, 0
    for step in [0.0, *steps]:
        now += step
        frames = pace.due(now)
        sent += frames
        assert 0 <= frames <= MOST_AT_ONCE
        assert sent * FRAME_SECONDS <= now - 3.0 + 1.5 * FRAME_SECONDS + 1e-9


@on_both_loops
async def test_a_metronome_keeps_time_until_it_is_stopped() -> None:
    loop = asyncio.get_running_loop()
    beats: list[float] = []
    enough = asyncio.Event()

    def beat() -> None:
        beats.append(loop.time())
        if len(beats) == 10:
            metronome.stop()
            enough.set()

    metronome = Metronome(beat)
    metronome.start()
    metronome.start()
    begin = loop.time()
    async with asyncio.timeout(20):
        await enough.wait()
    assert not metronome.running
    await asyncio.sleep(3 * FRAME_SECONDS)  # a beat too many would come by now
    assert len(beats) == 10
    assert beats[-1] - begin >= 9.4 * FRAME_SECONDS
    metronome.stop()


async def test_a_metronome_makes_up_for_no_stall() -> None:
    beats: list[float] = []
    metronome = Metronome(lambda: beats.append(asyncio.get_running_loop().time()))
    metronome.start()
    time.sleep(0.3)  # noqa: ASYNC251  the stall
    await asyncio.sleep(FRAME_SECONDS)
    metronome.stop()
    assert 1 <= len(beats) <= 3


@pytest.mark.parametrize("keep_alive", ["always", "gaps", "never"])
async def test_the_metronome_runs_only_where_it_is_wanted_and_while_somebody_listens(keep_alive: str) -> None:
    async with listening(keep_alive=keep_alive) as port:
        metronome = port.server._metronome
        assert not metronome.running
        for _ in range(2):
            line = await port.connect()
            await port.hotel.hears(StreamStarted)
            assert metronome.running == (keep_alive == "always")
            await line.hang_up()
            await port.empty()
            assert not metronome.running


async def test_the_metronome_stops_with_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FAREWELL_SECONDS", 0.1)
    async with listening(keep_alive="always") as port:
        line = await port.connect()
        await port.hotel.hears(StreamStarted)
        await port.server.close()
        assert not port.server._metronome.running
        line.writer.close()


async def test_a_bug_in_one_connections_silence_costs_only_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(keep_alive="always") as port:
        bad, good = await port.connect(), await port.connect()
        await port.hotel.hears(StreamStarted, 2)
        first, _ = port.server.connections

        def broken(_now: float) -> int:
            raise RuntimeError("a bug of ours")

        monkeypatch.setattr(first._pace, "due", broken)
        await port.hotel.hears(StreamEnded)
        async with asyncio.timeout(20):
            assert await good.reader.readexactly(10 * len(SILENCE)) == SILENCE * 10
        bad.writer.close()
        good.writer.transport.abort()  # it would be long in reading what is on its way
        await port.hotel.hears(StreamEnded, 2)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@on_both_loops
async def test_a_stream_over_tls_is_heard_and_ends_once(desk: Desk) -> None:
    async with listening(tls=desk.settings()) as port:
        for count in (1, 2):
            line = await port.connect(desk.client())
            await line.say(bytes(range(160)) * 4)
            await port.hotel.hears(AudioFrame, 2 * count)
            (connection,) = port.server.connections
            sock = connection._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            if count == 1:
                await line.hang_up()
            else:  # without close_notify, as when a tunnel is killed
                line.writer.transport.abort()
            assert await port.hotel.hears(StreamEnded, count) == StreamEnded(StreamEnd.HANGUP)
            await port.empty()
    assert len([event for event in port.hotel.events if isinstance(event, StreamEnded)]) == 2


@on_both_loops
async def test_our_end_is_said_over_tls_too_and_audio_on_its_way_breaks_nothing(desk: Desk) -> None:
    async with listening(tls=desk.settings()) as port:
        line = await port.connect(desk.client())
        await port.hotel.hears(StreamStarted)
        port.hotel.peers[0].close()
        async with asyncio.timeout(20):
            assert await line.reader.readexactly(len(TERMINATE)) == TERMINATE
        for _ in range(10):
            await line.say(bytes(3200))
        await line.hang_up()
        assert await line.rest() == b""
        await port.empty()
        assert not any(isinstance(event, AudioFrame) for event in port.hotel.events)


@pytest.mark.parametrize("speaks", [False, True], ids=["silent", "still speaking"])
@on_both_loops
async def test_a_peer_that_does_not_close_tls_is_closed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, speaks: bool
) -> None:
    monkeypatch.setattr(connections, "FAREWELL_SECONDS", 0.2)
    async with listening(tls=desk.settings()) as port:
        line = await port.connect(desk.client())
        await port.hotel.hears(StreamStarted)
        port.hotel.peers[0].close()
        port.hotel.peers[0].close()
        async with asyncio.timeout(20):
            assert await line.reader.readexactly(len(TERMINATE)) == TERMINATE
            while speaks and port.server.connections:
                line.write(encode(Kind.SLIN, bytes(320)))
                await asyncio.sleep(0.02)  # a caller's packets, in time
        if not speaks:
            assert await line.rest() == b""
        await port.empty()
        line.writer.close()


@on_both_loops
async def test_closing_the_server_ends_tls_in_order(desk: Desk) -> None:
    async with listening(tls=desk.settings()) as port:
        lines = [await port.connect(desk.client()) for _ in range(3)]
        await port.hotel.hears(StreamStarted, 3)

        async def asterisk(line: Line) -> bytes:
            said = await line.reader.readexactly(len(TERMINATE))
            await line.hang_up()
            return said

        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            ends = [group.create_task(asterisk(line)) for line in lines]
            group.create_task(port.server.close())
        assert [end.result() for end in ends] == [TERMINATE] * 3
        assert not port.server.connections


@on_both_loops
async def test_a_handshake_that_outlasts_the_port_leads_to_no_stream(desk: Desk) -> None:
    async with listening(tls=desk.settings(), keep_alive="always") as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        friend = await port.connect(desk.client())  # accepted after the first
        await port.hotel.hears(StreamStarted)
        friend.writer.transport.abort()
        await port.server.close()
        await writer.start_tls(desk.client(), server_hostname=NAME)
        line = Line(reader, writer)
        await line.introduce()
        async with asyncio.timeout(20):
            assert await line.reader.readexactly(len(TERMINATE)) == TERMINATE
        assert len(port.hotel.offers) == 1
        assert not port.server._metronome.running
        await line.hang_up()
        await port.empty()


@on_both_loops
async def test_a_reader_of_tls_that_does_not_read_costs_little_memory(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(tls=desk.settings()) as port:
        line = await port.connect(desk.client())
        await port.hotel.hears(StreamStarted)
        cast("asyncio.Transport", line.writer.transport).pause_reading()
        (connection,) = port.server.connections
        connection._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        line.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        counter = Counter(connection._transport)
        monkeypatch.setattr(connection, "_transport", counter)
        for _ in range(20_000):
            connection._be_silent(1)
            await asyncio.sleep(0)
        assert counter.written < 1_000_000 < 20_000 * len(SILENCE)
        line.writer.transport.abort()
        await port.hotel.hears(StreamEnded)


class Counter:
    """A transport that counts what is given to it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.written = 0
        self.is_closing = transport.is_closing
        self.get_write_buffer_size = transport.get_write_buffer_size
        self._write = transport.write

    def write(self, data: bytes) -> None:
        self.written += len(data)
        self._write(data)


@on_both_loops
async def test_a_new_certificate_is_taken_while_a_stream_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "REFRESH_SECONDS", 0.0)
    async with listening(tls=desk.settings(), keep_alive="always") as port:
        old = await port.connect(desk.client())
        await port.hotel.hears(StreamStarted)
        desk.renew()
        port.server.tick(port.server.clock())
        new = await port.connect(desk.client())
        shown = [each.writer.get_extra_info("ssl_object").getpeercert(binary_form=True) for each in (old, new)]
        assert shown[0] != shown[1] == desk.der()
        await old.say(bytes(320))
        await port.hotel.hears(AudioFrame)
        for line in (old, new):
            line.writer.transport.abort()
        await port.hotel.hears(StreamEnded, 2)


@on_both_loops
async def test_only_allowed_peers_are_heard_over_tls(desk: Desk) -> None:
    async with listening(tls=desk.settings(), allowed_peers=("10.0.0.0/8",)) as port:
        line = await port.connect(desk.client())
        async with asyncio.timeout(20):
            assert await line.reader.readexactly(len(TERMINATE)) == TERMINATE
        assert port.hotel.offers == []
        await line.hang_up()


@on_both_loops
async def test_plain_bytes_on_a_port_of_tls_harm_nobody(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    faults = _watch_for_faults()
    with capture_logs() as logs, caplog.at_level(logging.WARNING):
        async with listening(tls=desk.settings(), uuid_timeout_seconds=0.3) as port:
            friend = await port.connect(desk.client())
            plain, mute = await port.connect(), await port.connect(introduce=False)
            for line in (plain, mute):
                with suppress(ConnectionResetError):
                    assert await line.rest() == b""
                line.writer.close()
            await friend.say(bytes(320))
            await port.hotel.hears(AudioFrame)
            await friend.hang_up()
            await port.hotel.hears(StreamEnded)
    assert faults == []
    assert not caplog.records
    assert [line["reason"] for line in logs if line["log_level"] != "info"] == ["wrong version number"]
    assert len(port.hotel.offers) == 1


@on_both_loops
async def test_tls_on_a_plain_port_harms_nobody(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    faults = _watch_for_faults()
    with capture_logs() as logs, caplog.at_level(logging.WARNING):
        async with listening() as port:
            friend = await port.connect()
            with pytest.raises(OSError):  # noqa: PT011  Python has many for one thing
                await port.connect(desk.client())
            await friend.say(bytes(320))
            await port.hotel.hears(AudioFrame)
            await friend.hang_up()
            await port.hotel.hears(StreamEnded)
    assert faults == []
    assert not caplog.records
    (line,) = [line for line in logs if line["log_level"] != "info"]
    assert line["error"] == "expected the UUID frame of AudioSocket first"


def _watch_for_faults() -> list[dict[str, Any]]:
    """Collect what nobody handles; in debug mode asyncio would also report each failed handshake itself."""
    faults: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_debug(False)
    loop.set_exception_handler(lambda _loop, context: faults.append(context))
    return faults


async def test_files_that_cannot_serve_keep_the_port_closed(desk: Desk) -> None:
    settings = AudioSocketListener(name="tunnel", port=0, tls=Tls(certificate="/nowhere/c.pem", key=str(desk.key)))
    server = AudioSocketServer(settings, Hotel(), lambda: 1.0)
    with pytest.raises(TlsError, match=r"^TLS of listener 'tunnel': cannot read tls\.certificate, /nowhere/c\.pem"):
        await server.start()
    await server.close()
