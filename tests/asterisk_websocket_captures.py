"""Recorded sessions of Asterisk's chan_websocket: what it sent, and what it was told."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.callers.asterisk_websocket_plan import Dialect, Direction, Leg
from gateway.callers.plan import CallPlan
from gateway.callers.upgrade import Credentials
from tests.wire_recorder import BINARY, TEXT, Wire, WireFrame, read_frames

if TYPE_CHECKING:
    from collections.abc import Iterator

CAPTURES = Path(__file__).parent / "captures"
NAMES = sorted(file.stem.removeprefix("asterisk-ws-") for file in CAPTURES.glob("asterisk-ws-*.json"))

PACKET_MS = 20
MOST_LATE_PACKETS = 5
"""Where more are missing, they were not sent."""

CREDENTIALS = Credentials("astuser", "astpass")
"""Of the recordings' websocket_client.conf."""

_LOST = b"\x55"
"""What the caller says while nobody wants to hear him, here; it must never be heard."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded connection. Times count from when the first packet was due."""

    request: str
    answer: bytes
    frames: tuple[WireFrame, ...]
    mask_keys: tuple[bytes, ...]
    times: tuple[float, ...]
    server: tuple[tuple[float, WireFrame], ...]
    """What Asterisk was told, and when."""

    @property
    def path(self) -> str:
        """What was asked for; a part of it comes from the dial string, and the rest from websocket_client.conf."""
        return self.request.split(" ")[1]

    @property
    def audio(self) -> list[tuple[float, bytes]]:
        """Each packet, and its time."""
        both = zip(self.times, self.frames, strict=True)
        return [(at, frame.payload) for at, frame in both if frame.opcode == BINARY]


@cache
def session(name: str) -> Session:
    told = json.loads((CAPTURES / f"asterisk-ws-{name}.json").read_text())
    request, sent = _halves(name, "from")
    answer, said = _halves(name, "to")
    rows = told["frames_t_ms_op_len_masked"]
    frames = [frame for frame, _ in sent]
    assert [[frame.opcode, len(frame.payload), frame.masked] for frame in frames] == [row[1:] for row in rows]
    due = [at - PACKET_MS * index for index, (at, *_) in enumerate(row for row in rows if row[1] == BINARY)]
    begin = min(due, default=0.0)  # packets come late at times, and never early
    told_at = [at for at, what in told["events"] if what.startswith("sent text ")]
    played_at = [at for at, what in told["events"] if what.startswith("mulaw:")]
    return Session(
        request=request.decode(),
        answer=answer,
        frames=tuple(frames),
        mask_keys=tuple(key for _, key in sent),
        times=tuple((at - begin) / 1000 for at, *_ in rows),
        server=tuple(_said([frame for frame, _ in said], told_at, played_at, begin)),
    )


def _said(
    frames: list[WireFrame], told_at: list[float], played_at: list[float], begin: float
) -> Iterator[tuple[float, WireFrame]]:
    """Give everything that Asterisk was told but Close its time; audio that was played to it that of its beginning."""
    times = iter(told_at)
    for frame in frames:
        if frame.opcode in {TEXT, BINARY}:
            at = next(times) if frame.opcode == TEXT else played_at[0]
            yield (at - begin) / 1000, frame


def _halves(name: str, way: str) -> tuple[bytes, list[tuple[WireFrame, bytes]]]:
    """Read what went one way: the HTTP head, and the frames."""
    head, blank, rest = (CAPTURES / f"asterisk-ws-{name}.{way}-asterisk.bin").read_bytes().partition(b"\r\n\r\n")
    return head + blank, read_frames(rest)


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """What makes the simulator do what Asterisk was made to do."""

    leg: Leg
    plan: CallPlan
    payload: bytes


def replay(told: Session) -> Replay:
    """Translate a session. When the audio began and when the caller hung up is the session's own."""
    first = told.frames[0].payload.decode()
    facts: dict[str, Any] = json.loads(first) if first.startswith("{") else _plain(first)
    leg = Leg(
        channel_id=facts["channel_id"],
        channel=facts["channel"],
        connection_id=facts["connection_id"],
        format=facts["format"],
        dialect=Dialect.JSON if first.startswith("{") else Dialect.PLAIN,
        direction=_direction(facts.get("channel_variables", {})),
    )
    is_hung_up = any(frame.payload == b"HANGUP" for _, frame in told.server)
    plan = CallPlan(hang_up_at=None if is_hung_up else told.times[-1])
    return Replay(leg=leg, plan=plan, payload=_spoken(told, leg.codec.packet_bytes(PACKET_MS)))


def _plain(text: str) -> dict[str, str]:
    return dict(field.split(":", 1) for field in text.split(" ")[1:])


def _direction(variables: dict[str, str]) -> Direction:
    return Direction.IN if "d(in)" in variables.get("DIALEDPEERNUMBER", "") else Direction.BOTH


def _spoken(told: Session, size: int) -> bytes:
    """Put together what was said: what was heard, and where nobody wanted to hear it, what was not."""
    spoken = b""
    for at, payload in told.audio:
        missing = round(at * 1000 / PACKET_MS) - len(spoken) // size
        if missing > MOST_LATE_PACKETS:
            spoken += _LOST * size * missing
        spoken += payload
    return spoken


async def serve(wire: Wire, told: Session) -> None:
    """Answer as Asterisk was answered, and tell it what it was told, when it was told so."""
    if not told.answer.startswith(b"HTTP/1.1 101"):
        wire.write(told.answer)
        return
    wire.answer(protocol="media")
    for at, said in told.server:
        await wire.until(at)
        wire.say(said.opcode, said.payload)
