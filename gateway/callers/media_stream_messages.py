"""How the media streams of Twilio and its relatives spell their messages. Pure.

Names, kinds and order are those of their pages and of published logs: Twilio, "Media Streams: WebSocket messages";
Telnyx, "Media streaming over WebSockets"; Plivo, "Audio streaming reference"; Exotel, "AgentStream WebSocket protocol".
SignalWire writes as Twilio does; how it spells L16 nobody has published. Nor has anybody a stop of Plivo's.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from adapters.stream import Encoding
from gateway.callers.media_stream_plan import TRACKS, Dialect, Shape
from gateway.callers.plan import DIGIT_SECONDS

if TYPE_CHECKING:
    from gateway.callers.media_stream_names import Stream
    from gateway.callers.media_stream_plan import Key, Media, StreamPlan

Fields = dict[str, Any]

_MIME = {Encoding.PCMU: "audio/x-mulaw", Encoding.L16: "audio/x-l16"}
"""What Twilio and Plivo call an encoding."""


class Spelling(Protocol):
    """Makes the messages of one stream."""

    first_number: int
    """Of the start."""

    def connected(self) -> Fields | None:
        """Say what comes before the start; None: nothing does."""
        ...

    def start(self, number: int) -> Fields:
        """Tell of the stream."""
        ...

    def media(self, number: int, chunk: int, media: Media) -> Fields:
        """Carry a packet."""
        ...

    def key(self, number: int, key: Key) -> Fields:
        """Tell of a key."""
        ...

    def stop(self, number: int) -> Fields:
        """Tell that the stream ends."""
        ...


def spelling(stream: Stream, plan: StreamPlan) -> Spelling:
    """Choose how a stream's messages are spelled."""
    if plan.shape is Shape.MINIMAL:
        return _Minimal(stream, plan)
    match plan.dialect:
        case Dialect.TWILIO | Dialect.SIGNALWIRE:
            return _Twilio(stream, plan)
        case Dialect.TELNYX:
            return _Telnyx(stream, plan)
        case Dialect.PLIVO:
            return _Plivo(stream, plan)
        case Dialect.EXOTEL:
            return _Exotel(stream, plan)


def _payload(media: Media) -> str:
    return base64.b64encode(media.payload).decode()


def _packet(chunk: int, media: Media) -> Fields:
    """Spell a packet as Twilio and Telnyx do."""
    return {"track": media.track, "chunk": str(chunk), "timestamp": str(media.stamp_ms), "payload": _payload(media)}


class _Spelling:
    first_number = 1

    def __init__(self, stream: Stream, plan: StreamPlan) -> None:
        self._stream = stream
        self._plan = plan


class _Twilio(_Spelling):
    def connected(self) -> Fields:
        return {"event": "connected", "protocol": "Call", "version": "1.0.0"}

    def start(self, number: int) -> Fields:
        sound = self._plan.format
        start = {
            "accountSid": self._stream.account_id,
            "streamSid": self._stream.stream_id,
            "callSid": self._stream.call_id,
            "tracks": list(TRACKS[: self._plan.tracks]),
            "mediaFormat": {"encoding": _MIME[sound.encoding], "sampleRate": sound.rate_hz, "channels": 1},
            "customParameters": dict(self._stream.parameters),
        }
        return {
            "event": "start",
            "sequenceNumber": str(number),
            "start": start,
            "streamSid": self._stream.stream_id,
        }

    def media(self, number: int, chunk: int, media: Media) -> Fields:
        return {
            "event": "media",
            "sequenceNumber": str(number),
            "media": _packet(chunk, media),
            "streamSid": self._stream.stream_id,
        }

    def key(self, number: int, key: Key) -> Fields:
        return {
            "event": "dtmf",
            "streamSid": self._stream.stream_id,
            "sequenceNumber": str(number),
            "dtmf": {"track": "inbound_track", "digit": key.digit},
        }

    def stop(self, number: int) -> Fields:
        return {
            "event": "stop",
            "sequenceNumber": str(number),
            "streamSid": self._stream.stream_id,
            "stop": {"accountSid": self._stream.account_id, "callSid": self._stream.call_id},
        }


class _Minimal(_Twilio):
    def start(self, number: int) -> Fields:
        del number
        return {"event": "start", "start": {"streamSid": self._stream.stream_id, "callSid": self._stream.call_id}}

    def media(self, number: int, chunk: int, media: Media) -> Fields:
        del number, chunk
        return {"event": "media", "media": {"payload": _payload(media)}}

    def key(self, number: int, key: Key) -> Fields:
        del number
        return {"event": "dtmf", "dtmf": {"digit": key.digit}}

    def stop(self, number: int) -> Fields:
        del number
        return {"event": "stop"}


