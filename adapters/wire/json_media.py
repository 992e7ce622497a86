"""A WebSocket of JSON texts with the audio in base64: Twilio's Media Streams, and what was made after them.

`connected` may come first; `start` says what the stream is; then come `media` of each track, keys, and `stop`. Carriers
spell the same things differently, which `Names` tells, and write numbers as numbers or as text. Nothing is sent back.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from adapters.stream import (
    DIGITS,
    AudioFormat,
    AudioFrame,
    DigitPressed,
    Remark,
    StreamEnd,
    StreamEnded,
    StreamStarted,
    Track,
    TrackStarted,
)
from adapters.wire.parameters import flat, named, part, read_object
from adapters.wire.patience import Patience
from adapters.wire.sequence import Sequence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from adapters.stream import StreamEvent

INBOUND = "inbound"
SUFFIX = "_track"
"""Twilio writes `inbound_track` where a key is pressed, and `inbound` elsewhere."""

NO_CHARGE = frozenset({"connected", "mark", "clear", "playedStream", "clearedAudio", "checkpoint"})
"""Events that are in order, and mean nothing to us."""

OVERTAKEN = 4
"""So many of the last messages may come after `stop`, where a carrier promises no order."""

_SEPARATOR = re.compile("[;,]")

LOST = "the carrier's numbers tell that {} of its messages never came: audio may be missing"
FAULT = "the carrier reports an error on its stream: its own log says which"
NOT_NAMED = "audio came of a track whose name nobody knows, and is left out"


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """How a carrier spells what it says."""

    stream: str
    call: str
    account: str
    sequence: str = "sequenceNumber"
    format: str = "mediaFormat"
    rate: str = "sampleRate"
    parameters: str = "customParameters"
    ordered: bool = True
    """Whether messages come in their order."""


class Beginning(msgspec.Struct, frozen=True, kw_only=True):
    """What `start` says; None where it says nothing."""

    stream_id: str | None
    call_id: str | None
    account_id: str | None
    tracks: tuple[str, ...]
    encoding: str | None
    rate_hz: int | None
    channels: int | None
    parameters: tuple[tuple[str, str], ...]
    """What the caller of the carrier's API wrote for us."""
    facts: tuple[tuple[str, str], ...]
    """What else the carrier tells of the call."""


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What is made of it: the stream, what its audio is, and every track there may be, by the carrier's names."""

    started: StreamStarted
    format: AudioFormat
    voices: dict[str, Track]


class Media(msgspec.Struct):
    """One packet. msgspec decodes the base64 with the rest, and numbers written as text where it is not strict."""

    payload: bytes
    track: str = INBOUND
    timestamp: int | None = None


class _OddMedia(msgspec.Struct):
    """The same where something that can be done without is not as it should be."""

    payload: bytes
    track: Any = INBOUND
    timestamp: Any = None


@cache
def _decoder(sequence: str, media: type, number: Any) -> msgspec.json.Decoder[Any]:
    """Make the decoder of all messages, for one spelling: what is not audio is read again, as a whole."""
    fields = [
        ("event", str, ""),
        ("sequence", number, msgspec.field(default=None, name=sequence)),
        ("media", media | None, None),
    ]
    return msgspec.json.Decoder(msgspec.defstruct("Message", fields), strict=False)


