"""Recorded sessions of FreeSWITCH's modules: what each sent, and the script that made it do so."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from gateway.callers.audio import mixed, stereo
from gateway.callers.freeswitch_plan import End, ForkPlan, Module
from gateway.callers.plan import At
from gateway.callers.upgrade import Credentials
from tests.wire_recorder import BINARY, CLOSE, PING, PONG, TEXT, Wire, WireFrame

if TYPE_CHECKING:
    from collections.abc import Iterator

CAPTURES = Path(__file__).parent / "captures"
NAMES = sorted(file.stem.removeprefix("freeswitch-") for file in CAPTURES.glob("freeswitch-*.jsonl"))

AFTER_CLOSE_SECONDS = 0.003
"""The last packet and the Close share a moment in some sessions; no other packet is so near."""

STEREO = 2
_CHANNELS = {"mono": 1, "mixed": 1, "stereo": STEREO}
_LOST = b"\x55"
"""What is spoken during a pause here, and must never be heard."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded connection."""

    name: str
    request: str
    frames: tuple[WireFrame, ...]
    times: tuple[float, ...]
    server: tuple[dict[str, Any], ...]
    """What was said to FreeSWITCH, and when."""
    answered_at: float
    protocol: str | None
    cut_at: float | None
    """When FreeSWITCH ended the connection; None: the server did."""
    script: tuple[tuple[float, str], ...]
    """The commands that FreeSWITCH took, from this connection's `start`, and their times from there."""

    @property
    def audio(self) -> list[tuple[float, bytes]]:
        """Each message with audio, and its time."""
        return [
            (at, frame.payload)
            for at, frame in zip(self.times, self.frames, strict=True)
            if frame.opcode == BINARY and frame.payload
        ]


@cache
def session(name: str) -> Session:
    rows = [json.loads(line) for line in (CAPTURES / f"freeswitch-{name}.jsonl").read_text().splitlines()]
    audio = CAPTURES / f"freeswitch-{name}.bin"
    sound = audio.read_bytes() if audio.exists() else b""
    frames = [row for row in rows if row["ev"] == "frame"]
    (request,) = [row["raw"] for row in rows if row["ev"] == "http_request"]
    (answer,) = [row for row in rows if row["ev"] == "http_response"]
    protocol = re.search(r"Sec-WebSocket-Protocol: (\S+)", answer["raw"])
    cuts = [row["t"] for row in rows if row["ev"] == "tcp_eof"]
    return Session(
        name=name,
        request=request,
        frames=tuple(_frame(row, sound) for row in frames),
        times=tuple(row["t"] for row in frames),
        server=tuple(row for row in rows if row["ev"].startswith("sent_") and row["ev"] != "sent_close_reply"),
        answered_at=answer["t"],
        protocol=protocol[1] if protocol else None,
        cut_at=cuts[0] if cuts else None,
        script=tuple(_script(name)),
    )


def _frame(row: dict[str, Any], sound: bytes) -> WireFrame:
    match row["op"]:
        case 1:
            payload = row["text"].encode()
        case 2:
            payload = sound[row["off"] : row["off"] + row["len"]] if row["len"] else b""
        case 8:
            payload = row["close_code"].to_bytes(2, "big") + row["reason"].encode()
        case _:
            payload = bytes.fromhex(row["hex"])
    assert len(payload) == row["len"]
    return WireFrame(
        opcode=row["op"], fin=bool(row["fin"]), reserved=row["rsv"], masked=bool(row["masked"]), payload=payload
    )


def _script(name: str) -> Iterator[tuple[float, str]]:
    """Give the commands of one connection: a session of two has a `start` for each."""
    whole, number = (name.removesuffix("-2"), 1) if name.endswith("-2") else (name, 0)
    told = json.loads((CAPTURES / f"freeswitch-{whole}.json").read_text())
    taken = [(row["t"], row["api"]) for row in told["commands"] if not row["reply"].startswith("-ERR")]
    starts = [index for index, (_, api) in enumerate(taken) if " start " in api] + [len(taken)]
    begin = taken[starts[number]][0]
    for at, api in taken[: starts[0]] + taken[starts[number] : starts[number + 1]]:
        yield at - begin, api


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """What makes the simulator do what FreeSWITCH was made to do."""

    plan: ForkPlan
    pcm: bytes
    """Made of both speakers' as a simulated call's is. How FreeSWITCH mixes them cannot be told from their sum."""
    path: str
    credentials: Credentials | None
    subprotocol: str


def replay(told: Session) -> Replay:
    """Translate a session's script. When the audio began and when it ended is the session's own."""
    (start,) = [api for _, api in told.script if " start " in api]
    _, _, _, url, mix, rate, *rest = start.split(" ", 6)
    commands = [(at, *_command(api)) for at, api in told.script if " start " not in api]
    plan = ForkPlan(
        module=Module.STREAM if "audio_stream" in start else Module.FORK,
        rate_hz=int(rate.removesuffix("k")) * 1000,
        channels=_CHANNELS[mix],
        metadata=_text(rest[0]) if rest else None,
        texts=tuple(At(at, text) for at, name, text in commands if name == "send_text"),
        pauses=tuple(_pauses(commands)),
    )
    end, last_text, at = _end(told, commands)
    begin = _begin(told, plan)
    plan = msgspec.structs.replace(plan, begin=begin, end=end, last_text=last_text, hang_up_at=at)
    header = re.search(r"authorization: Basic (\S+)", told.request)
    offered = re.search(r"Sec-WebSocket-Protocol: (\S+)", told.request)
    return Replay(
        plan=plan,
        pcm=stereo(*_apart(_spoken(told, plan))) if plan.channels == STEREO else mixed(_spoken(told, plan), b""),
        path="/" + url.split("/", 3)[3],
        credentials=_credentials(told) if header else None,
        subprotocol=offered[1] if offered else "",
    )


