"""Messages of Twilio's as a stream has them, for what measures how they are taken."""

from __future__ import annotations

import base64
import json

FIRST_STAMP_MS, FRAME_MS = 120, 20

START = (
    '{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC1","streamSid":"MZ1","callSid":"CA1","tracks":'
    '["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{}}}'
)


def media(number: int, payload: bytes) -> str:
    """Make the message of a packet of mu-law; the first is number 0."""
    said = {
        "track": "inbound",
        "chunk": str(number + 1),
        "timestamp": str(FIRST_STAMP_MS + FRAME_MS * number),
        "payload": base64.b64encode(payload).decode(),
    }
    return json.dumps({"event": "media", "sequenceNumber": str(number + 2), "media": said, "streamSid": "MZ1"})