class JsonMediaWire:
    """One connection. `introduce` is given what `start` says; it may raise WireError."""

    def __init__(self, names: Names, introduce: Callable[[Beginning], Opening]) -> None:
        self._names = names
        self._introduce = introduce
        self._decode = _decoder(names.sequence, Media, int | None).decode
        self._sequence = Sequence()
        self._patience = Patience()
        self._format: AudioFormat | None = None
        self._bytewise = True
        """Whether each byte is a sample."""
        self._voices: dict[str, Track] = {}
        self._heard: dict[str, str] = {}
        """The ids of tracks that have started, by the carrier's names."""
        self._told: set[str] = set()
        """Remarks that were made."""
        self._rests: dict[str, bytes] = {}
        """Halves of samples, by track."""

    def receive_data(self, data: str | bytes) -> list[StreamEvent]:
        """Take one message. Raises WireError where `start` cannot be used, or hardly anything means anything."""
        events = self._meaning(data) if isinstance(data, str) else None
        self._patience.judge(meant=events is not None)
        return events or []

    def _meaning(self, text: str) -> list[StreamEvent] | None:
        """Read a message; None where it means nothing."""
        try:
            message = self._decode(text)
        except (msgspec.DecodeError, RecursionError):
            message = self._read_odd(text)
        if message is None:
            return None
        if message.sequence is not None:
            self._sequence.take(message.sequence)
        if message.event == "media":
            return self._hear(message.media)
        return self._take(message.event, text)

    def _read_odd(self, text: str) -> Any:
        """Read a message that is not as it should be, leaving aside what can be done without."""
        try:
            message = _decoder(self._names.sequence, _OddMedia, Any).decode(text)
        except (msgspec.DecodeError, RecursionError):
            return None
        message.sequence = _integer(message.sequence)
        if message.media is not None:
            track = message.media.track
            message.media.track = track if isinstance(track, str) else INBOUND
            message.media.timestamp = _integer(message.media.timestamp)
        return message

    def _hear(self, media: Media | None) -> list[StreamEvent] | None:
        if media is None or self._format is None:
            return None
        track = self._heard.get(media.track)
        if track is None:
            return self._hear_first(media, self._format)
        payload = media.payload if self._bytewise else self._whole(track, media.payload)
        return [AudioFrame(track, self._format, payload, media.timestamp)]

    def _hear_first(self, media: Media, form: AudioFormat) -> list[StreamEvent] | None:
        """Hear a track that `start` has not named, or not by this name."""
        voice = self._voices.get(media.track.removesuffix(SUFFIX))
        if voice is None:
            return self._remark(NOT_NAMED) or None
        known = voice.id in self._heard.values()
        self._heard[media.track] = voice.id
        started = [] if known else [TrackStarted(voice)]
        return [*started, AudioFrame(voice.id, form, self._whole(voice.id, media.payload), media.timestamp)]

    def _whole(self, track: str, payload: bytes) -> bytes:
        """Keep half a sample for the next packet; nearly always there is none."""
        rest = self._rests.pop(track, b"")
        if self._bytewise or (not rest and len(payload) % 2 == 0):
            return payload
        payload = rest + payload
        whole = len(payload) // 2 * 2
        self._rests[track] = payload[whole:]
        return payload[:whole]

    def _take(self, event: str, text: str) -> list[StreamEvent] | None:
        """Take a message without audio."""
        if event in NO_CHARGE:
            return []
        content = read_object(text) or {}
        match event:
            case "start" if self._format is None:
                return [self._start(content)]
            case "dtmf" if self._format is not None:
                return self._press(part(content, "dtmf"))
            case "stop" if self._format is not None:
                return self._end()
            case "error":
                return self._remark(FAULT)
        return None

    def _start(self, content: Mapping[str, Any]) -> StreamStarted:
        opening = self._introduce(beginning(content, self._names))
        self._format, self._voices = opening.format, opening.voices
        self._bytewise = opening.format.encoding.bytes_per_sample == 1
        started = {track.id for track in opening.started.tracks}
        self._heard = {name: track.id for name, track in opening.voices.items() if track.id in started}
        return opening.started

    def _press(self, dtmf: Mapping[str, Any]) -> list[StreamEvent] | None:
        digit = str(dtmf.get("digit", "")).upper()
        named = str(dtmf.get("track", INBOUND)).removesuffix(SUFFIX)
        if digit not in DIGITS:
            return None
        if self._heard:
            return [DigitPressed(self._heard.get(named, next(iter(self._heard.values()))), digit)]
        voice = self._voices.get(named, self._voices[INBOUND])
        self._heard[voice.id] = voice.id
        return [TrackStarted(voice), DigitPressed(voice.id, digit)]

    def _end(self) -> list[StreamEvent]:
        missing = self._sequence.missing
        if not self._names.ordered and self._sequence.awaits(OVERTAKEN):
            return [StreamEnded(StreamEnd.HANGUP, overtakes=True)]
        return [*([Remark(LOST.format(missing))] if missing else []), StreamEnded(StreamEnd.HANGUP)]

    def _remark(self, text: str) -> list[StreamEvent]:
        """Tell something, once."""
        if text in self._told:
            return []
        self._told.add(text)
        return [Remark(text)]


def beginning(content: Mapping[str, Any], names: Names) -> Beginning:
    """Read `start`; ids and parameters may stand in it or beside it."""
    start = part(content, "start")
    form = part(start, names.format)
    apart = {names.stream, names.call, names.format, names.parameters, "tracks"}
    encoding = form.get("encoding")
    tracks = start.get("tracks")
    return Beginning(
        stream_id=named(start.get(names.stream)) or named(content.get(names.stream)),
        call_id=named(start.get(names.call)) or named(content.get(names.call)),
        account_id=named(start.get(names.account)) or named(content.get(names.account)),
        tracks=tuple(each for each in tracks if isinstance(each, str)) if isinstance(tracks, list) else (),
        encoding=encoding if isinstance(encoding, str) else None,
        rate_hz=_integer(form.get(names.rate)),
        channels=_integer(form.get("channels")),
        parameters=tuple(_written(start.get(names.parameters) or content.get(names.parameters), names.parameters)),
        facts=tuple(flat({name: value for name, value in start.items() if name not in apart})),
    )


def _written(given: object, name: str) -> Iterator[tuple[str, str]]:
    """Give the parameters: an object, or one in a text, or `a=1;b=2` (Plivo); any other text is kept as it is."""
    content = read_object(given) if isinstance(given, str) else given
    if isinstance(content, dict):
        yield from flat(content)
    elif isinstance(given, str) and given:
        parts = [part.partition("=") for part in _SEPARATOR.split(given)]
        pairs = [(before.strip(), after.strip()) for before, _, after in parts]
        yield from pairs if all(mark and before.strip() for before, mark, _ in parts) else [(name, given)]


def _integer(given: object) -> int | None:
    """Read a whole number, or None where there is none."""
    try:
        return msgspec.convert(given, int, strict=False)
    except msgspec.ValidationError:
        return None
