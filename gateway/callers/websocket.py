"""A WebSocket over asyncio's streams, as a client holds it: opened by bytes that the caller spells, read, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Protocol

import msgspec

from gateway.callers.frames import Close, FrameError, Message, MessageReader, Opcode, encode, read_close
from gateway.callers.sockets import will_reset
from gateway.callers.upgrade import UpgradeError, body_bytes, check_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.callers.upgrade import Target, Upgrade

READ_BYTES = 1 << 16

SHUT_SECONDS = 1.0
"""What is still to be written has so long when the connection is shut."""


class OnText(Protocol):
    """Handed every text that the gateway sends during the call."""

    def __call__(self, text: str, /) -> object:
        """Take the text."""
        ...


def ignore(text: str) -> None:
    """Take a text that nobody waits for."""


class SocketCall(msgspec.Struct, frozen=True, kw_only=True):
    """How a simulated call over a WebSocket went."""

    messages: int
    """Messages with audio that were sent."""
    audio_bytes: int
    texts: int
    """That the gateway sent while somebody was there to take them."""
    late_texts: int
    """That it sent after the caller's Close, when the real client no longer looks at any."""
    binaries: int
    """That the gateway sent."""
    ended_by_gateway: bool
    close_code: int | None
    """Of the gateway's Close; None: there was none, or it said nothing."""
    close_reason: str
    broken: str | None
    """Why the connection ended otherwise than by Close on both sides."""
    overruns: int = 0
    """How often audio was thrown away because it could not be sent."""


class WebSocket:
    """One open WebSocket, and what the gateway has said on it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mask_key: Callable[[], bytes]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._mask_key = mask_key
        self._messages = MessageReader()
        self.messages = self.audio_bytes = 0
        self.texts = self.late_texts = self.binaries = 0
        self.said_close = self._left = False
        self.heard_close: Close | None = None
        self.broken: str | None = None

    @property
    def unsent_bytes(self) -> int:
        """Tell how much of what was sent still waits to be taken by the network."""
        return self._writer.transport.get_write_buffer_size()

    def send(self, opcode: Opcode, payload: bytes) -> None:
        """Send one message, in one frame."""
        self._writer.write(encode(opcode, payload, self._mask_key()))

    def send_audio(self, payload: bytes) -> None:
        """Send audio, and count it."""
        self.count_audio(len(payload))
        self.send(Opcode.BINARY, payload)

    def count_audio(self, size: int) -> None:
        """Count a message with so much audio."""
        self.messages += 1
        self.audio_bytes += size

    def say_close(self, close: Close) -> None:
        """Send a Close, once; nothing that comes after it is anybody's."""
        if not self.said_close:
            self.said_close = True
            self.send(Opcode.CLOSE, close.payload)

    async def hear(self, on_text: OnText) -> None:
        """Take what the gateway says, and answer its pings, until its Close or the end of the connection."""
        try:
            while data := await self._reader.read(READ_BYTES):
                for message in self._messages.receive_data(data):
                    self._take(message, on_text)
                    if self.heard_close is not None:
                        return
            self._note_cut("the gateway cut the connection")
        except FrameError as error:
            self.break_off(f"the gateway sent {error}")
        except OSError as error:
            self._note_cut(f"the connection broke: {error}")

    def _note_cut(self, how: str) -> None:
        """Note that the connection is gone, where nobody had said so before."""
        if not self.said_close and not self._left:
            self.broken = how

    def _take(self, message: Message, on_text: OnText) -> None:
        match message.opcode:
            case Opcode.TEXT if self.said_close:
                self.late_texts += 1
            case Opcode.TEXT:
                self.texts += 1
                on_text(message.payload.decode())
            case Opcode.BINARY:
                self.binaries += 1
            case Opcode.PING:
                self.send(Opcode.PONG, message.payload)
            case Opcode.CLOSE:
                self.heard_close = read_close(message.payload)

    def break_off(self, reason: str) -> None:
        """Leave the connection, for this reason."""
        self.broken = reason
        self.leave()

    def leave(self) -> None:
        """End the connection after what is still to be written; `hear` ends."""
        if not self._left:
            self._left = True
            self._writer.close()
            # A gateway that reads no more would keep the call for ever.
            asyncio.get_running_loop().call_later(SHUT_SECONDS, self._writer.transport.abort)

    async def wait_cut(self, seconds: float) -> None:
        """Wait until the gateway cuts the connection, at most so long."""
        with contextlib.suppress(OSError):
            async with asyncio.timeout(seconds):
                while await self._reader.read(READ_BYTES):
                    pass

    def reset(self) -> None:
        """End the connection with a reset instead of an orderly FIN; `hear` ends."""
        self._left = True
        will_reset(self._writer)
        self._writer.transport.abort()

    async def shut(self) -> None:
        """Leave the connection, and wait until it has ended."""
        self.leave()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def result(self, *, ended_by_gateway: bool, overruns: int = 0) -> SocketCall:
        """Sum up."""
        close = self.heard_close or Close(None)
        return SocketCall(
            messages=self.messages,
            audio_bytes=self.audio_bytes,
            texts=self.texts,
            late_texts=self.late_texts,
            binaries=self.binaries,
            ended_by_gateway=ended_by_gateway,
            close_code=close.code,
            close_reason=close.reason,
            broken=self.broken,
            overruns=overruns,
        )


async def open_websocket(
    target: Target,
    upgrade: Upgrade,
    *,
    mask_key: Callable[[], bytes],
    connect_seconds: float,
    answer_seconds: float,
    tls: ssl.SSLContext | None = None,
) -> WebSocket:
    """Connect, and have the connection upgraded. `tls` None: trust whom the system trusts, where the URL wants TLS.

    Raises OSError when nobody answers, TimeoutError among them, and UpgradeError for another answer than was asked for.
    """
    context = (tls or ssl.create_default_context()) if target.tls else None
    async with asyncio.timeout(connect_seconds):
        reader, writer = await asyncio.open_connection(target.host, target.port, ssl=context)
    try:
        writer.write(upgrade.request)
        head = await _read_head(reader, answer_seconds)
        check_answer(head, upgrade, await _read_body(reader, body_bytes(head), answer_seconds))
    except BaseException:
        writer.close()
        raise
    return WebSocket(reader, writer, mask_key)


async def _read_head(reader: asyncio.StreamReader, seconds: float) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            return await reader.readuntil(b"\r\n\r\n")
    except TimeoutError as error:
        raise TimeoutError(f"the gateway did not answer the upgrade within {seconds:g} s") from error
    except asyncio.IncompleteReadError as error:
        raise UpgradeError("the gateway cut the connection before it had answered the upgrade") from error
    except asyncio.LimitOverrunError as error:
        raise UpgradeError("the gateway's answer to the upgrade has no end") from error


async def _read_body(reader: asyncio.StreamReader, size: int, seconds: float) -> bytes:
    """Read why an answer refuses; nothing where that does not come whole."""
    with contextlib.suppress(TimeoutError, OSError, asyncio.IncompleteReadError):
        async with asyncio.timeout(seconds):
            return await reader.readexactly(size)
    return b""
