"""Sessions of FreeSWITCH and of Asterisk's chan_websocket, as they were recorded (tests/captures)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from yarl import URL

CAPTURES = Path(__file__).parent / "captures"

FORKS = sorted(path.stem for path in CAPTURES.glob("freeswitch-*.jsonl"))
CHAN_WEBSOCKET = ("asterisk-ws-json-dir-in", "asterisk-ws-plain-hangup-cmd")

TEXT, BINARY, CLOSE = 1, 2, 8
"""Opcodes (RFC 6455 5.2)."""


class Message(msgspec.Struct, frozen=True):
    """One message, and when it came, in seconds since the connection was made."""

    at: float
    data: str | bytes


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What a client sent by one WebSocket."""

    upgrade: bytes
    messages: tuple[Message, ...]
    closed_with: int | None
    told: dict[str, Any]
    """What was done, where it was written down."""

    @property
    def url(self) -> URL:
        """The path and the query of the upgrade."""
        return URL(self.upgrade.split(b" ", 2)[1].decode())

    def said(self) -> list[str | bytes]:
        """Give the messages without their times."""
        return [message.data for message in self.messages]


@cache
def fork(name: str) -> Session:
    """Read a session of FreeSWITCH."""
    lines = [json.loads(line) for line in (CAPTURES / f"{name}.jsonl").read_text().splitlines()]
    file = CAPTURES / f"{name}.bin"
    audio = file.read_bytes() if file.exists() else b""
    frames = [line for line in lines if line["ev"] == "frame"]
    messages = [
        Message(each["t"], each["text"] if each["op"] == TEXT else audio[each["off"] : each["off"] + each["len"]])
        if each["len"]
        else Message(each["t"], b"")
        for each in frames
        if each["op"] in {TEXT, BINARY}
    ]
    closes = [each["close_code"] for each in frames if each["op"] == CLOSE]
    told = CAPTURES / f"{name}.json"
    return Session(
        upgrade=lines[0]["raw"].encode(),
        messages=tuple(messages),
        closed_with=closes[0] if closes else None,
        told=json.loads(told.read_text()) if told.exists() else {},
    )


@cache
def chan_websocket(name: str) -> Session:
    """Read a session of Asterisk: its bytes, cut into frames, all of which are masked and whole."""
    data = (CAPTURES / f"{name}.from-asterisk.bin").read_bytes()
    told: dict[str, Any] = json.loads((CAPTURES / f"{name}.json").read_text())
    end = data.index(b"\r\n\r\n") + 4
    begin = told["frames_t_ms_op_len_masked"][0][0]
    messages, closed_with, at = [], None, end
    for at_ms, opcode, length, _masked in told["frames_t_ms_op_len_masked"]:
        header = 2 if length < 126 else 4
        mask = data[at + header : at + header + 4]
        masked = data[at + header + 4 : at + header + 4 + length]
        payload = bytes(byte ^ mask[place % 4] for place, byte in enumerate(masked))
        at += header + 4 + length
        if opcode == CLOSE:
            closed_with = int.from_bytes(payload[:2], "big")
        else:
            messages.append(Message((at_ms - begin) / 1000, payload.decode() if opcode == TEXT else payload))
    assert at == len(data)
    return Session(upgrade=data[:end], messages=tuple(messages), closed_with=closed_with, told=told)


def frame(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0) -> bytes:
    """Write a client's frame (RFC 6455 5.2); its mask is zero, so that the payload can be read."""
    head = bytes([fin << 7 | rsv << 4 | opcode])
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return head + length + bytes(4) + payload


def message_frame(data: str | bytes) -> bytes:
    """Write a whole message as a client's frame."""
    return frame(TEXT, data.encode()) if isinstance(data, str) else frame(BINARY, data)


def close_frame(code: int = 1000, reason: bytes = b"") -> bytes:
    """Write a client's Close."""
    return frame(CLOSE, code.to_bytes(2, "big") + reason)
