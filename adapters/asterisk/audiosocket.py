"""AudioSocket: what the bytes of Asterisk's TCP connection mean (Asterisk `res_audiosocket.h`, `res_audiosocket.c`).

A frame is one byte kind, two bytes length, big-endian, and that many bytes payload. Asterisk sends its UUID
once and first, then audio and digits; a connection's end is the call's end.
"""

from __future__ import annotations

import struct
import uuid
from enum import IntEnum

from adapters.stream import (
    DIGITS,
    AudioFormat,
    AudioFrame,
    DigitPressed,
    Encoding,
    StreamEnd,
    StreamEnded,
    StreamEvent,
    StreamStarted,
    Track,
    WireError,
)
from adapters.wire.patience import Patience

KIND = "audiosocket"
HEADER = struct.Struct(">BH")
UUID_BYTES = 16


class Kind(IntEnum):
    """The kinds that mean something; any other is skipped by its length."""

    TERMINATE = 0x00
    UUID = 0x01
    DIGIT = 0x03
    SLIN = 0x10
    ERROR = 0xFF


_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000)
_FORMATS = {Kind.SLIN + step: AudioFormat(Encoding.L16, rate_hz) for step, rate_hz in enumerate(_RATES_HZ)}
"""Audio kinds 0x10 to 0x18: the kind tells the rate (Asterisk 20.17, 22.7, 23.1 and later)."""

ERROR_HANGUP = b"\x01"

TERMINATE = HEADER.pack(Kind.TERMINATE, 0)
SILENCE = HEADER.pack(Kind.SLIN, 320) + bytes(320)
"""20 ms for the caller: what goes to Asterisk is always slin 8 kHz, whatever comes from it."""


def encode(kind: int, payload: bytes) -> bytes:
    """Write one frame, header and payload together: Asterisk waits at most 5 ms between the two."""
    return HEADER.pack(kind, len(payload)) + payload


class AudioSocketWire:
    """One connection. `track` is what the listener says of the voice that comes in.

    `encoding` is what comes under the kind of 8 kHz, which is not always what that kind means.
    """

    def __init__(self, track: Track, encoding: Encoding = Encoding.L16) -> None:
        self._track = track
        self._formats = _FORMATS | {Kind.SLIN: AudioFormat(encoding, 8_000)}
        self._buffer = b""
        self._started = False
        self._ended = False
        self._patience = Patience()

    def receive_data(self, data: bytes) -> list[StreamEvent]:
        """Take what arrived, cut anywhere. Raises WireError where no UUID comes first."""
        buffer = self._buffer + data if self._buffer else data
        events: list[StreamEvent] = []
        start, size = 0, len(buffer)
        while size - start >= HEADER.size and not self._ended:
            kind, length = HEADER.unpack_from(buffer, start)
            if not self._started and (kind, length) != (Kind.UUID, UUID_BYTES) and kind != Kind.TERMINATE:
                raise WireError("expected the UUID frame of AudioSocket first")
            stop = start + HEADER.size + length
            if stop > size:
                break
            event = self._frame(kind, buffer[start + HEADER.size : stop])
            if event is not None:
                events.append(event)
            self._patience.judge(meant=event is not None, events=events)
            start = stop
        self._buffer = buffer[start:]
        return events

    def _frame(self, kind: int, payload: bytes) -> StreamEvent | None:
        form = self._formats.get(kind)
        if form is not None:
            return AudioFrame(self._track.id, form, payload) if payload else None
        if kind == Kind.UUID and not self._started:
            return self._start(payload)
        if kind == Kind.DIGIT:
            return self._digit(payload)
        if kind in (Kind.TERMINATE, Kind.ERROR):
            return self._end(kind, payload)
        return None

    def _start(self, payload: bytes) -> StreamStarted:
        self._started = True
        name = str(uuid.UUID(bytes=payload))
        return StreamStarted(stream_id=name, external_call_id=name, tracks=(self._track,))

    def _digit(self, payload: bytes) -> DigitPressed | None:
        digit = payload.decode("latin-1").upper()
        return DigitPressed(self._track.id, digit) if digit in DIGITS else None

    def _end(self, kind: int, payload: bytes) -> StreamEnded:
        self._ended = True
        if kind == Kind.TERMINATE or payload == ERROR_HANGUP:
            return StreamEnded(StreamEnd.HANGUP)
        return StreamEnded(StreamEnd.ERROR, f"the peer reported error {payload[:1].hex() or 'without a code'}")
