"""The messages of one media stream, counted and put into the order in which they are sent. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from gateway.callers.media_stream_messages import spelling
from gateway.callers.media_stream_plan import End, Media, Shape, chance

if TYPE_CHECKING:
    from gateway.callers.media_stream_messages import Fields
    from gateway.callers.media_stream_names import Stream
    from gateway.callers.media_stream_plan import Key, StreamPlan


class Message(msgspec.Struct, frozen=True):
    """One text, and how much audio is in it."""

    text: str
    audio_bytes: int = 0


class Writer:
    """Counts every message of a stream, each track's packets apart, and says what is to be sent when one is due.

    Whether both tracks have one count of packets (`chunk`) Twilio does not say; Plivo says that they do not.
    """

    def __init__(self, stream: Stream, plan: StreamPlan) -> None:
        self._plan = plan
        self._spelling = spelling(stream, plan)
        self._next = self._spelling.first_number
        self._chunks: Counter[str] = Counter()
        self._reordering = chance(plan, "order")
        self._held: dict[str, Message] = {}
        """The packet of a track that has to wait until the next one has gone."""

    def open(self) -> list[Message]:
        """Say what a stream begins with."""
        connected = self._spelling.connected()
        start = self._spelling.start(self._number())
        return [_message(fields) for fields in (connected, start) if fields is not None]

    def write(self, what: Media | Key) -> list[Message]:
        """Take a packet or a key."""
        if not isinstance(what, Media):
            return [_message(self._spelling.key(self._number(), what))]
        message = self._packet(what)
        return [] if what.lost else self._ordered(what.track, message)

    def close(self) -> list[Message]:
        """Say what a stream ends with."""
        if self._plan.end is End.BREAK:
            return []
        stop = [_message(self._spelling.stop(self._number()))] if self._plan.end is End.STOP else []
        return [*self._held.values(), *stop]

    def _number(self) -> int:
        number = self._next
        self._next += 1
        return number

    def _packet(self, media: Media) -> Message:
        self._chunks[media.track] += 1
        fields = self._spelling.media(self._number(), self._chunks[media.track], media)
        if self._plan.shape is Shape.NO_TIMESTAMPS:
            del fields["media"]["timestamp"]
        return _message(fields, len(media.payload))

    def _ordered(self, track: str, message: Message) -> list[Message]:
        if track in self._held:
            return [message, self._held.pop(track)]
        if self._reordering.random() < self._plan.reorder:
            self._held[track] = message
            return []
        return [message]


def _message(fields: Fields, audio_bytes: int = 0) -> Message:
    return Message(msgspec.json.encode(fields).decode(), audio_bytes)
