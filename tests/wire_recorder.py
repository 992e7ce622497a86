"""A WebSocket server that says what a test wants, and writes down every byte that it is sent.

By hand and by the RFC alone: it shares nothing with what it is there to check.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from ssl import SSLContext

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


class WireFrame(msgspec.Struct, frozen=True, kw_only=True):
    """One frame as it came, unmasked."""

    opcode: int
    fin: bool = True
    reserved: int = 0
    masked: bool = True
    payload: bytes


def normal(request: bytes) -> str:
    """Leave out of a request what is chance: its key, and the port."""
    return re.sub(r"(127\.0\.0\.1):\d+", r"\1:PORT", re.sub(r"(Sec-WebSocket-Key: ?)\S+", r"\1KEY", request.decode()))


def server_frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """Make a frame as a server does, unmasked."""
    length = len(payload)
    head = bytes([fin << 7 | opcode, length if length < 126 else 126 if length < 1 << 16 else 127])
    if length >= 126:
        head += length.to_bytes(2 if length < 1 << 16 else 8, "big")
    return head + payload


def read_frame(data: bytes) -> tuple[WireFrame, bytes, int] | None:
    """Read the frame that data begins with: it, its mask key, and how long it is; None for less than a frame."""
    if len(data) < 2:
        return None
    length, at = data[1] & 0x7F, 2
    if length >= 126:
        at += 2 if length == 126 else 8
        length = int.from_bytes(data[2:at], "big")
    masked = bool(data[1] & 0x80)
    key = data[at : at + 4] if masked else bytes(4)
    at += 4 * masked
    if len(data) < at + length:
        return None
    payload = bytes(byte ^ key[index % 4] for index, byte in enumerate(data[at : at + length]))
    frame = WireFrame(
        opcode=data[0] & 0x0F, fin=bool(data[0] & 0x80), reserved=data[0] & 0x70, masked=masked, payload=payload
    )
    return frame, key, at + length


def read_frames(data: bytes) -> list[tuple[WireFrame, bytes]]:
    """Read whole frames, each with its mask key."""
    frames = []
    while data:
        found = read_frame(data)
        assert found is not None, "cut in a frame"
        frames.append(found[:2])
        data = data[found[2] :]
    return frames


class Wire:
    """One connection: what came on it, and what is said on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._begin = self._time()
        self._changed = asyncio.Event()
        self._reads = asyncio.Event()
        self._reads.set()
        self._has_stalled = False
        self.request = b""
        self.frames: list[WireFrame] = []
        self.times: list[float] = []
        """When each frame came, from the connection's beginning."""
        self.mask_keys: list[bytes] = []
        self.replies_to_close = True
        self.cuts_after_close = False
        self.cut_at: float | None = None
        """When the client ended the connection."""
        self.was_reset = False

    def _time(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def key(self) -> str:
        (key,) = re.findall(rb"Sec-WebSocket-Key: ?(\S+)", self.request)
        return str(key, "ascii")

    def answer(self, *, protocol: str | None = None, status: str = "101 Switching Protocols", more: str = "") -> None:
        """Answer the upgrade; `more` is whole header lines."""
        accept = hashlib.sha1(f"{self.key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode(), usedforsecurity=False)
        named = f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol else ""
        self.write(
            f"HTTP/1.1 {status}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {base64.b64encode(accept.digest()).decode()}\r\n{named}{more}\r\n".encode()
        )

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def say(self, opcode: int, payload: bytes, *, fin: bool = True) -> None:
        self.write(server_frame(opcode, payload, fin=fin))

    def say_text(self, text: str) -> None:
        self.say(TEXT, text.encode())

    def close(self, code: int = 1000, reason: str = "") -> None:
        self.replies_to_close = False
        self.say(CLOSE, code.to_bytes(2, "big") + reason.encode())

    def cut(self) -> None:
        self._writer.close()

    def stall(self) -> None:
        """Read nothing more until `go_on`; the client may lose its patience in the middle of a frame."""
        self._has_stalled = True
        self._reads.clear()

    def go_on(self) -> None:
        self._reads.set()

    async def until(self, seconds: float) -> None:
        """Wait for a time, from the connection's beginning."""
        await asyncio.sleep(max(0.0, self._begin + seconds - self._time()))

    async def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until what has come fulfils something."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def came(self, opcode: int, count: int = 1) -> list[WireFrame]:
        """Wait for so many frames of a kind."""
        await self.wait(lambda: len(self.of(opcode)) >= count)
        return self.of(opcode)

    def of(self, opcode: int) -> list[WireFrame]:
        return [frame for frame in self.frames if frame.opcode == opcode]

    async def record(self) -> None:
        """Write down what comes until the connection ends, and answer the Close."""
        pending = b""
        try:
            while data := await self._read():
                pending += data
                while (found := read_frame(pending)) is not None:
                    frame, key, size = found
                    pending = pending[size:]
                    self._note(frame, key)
            assert not pending or self._has_stalled, "the client cut a frame"
        except ConnectionResetError:
            self.was_reset = True
        self.cut_at = None if self._writer.is_closing() else self._time() - self._begin
        self._changed.set()
        self._writer.close()

    async def _read(self) -> bytes:
        await self._reads.wait()
        return await self._reader.read(1 << 16)

    def _note(self, frame: WireFrame, key: bytes) -> None:
        self.times.append(self._time() - self._begin)
        self.frames.append(frame)
        self.mask_keys.append(key)
        self._changed.set()
        if frame.opcode == CLOSE and self.replies_to_close:
            self.say(CLOSE, frame.payload[:2])
        if frame.opcode == CLOSE and self.cuts_after_close:
            self.cut()


class Recorder:
    """Where to connect, and what came."""

    def __init__(self) -> None:
        self.port = 0
        self.wires: list[Wire] = []


@asynccontextmanager
async def recording(
    serve: Callable[[Wire], Awaitable[None]], *, tls: SSLContext | None = None
) -> AsyncIterator[Recorder]:
    """Serve each connection once its request is there, until every one has ended."""
    recorder = Recorder()
    failure: Exception | None = None

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = Wire(reader, writer)
        recorder.wires.append(wire)
        try:
            wire.request = await reader.readuntil(b"\r\n\r\n")
            async with asyncio.TaskGroup() as both:
                both.create_task(wire.record())
                await serve(wire)
        finally:
            writer.close()

    async with asyncio.TaskGroup() as group:
        server = await asyncio.start_server(lambda *both: group.create_task(handle(*both)), "127.0.0.1", 0, ssl=tls)
        recorder.port = server.sockets[0].getsockname()[1]
        try:
            yield recorder
        except Exception as error:  # noqa: BLE001  raised again when every connection has ended
            failure = error
        server.close()
    if failure is not None:
        raise failure
