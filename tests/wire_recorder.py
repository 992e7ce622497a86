"""A WebSocket server that says what a test wants, and writes down every byte that it is sent.

By hand and by the RFC alone: it shares nothing with what it is there to check.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
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


class Wire:
    """One connection: what came on it, and what is said on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._begin = self._time()
        self._changed = asyncio.Event()
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
        length = len(payload)
        head = bytes([fin << 7 | opcode, length if length < 126 else 126 if length < 1 << 16 else 127])
        if length >= 126:
            head += length.to_bytes(2 if length < 1 << 16 else 8, "big")
        self.write(head + payload)

    def say_text(self, text: str) -> None:
        self.say(TEXT, text.encode())

    def close(self, code: int = 1000, reason: str = "") -> None:
        self.replies_to_close = False
        self.say(CLOSE, code.to_bytes(2, "big") + reason.encode())

    def cut(self) -> None:
        self._writer.close()

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
        try:
            while True:
                await self._frame()
                self._changed.set()
        except asyncio.IncompleteReadError as error:
            assert not error.partial, "the client cut a frame"
        except ConnectionResetError:
            self.was_reset = True
        self.cut_at = None if self._writer.is_closing() else self._time() - self._begin
        self._changed.set()
        self._writer.close()

    async def _frame(self) -> None:
        first, second = await self._reader.readexactly(2)
        length = second & 0x7F
        if length >= 126:
            length = int.from_bytes(await self._reader.readexactly(2 if length == 126 else 8), "big")
        key = await self._reader.readexactly(4) if second & 0x80 else bytes(4)
        payload = await self._reader.readexactly(length)
        plain = bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))
        self.times.append(self._time() - self._begin)
        self.mask_keys.append(key)
        self.frames.append(
            WireFrame(
                opcode=first & 0x0F,
                fin=bool(first & 0x80),
                reserved=first & 0x70,
                masked=bool(second & 0x80),
                payload=plain,
            )
        )
        if first & 0x0F == CLOSE and self.replies_to_close:
            self.close(int.from_bytes(plain[:2], "big"))
        if first & 0x0F == CLOSE and self.cuts_after_close:
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
    """Serve each connection once its request is there, until every one has ended.

    A connection that `serve` leaves without an answer is cut.
    """
    recorder = Recorder()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = Wire(reader, writer)
        recorder.wires.append(wire)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionResetError):
            wire.request = await reader.readuntil(b"\r\n\r\n")
            async with asyncio.TaskGroup() as both:
                both.create_task(wire.record())
                await serve(wire)

    async with asyncio.TaskGroup() as group:
        server = await asyncio.start_server(lambda *both: group.create_task(handle(*both)), "127.0.0.1", 0, ssl=tls)
        recorder.port = server.sockets[0].getsockname()[1]
        try:
            yield recorder
        finally:
            server.close()
