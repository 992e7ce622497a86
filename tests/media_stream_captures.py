"""Media streams as they are documented: what each carrier says, and the plan that has to say the same."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import msgspec

from adapters.stream import AudioFormat, Encoding
from gateway.callers.media_stream_names import Stream
from gateway.callers.media_stream_plan import PACKETS_MS, TRACKS, Dialect, End, Shape, StreamPlan
from gateway.callers.plan import At

CAPTURES = Path(__file__).parent / "captures"
MADE_BY_US = {
    "twilio-peer-exotel": Dialect.EXOTEL,
    "twilio-peer-plivo": Dialect.PLIVO,
    "twilio-peer-telnyx": Dialect.TELNYX,
    "twilio-shape-both-tracks-chunk-per-track": Dialect.TWILIO,
    "twilio-shape-dtmf-bidirectional": Dialect.TWILIO,
    "twilio-shape-pipecat-client-minimal": Dialect.TWILIO,
}
"""The files whose messages a caller of ours has to send, and whose dialect they are."""

BEGIN = 0.12
"""Where a file's timestamps do not tell it."""

_ENCODINGS = {
    "audio/x-mulaw": Encoding.PCMU,
    "PCMU": Encoding.PCMU,
    "base64": Encoding.L16,
}
_NAMES = {
    "account_id": ("accountSid", "user_id", "accountId", "account_sid"),
    "call_id": ("callSid", "call_control_id", "callId", "call_sid"),
    "stream_id": ("streamSid", "stream_id", "streamId", "stream_sid"),
    "session_id": ("call_session_id",),
    "calling": ("from",),
    "called": ("to",),
}


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """What makes the simulator say what stands in a file."""

    stream: Stream
    plan: StreamPlan
    payloads: list[bytes]


def messages(name: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (CAPTURES / f"{name}.jsonl").read_text().splitlines()]
    return [row["frame"] for row in rows if row["dir"] == "in"]


def replay(name: str) -> Replay:
    """Translate a file. It has no times but those of its packets."""
    told, dialect = messages(name), MADE_BY_US[name]
    (start,) = [message for message in told if message["event"] == "start"]
    tracks = {track: _packets(told, track) for track in TRACKS}
    payloads = [b"".join(_payload(packet) for packet in packets) for packets in tracks.values() if packets]
    is_bare = "timestamp" not in tracks[TRACKS[0]][0]["media"]
    first_ms = 0 if is_bare else min(int(packet["media"]["timestamp"]) for packet in tracks[TRACKS[0]])
    is_dated = dialect is Dialect.PLIVO
    begin = first_ms / 1000 if dialect is Dialect.TWILIO and first_ms else BEGIN
    plan = StreamPlan(
        dialect=dialect,
        format=_format(start["start"]),
        tracks=len(payloads),
        packet_ms=PACKETS_MS[dialect],
        begin=begin,
        epoch_ms=first_ms - round(begin * 1000) if is_dated else 0,
        shape=Shape.MINIMAL if is_bare else Shape.FULL,
        keys=tuple(_keys(told, begin, PACKETS_MS[dialect] / 1000)),
        end=End.STOP if told[-1]["event"] == "stop" else End.CLOSE,
        linger=0.0,
        reorder=1.0 if dialect is Dialect.TELNYX else 0.0,
    )
    return Replay(stream=_stream(start), plan=plan, payloads=payloads)


def _packets(told: list[dict[str, Any]], track: str) -> list[dict[str, Any]]:
    """Give a track's packets, as they were spoken."""
    found = [each for each in told if each["event"] == "media" and each["media"].get("track", TRACKS[0]) == track]
    return sorted(found, key=lambda packet: int(packet["media"].get("chunk", 0)))


def _payload(packet: dict[str, Any]) -> bytes:
    return base64.b64decode(packet["media"]["payload"])


def _format(start: dict[str, Any]) -> AudioFormat:
    told = start.get("mediaFormat") or start.get("media_format") or {"encoding": "audio/x-mulaw", "sampleRate": 8000}
    return AudioFormat(_ENCODINGS[told["encoding"]], int(told.get("sampleRate") or told["sample_rate"]))


def _stream(start: dict[str, Any]) -> Stream:
    known = {**start, **start["start"]}
    names = {field: known[key] for field, keys in _NAMES.items() for key in keys if key in known}
    return Stream(
        account_id=names.pop("account_id", ""),
        client_state=base64.b64decode(known.get("client_state", "")).decode(),
        **names,
    )


def _keys(told: list[dict[str, Any]], begin: float, packet: float) -> list[At]:
    """Give each key a time between the packets that it stands between."""
    before = 0
    keys = []
    for message in told:
        before += message["event"] == "media"
        if message["event"] == "dtmf":
            keys.append(At(begin + (before - 0.5) * packet, message["dtmf"]["digit"]))
    return keys