def _command(api: str) -> tuple[str, str]:
    """Read a command's name and text."""
    if not api.startswith("uuid_audio"):
        return api.partition(" ")[0], ""
    _, _, name, *rest = api.split(" ", 3)
    return name, _text(rest[0]) if rest else ""


def _text(words: str) -> str:
    """Split as FreeSWITCH does: a text that is no JSON comes after a bug's name, and a blank ends it but in quotes."""
    if words[0] not in "{['":
        words = words.partition(" ")[2]
        return words if words.startswith("{") else words.split(" ")[0]
    return words.strip("'")


def _pauses(commands: list[tuple[float, str, str]]) -> Iterator[At]:
    times = [at for at, name, _ in commands if name in {"pause", "resume"}]
    for begin, end in zip(times[::2], times[1::2], strict=True):
        yield At(begin, str(end - begin))


def _end(told: Session, commands: list[tuple[float, str, str]]) -> tuple[End, str | None, float]:
    names = {name: text for _, name, text in reversed(commands)}
    over = [
        at
        for at, frame in zip(told.times, told.frames, strict=True)
        if frame.opcode == CLOSE or (frame.opcode == BINARY and not frame.payload)
    ]
    at = over[0] + AFTER_CLOSE_SECONDS
    if "graceful-shutdown" in names:
        return End.GRACEFUL, None, at
    if "stop" in names:
        return End.STOP, names["stop"] or None, at
    return End.HANGUP, None, at


def _begin(told: Session, plan: ForkPlan) -> float:
    """Find when the first packet was due: packets come late at times, and never early."""
    due, packets = [], 0
    pause = min((pause.seconds for pause in plan.pauses), default=float("inf"))
    for at, payload in told.audio:
        packets += len(payload) // plan.packet_bytes
        if at < pause:
            due.append(at - (packets - 1) * plan.packet_ms / 1000)
    return min(due, default=float("inf"))


def _spoken(told: Session, plan: ForkPlan) -> bytes:
    """Put together what was spoken: what was heard, and during pauses what was not."""
    heard = b"".join(payload for _, payload in told.audio)
    for pause in plan.pauses:
        packet = plan.packet_ms / 1000
        first = int(np.ceil((pause.seconds - plan.begin) / packet))
        last = int(np.ceil((pause.seconds + float(pause.what) - plan.begin) / packet))
        at = first * plan.packet_bytes
        heard = heard[:at] + _LOST * (last - first) * plan.packet_bytes + heard[at:]
    return heard


def _apart(pcm: bytes) -> tuple[bytes, bytes]:
    """Tell left from right."""
    both = np.frombuffer(pcm, "<i2").reshape(-1, STEREO)
    return both[:, 0].tobytes(), both[:, 1].tobytes()


def _credentials(told: Session) -> Credentials:
    (originate,) = [api for _, api in told.script if api.startswith("originate")]
    user, password = re.findall(r"MOD_AUDIO_BASIC_AUTH_(?:USERNAME|PASSWORD)=([^,}]+)", originate)
    return Credentials(user, password)


def texts(told: Session) -> list[str]:
    """Give what was said to FreeSWITCH, as it has to be heard."""
    heard = []
    for row in told.server:
        if row["ev"] == "sent_text":
            heard.append(row["text"].ljust(row["len"]))
        elif row["ev"] == "sent_fragmented_text":
            heard.append("".join(row["parts"]))
    return heard


async def serve(wire: Wire, told: Session) -> None:
    """Say what was said to FreeSWITCH, when it was said."""
    wire.cuts_after_close = told.cut_at is None
    await wire.until(told.answered_at)
    wire.answer(protocol=told.protocol)
    for row in told.server:
        await wire.until(row["t"])
        _say(wire, row, told)


def _say(wire: Wire, row: dict[str, Any], told: Session) -> None:
    match row["ev"]:
        case "sent_text":  # long ones are cut in the record
            wire.say_text(row["text"].ljust(row["len"]))
        case "sent_fragmented_text":
            first, *middle, last = row["parts"]
            wire.say(TEXT, first.encode(), fin=False)
            for part in middle:
                wire.say(0, part.encode(), fin=False)
            wire.say(0, last.encode())
        case "sent_binary_begin":
            for _ in range(0, row["len"], row["chunk"]):
                wire.say(BINARY, bytes(row["chunk"]))
        case "sent_ping":
            (pong,) = [frame for frame in told.frames if frame.opcode == PONG]
            wire.say(PING, pong.payload)
        case "sent_close":
            wire.close(row["code"])
