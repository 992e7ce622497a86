"""WebSocket messages as a client writes and reads them (RFC 6455 section 5). Pure.

Our own, because a library's client cannot be made to spell its bytes as each telephone system does.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_BYTES = 1 << 24
"""Whatever says that it is longer is taken for garbage."""

NORMAL = 1000
"""RFC 6455 7.4.1."""

_FIN = 0x80
_RESERVED = 0x70
_MASKED = 0x80
_CONTROL = 0x8
_MOST_CONTROL_BYTES = 125
_LENGTH_16, _LENGTH_64 = 126, 127
_EXTENDED = {_LENGTH_16: 2, _LENGTH_64: 8}
"""How many bytes of length follow which mark."""


class FrameError(Exception):
    """The server sent what is no WebSocket message; the text says why not."""


class Opcode(IntEnum):
    """What a frame is (RFC 6455 5.2)."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class Message(msgspec.Struct, frozen=True):
    """One message, put together; the payload of a TEXT is UTF-8."""

    opcode: Opcode
    payload: bytes


class Close(msgspec.Struct, frozen=True):
    """What a CLOSE says (RFC 6455 5.5.1)."""

    code: int | None
    """None where it says nothing."""
    reason: str = ""

    @property
    def payload(self) -> bytes:
        """Say the same."""
        return b"" if self.code is None else struct.pack("!H", self.code) + self.reason.encode()


def encode(opcode: Opcode, payload: bytes, mask_key: bytes) -> bytes:
    """Make one whole frame, masked as a client's has to be (RFC 6455 5.3)."""
    length = len(payload)
    if length < _LENGTH_16:
        head = struct.pack("!BB", _FIN | opcode, _MASKED | length)
    elif length < 1 << 16:
        head = struct.pack("!BBH", _FIN | opcode, _MASKED | _LENGTH_16, length)
    else:
        head = struct.pack("!BBQ", _FIN | opcode, _MASKED | _LENGTH_64, length)
    return head + mask_key + _mask(payload, mask_key)


def _mask(payload: bytes, key: bytes) -> bytes:
    """Mask by one XOR of two large numbers, which costs a packet of audio a microsecond or two."""
    length = len(payload)
    keys = (key * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(keys, "little")).to_bytes(length, "little")


def read_close(payload: bytes) -> Close:
    """Read what a CLOSE says. Raises FrameError."""
    if not payload:
        return Close(None)
    if len(payload) == 1:
        raise FrameError("a Close with half a code")
    return Close(int.from_bytes(payload[:2], "big"), _text(payload[2:]))


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise FrameError(f"a text that is not UTF-8: {error}") from error


class MessageReader:
    """A server's bytes, put together to messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._begun: Opcode | None = None
        """What the pieces so far are of."""
        self._pieces = bytearray()

    def receive_data(self, data: bytes) -> Iterator[Message]:
        """Take bytes, cut anywhere, and give the messages that they complete, up to what is none: FrameError.

        A control message comes when it is there, between the pieces of another where it was sent so.
        """
        self._buffer += data
        while (frame := self._next_frame()) is not None:
            message = self._put_together(*frame)
            if message is not None:
                yield message

    def _next_frame(self) -> tuple[Opcode, bool, bytes] | None:
        """Take a frame off the buffer, if there is a whole one: what, whether it is the last piece, payload."""
        buffer = self._buffer
        if len(buffer) < 2:  # noqa: PLR2004  a head has two bytes
            return None
        first, second = buffer[:2]
        opcode = _check_head(first, second)
        begin = 2 + _EXTENDED.get(second, 0)
        if len(buffer) < begin:
            return None
        length = int.from_bytes(buffer[2:begin], "big") if begin > 2 else second  # noqa: PLR2004  the same
        if length > MOST_BYTES:
            raise FrameError(f"a frame of {length} bytes")
        if len(buffer) < begin + length:
            return None
        payload = bytes(buffer[begin : begin + length])
        del buffer[: begin + length]
        return opcode, bool(first & _FIN), payload

    def _put_together(self, opcode: Opcode, last: bool, payload: bytes) -> Message | None:  # noqa: FBT001  a bit of the frame
        """Add a frame to its message, and give the message when it is complete (RFC 6455 5.4)."""
        if opcode & _CONTROL:
            return Message(opcode, payload)
        if (opcode is Opcode.CONTINUATION) != (self._begun is not None):
            raise FrameError("a piece of no message" if self._begun is None else "a message within another")
        self._begun = self._begun or opcode
        self._pieces += payload
        if len(self._pieces) > MOST_BYTES:
            raise FrameError(f"a message of more than {MOST_BYTES} bytes")
        if not last:
            return None
        message = Message(self._begun, bytes(self._pieces))
        self._begun = None
        self._pieces.clear()
        if message.opcode is Opcode.TEXT:
            _text(message.payload)
        return message


def _check_head(first: int, second: int) -> Opcode:
    """Read what a frame is from its first two bytes. Raises FrameError."""
    if first & _RESERVED:
        raise FrameError(f"reserved bits in a frame's head, {first:#04x}")
    try:
        opcode = Opcode(first & 0x0F)
    except ValueError as error:
        raise FrameError(f"a frame of the unknown kind {first & 0x0F:#x}") from error
    if second & _MASKED:
        raise FrameError("a masked frame, which only a client may send")
    if opcode & _CONTROL and (second > _MOST_CONTROL_BYTES or not first & _FIN):
        raise FrameError(f"a {opcode.name} that is too long or in pieces")
    return opcode