class _Telnyx(_Spelling):
    def connected(self) -> Fields:
        return {"event": "connected", "version": "1.0.0"}

    def start(self, number: int) -> Fields:
        sound, state = self._plan.format, self._stream.client_state
        start = {
            "user_id": self._stream.account_id,
            "call_control_id": self._stream.call_id,
            "call_session_id": self._stream.session_id,
            "from": self._stream.calling,
            "to": self._stream.called,
            **({"client_state": base64.b64encode(state.encode()).decode()} if state else {}),
            "media_format": {"encoding": sound.encoding.value, "sample_rate": sound.rate_hz, "channels": 1},
        }
        return self._message("start", number, start)

    def media(self, number: int, chunk: int, media: Media) -> Fields:
        return self._message("media", number, _packet(chunk, media))

    def key(self, number: int, key: Key) -> Fields:
        when = datetime.fromtimestamp(key.epoch_ms / 1000, UTC).isoformat(timespec="microseconds")
        return {
            "event": "dtmf",
            "stream_id": self._stream.stream_id,
            "occurred_at": when.replace("+00:00", "Z"),
            "sequence_number": str(number),
            "dtmf": {"digit": key.digit},
        }

    def stop(self, number: int) -> Fields:
        stop = {"user_id": self._stream.account_id, "call_control_id": self._stream.call_id}
        return self._message("stop", number, stop)

    def _message(self, event: str, number: int, body: Fields) -> Fields:
        return {
            "event": event,
            "sequence_number": str(number),
            "stream_id": self._stream.stream_id,
            event: body,
        }


class _Plivo(_Spelling):
    first_number = 0

    def connected(self) -> None:
        return None

    def start(self, number: int) -> Fields:
        sound = self._plan.format
        start = {
            "callId": self._stream.call_id,
            "streamId": self._stream.stream_id,
            "accountId": self._stream.account_id,
            "tracks": list(TRACKS[: self._plan.tracks]),
            "mediaFormat": {"encoding": _MIME[sound.encoding], "sampleRate": sound.rate_hz},
        }
        return {"sequenceNumber": number, "event": "start", "start": start, "extra_headers": self._headers}

    def media(self, number: int, chunk: int, media: Media) -> Fields:
        body = {"track": media.track, "timestamp": str(media.stamp_ms), "chunk": chunk, "payload": _payload(media)}
        return self._message("media", number, media=body)

    def key(self, number: int, key: Key) -> Fields:
        body = {"track": TRACKS[0], "digit": key.digit, "timestamp": str(key.epoch_ms)}
        return self._message("dtmf", number, dtmf=body)

    def stop(self, number: int) -> Fields:
        return self._message("stop", number)

    @property
    def _headers(self) -> str:
        """Spell the stream's extraHeaders: an object, as a text."""
        return msgspec.json.encode(dict(self._stream.parameters)).decode()

    def _message(self, event: str, number: int, **body: Fields) -> Fields:
        stream_id = self._stream.stream_id
        return {
            "sequenceNumber": number,
            "streamId": stream_id,
            "event": event,
            **body,
            "extra_headers": self._headers,
        }


class _Exotel(_Spelling):
    def connected(self) -> Fields:
        return {"event": "connected"}

    def start(self, number: int) -> Fields:
        rate_hz = self._plan.format.rate_hz
        start = {
            "stream_sid": self._stream.stream_id,
            "call_sid": self._stream.call_id,
            "account_sid": self._stream.account_id,
            "from": self._stream.calling,
            "to": self._stream.called,
            "custom_parameters": dict(self._stream.parameters),
            "media_format": {
                "encoding": "base64",
                "sample_rate": str(rate_hz),
                "bit_rate": f"{rate_hz * 16 // 1000}kbps",
            },
        }
        return self._message("start", number, start)

    def media(self, number: int, chunk: int, media: Media) -> Fields:
        body = {"chunk": str(chunk), "timestamp": str(media.stamp_ms), "payload": _payload(media)}
        return self._message("media", number, body)

    def key(self, number: int, key: Key) -> Fields:
        body = {"digit": key.digit, "duration": str(round(DIGIT_SECONDS * 1000))}
        return self._message("dtmf", number, body)

    def stop(self, number: int) -> Fields:
        stop = {
            "call_sid": self._stream.call_id,
            "account_sid": self._stream.account_id,
            "reason": "callended",
        }
        return self._message("stop", number, stop)

    def _message(self, event: str, number: int, body: Fields) -> Fields:
        return {"event": event, "sequence_number": str(number), "stream_sid": self._stream.stream_id, event: body}
