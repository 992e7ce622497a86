"""A telephone system's side of a WebSocket, for tests: bytes as they are, and what comes back."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

from tests.recorded import CLOSE, TEXT, close_frame, message_frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE_SECONDS = 20.0

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The answer to that key (RFC 6455 1.3)."""


def upgrade(path: str, *headers: str) -> bytes:
    """Ask for a WebSocket as mod_audio_fork does, but for its Origin and its subprotocol."""
    lines = (
        f"GET {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
        *headers,
    )
    return "\r\n".join((*lines, "", "")).encode()


class Answer:
    """How an upgrade was answered."""

    def __init__(self, head: bytes) -> None:
        first, *lines = head.decode().split("\r\n")
        self.version, status, _ = first.split(" ", 2)
        self.status = int(status)
        pairs = [line.partition(": ") for line in lines if line]
        self.headers = {name.lower(): value for name, _, value in pairs}
        self.body = b""

    @property
    def error(self) -> dict[str, str]:
        """What a refusal says."""
        error: dict[str, str] = json.loads(self.body)["error"]
        return error


class WebSocketLine:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.texts: list[dict[str, Any]] = []
        """The messages that came back."""

    @property
    def finals(self) -> list[dict[str, Any]]:
        """Give what those of them that are final say."""
        return [text["data"] for text in self.texts if "end_of_turn" in text["data"]]

    async def ask(self, request: bytes) -> Answer:
        """Ask for the upgrade; give the answer, with the body of one that refuses."""
        self.writer.write(request)
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = Answer(await self.reader.readuntil(b"\r\n\r\n"))
            if answer.status != 101:
                answer.body = await self.reader.readexactly(int(answer.headers.get("content-length", 0)))
        return answer

    async def say(self, *messages: str | bytes) -> Self:
        """Send messages, as fast as it goes."""
        for message in messages:
            self.writer.write(message_frame(message))
        await self.writer.drain()
        return self

    async def speak(self, pcm: bytes, size: int) -> Self:
        """Send audio in messages of so many bytes."""
        return await self.say(*(pcm[start : start + size] for start in range(0, len(pcm), size)))

    async def next(self) -> tuple[int, bytes]:
        """Read the next frame that the gateway sends: opcode and payload."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            first, size = await self.reader.readexactly(2)
            assert first & 0xF0 == 0x80, "a server's frames are whole here, and not compressed"
            assert size < 0x80, "a server masks nothing"
            if size >= 126:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
            return first & 0x0F, await self.reader.readexactly(size)

    async def hear(self) -> dict[str, Any]:
        """Read the next message that comes back, and remember it."""
        opcode, payload = await self.next()
        assert opcode == TEXT
        content: dict[str, Any] = json.loads(payload)
        self.texts.append(content)
        return content

    async def closed(self) -> tuple[int, str]:
        """Read on until the gateway says Close, and answer as the real clients do; give its code and reason."""
        while True:
            opcode, payload = await self.next()
            if opcode == CLOSE:
                break
            self.texts.append(json.loads(payload))
        self.writer.write(close_frame(int.from_bytes(payload[:2], "big")))
        return int.from_bytes(payload[:2], "big"), payload[2:].decode()

    async def rest(self) -> bytes:
        """Read until the connection is gone."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def hang_up(self) -> None:
        """Say Close, hear it answered, and see that the gateway lets TCP go at once."""
        self.writer.write(close_frame())
        assert await self.rest() is not None

    def abort(self) -> None:
        """Vanish."""
        self.writer.transport.abort()


@asynccontextmanager
async def connected(port: int | None) -> AsyncIterator[WebSocketLine]:
    """Open a connection that has said nothing yet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield WebSocketLine(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def line(port: int | None, path: str, *headers: str) -> AsyncIterator[WebSocketLine]:
    """Open a WebSocket."""
    async with connected(port) as opened:
        answer = await opened.ask(upgrade(path, *headers))
        assert answer.status == 101, answer.body
        yield opened
