"""One stream of a call: the sink of its events, between the adapter's pump and the call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import structlog

from adapters.stream import (
    AudioFrame,
    DigitPressed,
    Flush,
    StreamEnd,
    StreamEnded,
    StreamMessage,
    StreamStarted,
    TrackStarted,
)
from gateway.resuming import Resuming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from adapters.stream import Peer, StreamEvent, Track
    from gateway.events import Source
    from gateway.tracks import CallTrack, Glimpse
    from gateway.transcript import Spoken

log = structlog.get_logger()


class Call(Protocol):
    """What a stream needs of its call. Nothing here waits."""

    call_id: str
    paused: bool

    def find_track(self, track: CallTrack) -> None:
        """Note that a track's audio begins."""
        ...

    def find_spoken(self, spoken: Iterable[Spoken | Glimpse]) -> None:
        """Note that utterances have ended, or what is worth doing about open ones."""
        ...

    def find_digit(self, track: CallTrack, digit: str, arrived_at: float) -> None:
        """Note that a key was pressed."""
        ...

    def find_message(self, source: Source, text: str, arrived_at: float) -> None:
        """Note that the peer of a stream sent text."""
        ...

    def stream_ended(self, stream: CallStream, ended: StreamEnded, now: float) -> None:
        """Note that nothing more will come of a stream; told once."""
        ...


class CallStream:
    """One stream of a call. `place` gives a track its place in the call.

    While the call is paused, audio, keys and text are dropped here, and time passes as silence.
    """

    def __init__(self, call: Call, source: Source, peer: Peer, place: Callable[[Track, float], CallTrack]) -> None:
        self.source = source
        self.peer = peer
        self.tracks: dict[str, CallTrack] = {}
        """By the names that the wire gives them."""
        self._place = place
        self.ended = False
        self.log_context = {"call_id": call.call_id}
        self._call = call
        self._resuming: Resuming | None = None
        self._log = log.bind(call_id=call.call_id, listener=source.listener, external_call_id=source.call_id)

    def add(self, track: Track, arrived_at: float) -> CallTrack:
        """Take in a track."""
        placed = self.tracks[track.id] = self._place(track, arrived_at)
        return placed

    def carries(self, track_id: str) -> bool:
        """Tell whether a track, by its name in the call, is this stream's."""
        return any(track.track.id == track_id for track in self.tracks.values())

    def repeats(self, speaker: Track) -> bool:
        """Tell whether this stream waits for an answer of a speaker, too, whom another one carries."""
        return any(
            not track.decoded
            and track.settings.speech.endpointing == "auto_end"
            and (track.track.role, track.track.label) == (speaker.role, speaker.label)
            for track in self.tracks.values()
        )

    def handle(self, event: StreamEvent, arrived_at: float) -> None:
        """Take the next event; after the stream's end, of whichever side, nothing counts."""
        if self.ended:
            return
        match event:
            case AudioFrame():
                self._hear(event, arrived_at)
            case StreamStarted() | TrackStarted():
                self._begin(event, arrived_at)
            case DigitPressed():
                self._press(event, arrived_at)
            case Flush():
                self.flush()
            case StreamEnded():
                self.end(event, arrived_at)
            case StreamMessage(text):
                if not self._call.paused:
                    self._call.find_message(self.source, text, arrived_at)

    def tick(self, now: float) -> None:
        """Let time pass: to be called every 100 ms."""
        if self._resuming is not None:
            if not self._resuming.is_over(now):
                return
            self._resume()
        for track in self.tracks.values():
            self._call.find_spoken(track.tick(now))

    def flush(self, *, end_of_turn: bool = True) -> None:
        """Give what was said so far; whether that was all that was to be said, whoever asks for it knows."""
        self._resume()
        for track in self.tracks.values():
            self._call.find_spoken(track.finish(end_of_turn=end_of_turn))

    def resume(self, now: float) -> None:
        """Hear again, after a pause."""
        self._resuming = Resuming(now)

    def end(self, ended: StreamEnded, now: float) -> None:
        """End the stream, once; what is still open is given to the call."""
        if self.ended:
            return
        self.ended = True
        for track in self.tracks.values():
            track.live = False
        self._tell_of_late_audio()
        try:
            self.flush()
        except Exception:  # noqa: BLE001  ours: the call must have its end all the same
            self._log.exception("stream did not end well")
            ended = StreamEnded(StreamEnd.ERROR, "internal error")
        self._call.stream_ended(self, ended, now)

    def _tell_of_late_audio(self) -> None:
        late_ms = {track.track.id: track.media.late_ms for track in self.tracks.values() if track.media.late_ms}
        if late_ms:
            self._log.warning("audio came after what follows it was heard, and is left out", late_ms=late_ms)

    def close(self) -> None:
        """Close the connection in its protocol's own way. Never raises."""
        try:
            self.peer.close()
        except Exception:  # noqa: BLE001  ours: the others are to be closed, too
            self._log.exception("connection did not close")

    def _begin(self, event: StreamStarted | TrackStarted, arrived_at: float) -> None:
        started = [self.add(event.track, arrived_at)] if isinstance(event, TrackStarted) else self.tracks.values()
        for track in started:
            self._call.find_track(track)

    def _hear(self, frame: AudioFrame, arrived_at: float) -> None:
        if self._call.paused:
            return
        if self._resuming is not None:
            self._resuming.hold(frame, arrived_at)
            return
        track = self.tracks[frame.track]
        first = track.media.format is None
        self._call.find_spoken(track.push(frame, arrived_at))
        if first:
            self._log.info("track heard", track=track.track.id, chain=f"{self.source.kind} {track}")

    def _resume(self) -> None:
        """Hear what was held back since the end of a pause."""
        resuming, self._resuming = self._resuming, None
        if resuming is None or self._call.paused:
            return
        for track in self.tracks.values():
            self._call.find_spoken(track.reach(resuming.since))
        for frame, arrived_at in resuming.frames:
            self._hear(frame, arrived_at)

    def _press(self, pressed: DigitPressed, arrived_at: float) -> None:
        track = self.tracks[pressed.track]
        if not self._call.paused and track.decoded:
            self._call.find_digit(track, pressed.digit, arrived_at)
