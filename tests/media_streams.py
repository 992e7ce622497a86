"""Media streams of Twilio's family: recorded, or built after the carriers' documentation (tests/captures)."""

from __future__ import annotations

import base64
import json
from functools import cache
from pathlib import Path
from typing import Any

CAPTURES = Path(__file__).parent / "captures"

STREAMS = {path.stem: path.stem.removeprefix("twilio-") for path in sorted(CAPTURES.glob("twilio-*.jsonl"))}
CARRIER = {"peer-exotel": "exotel", "peer-plivo": "plivo", "peer-telnyx": "telnyx"}
"""Whose spelling a capture has, where it is not Twilio's."""

FRAME = bytes(range(160))


@cache
def stream(name: str) -> tuple[str, ...]:
    """Give the texts that a client sent."""
    lines = [json.loads(line) for line in (CAPTURES / f"twilio-{name}.jsonl").read_text().splitlines()]
    return tuple(each["raw"] if "raw" in each else json.dumps(each["frame"]) for each in lines if each["dir"] == "in")


def connected() -> str:
    """Give Twilio's first message."""
    return json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})


def start(parameters: dict[str, Any] | None = None, **said: Any) -> str:
    """Give Twilio's second message; `said` goes before what stands in it otherwise, and None leaves it out."""
    content = {
        "accountSid": "AC1",
        "streamSid": "MZ1",
        "callSid": "CA1",
        "tracks": ["inbound", "outbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": parameters or {},
    } | said
    content = {name: value for name, value in content.items() if value is not None}
    return json.dumps({"event": "start", "sequenceNumber": "1", "start": content, "streamSid": "MZ1"})


def media(number: int, stamp: int | None, track: str | None = "inbound", payload: bytes = FRAME) -> str:
    """Give a packet as Twilio sends it."""
    said = {
        "track": track,
        "chunk": "1",
        "timestamp": None if stamp is None else str(stamp),
        "payload": base64.b64encode(payload).decode(),
    }
    said = {name: value for name, value in said.items() if value is not None}
    return json.dumps({"event": "media", "sequenceNumber": str(number), "media": said, "streamSid": "MZ1"})


def stop(number: int) -> str:
    """Give Twilio's last message."""
    said = {"accountSid": "AC1", "callSid": "CA1"}
    return json.dumps({"event": "stop", "sequenceNumber": str(number), "streamSid": "MZ1", "stop": said})
