"""A WebSocket that may begin with one JSON text, and then carries 16-bit PCM: mod_audio_fork's, and its descendants'.

The samples are little-endian; of two channels they alternate. Neither rate nor channels stand on the wire: `Opening`
says them. An empty binary message is the peer's way to ask for what is left: it stays until it is closed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from adapters.stream import (
    DIGITS,
    AudioFormat,
    AudioFrame,
    DigitPressed,
    Remark,
    StreamEnd,
    StreamEnded,
    StreamMessage,
    StreamStarted,
)
from adapters.wire.alike import Alike

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from adapters.stream import StreamEvent

LONGEST_MESSAGE = 16_384
"""Characters of a text in mid-call that are kept; nobody's is nearly as long."""

SAME_SOUND = (
    "both channels carry the same sound, so that each word comes twice: is it one channel that was said to be two?"
    " Say channels=1, and the rate that is sent"
)


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a stream once its first message is there. Of two tracks the first is the left channel."""

    started: StreamStarted
    format: AudioFormat


class PreamblePcmWire:
    """One connection. `introduce` is given its first message where that is text, else None; it may raise WireError.

    `digit_in` finds the key that a later text tells of, on the first track; any other text is a message.
    """

    def __init__(
        self, introduce: Callable[[str | None], Opening], digit_in: Callable[[str], str | None] = lambda _text: None
    ) -> None:
        self._introduce = introduce
        self._digit_in = digit_in
        self._opening: Opening | None = None
        self._alike: Alike | None = None
        """What looks at two channels, until it knows."""
        self._rest = b""
        """Part of a sample, or of a pair of them."""

    def receive_data(self, data: str | bytes) -> list[StreamEvent]:
        """Take one message. Raises WireError where its introduction cannot be used."""
        if self._opening is None:
            return self._begin(data)
        if isinstance(data, str):
            return [self._read(data, self._opening)] if data else []
        return self._meaning(data, self._opening)

    def _read(self, text: str, opening: Opening) -> StreamEvent:
        digit = self._digit_in(text)
        if digit is not None and digit in DIGITS:
            return DigitPressed(opening.started.tracks[0].id, digit)
        return StreamMessage(text[:LONGEST_MESSAGE])

    def _begin(self, data: str | bytes) -> list[StreamEvent]:
        self._opening = opening = self._introduce(data if isinstance(data, str) else None)
        if len(opening.started.tracks) > 1:
            self._alike = Alike(opening.format.rate_hz)
        return [opening.started, *(() if isinstance(data, str) else self._meaning(data, opening))]

    def _meaning(self, data: bytes, opening: Opening) -> list[StreamEvent]:
        if not data:
            return [StreamEnded(StreamEnd.STOPPED, stays=True)]
        tracks, form = opening.started.tracks, opening.format
        samples = self._whole(data, 2 * len(tracks))
        if len(tracks) == 1:
            return [AudioFrame(tracks[0].id, form, samples)] if samples else []
        pairs = np.frombuffer(samples, "<i2")
        events: list[StreamEvent] = [
            AudioFrame(track.id, form, pairs[channel::2].tobytes()) for channel, track in enumerate(tracks) if samples
        ]
        if self._alike is not None:
            events += self._compare(self._alike, pairs)
        return events

    def _compare(self, alike: Alike, pairs: NDArray[np.int16]) -> list[StreamEvent]:
        same = alike.push(pairs)
        self._alike = None if alike.decided else alike
        return [Remark(SAME_SOUND)] if same else []

    def _whole(self, data: bytes, size: int) -> bytes:
        """Keep what is no whole sample yet for the next message; nearly always there is nothing to keep."""
        if not self._rest and len(data) % size == 0:
            return data
        data = self._rest + data
        whole = len(data) // size * size
        self._rest = data[whole:]
        return data[:whole]
