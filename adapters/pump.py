"""One connection, one stream, exactly one end: what every adapter's connection does between bytes and sink."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Generic

import msgspec
import structlog

from adapters.allowance import Allowance
from adapters.rate import RateCheck, RateVerdict
from adapters.stream import (
    AudioFrame,
    Data,
    Hearing,
    Refusal,
    Remark,
    StreamEnd,
    StreamEnded,
    StreamMessage,
    StreamOffer,
    StreamStarted,
    TrackStarted,
    WireError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from adapters.complaints import Complaints
    from adapters.stream import Host, Listener, Peer, RefusalReason, StreamEvent, StreamSink, Wire

log = structlog.get_logger()

AHEAD_SECONDS = 60.0
"""Audio further ahead of the clock than this is no telephone call's; it is read, for a socket must always be drained,
and dropped."""

FRAMES_PER_SECOND, FRAMES_AT_ONCE = 1_000.0, 20_000.0
"""More events than this are a flood. Asterisk sends 100 a second at most, and after a stall of minutes all at once."""

MESSAGES_PER_SECOND, MESSAGES_AT_ONCE = 20.0, 200.0
"""The same for events that are no audio: people press some ten keys a second. A text counts once more for each
kilobyte of it."""

TEXT_UNIT = 1024

LAST_WORDS_SECONDS, LATEST_WORDS_SECONDS = 3.0, 60.0
"""A stream that was told to be over ends when nothing has come for so long; at the latest, after so long."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long a connection may be silent."""

    handshake_seconds: float
    idle_seconds: float | None


class Pump(Generic[Data]):
    """Feeds what one connection brings through its wire into the sink the host gave, and ends the stream once.

    Nothing a peer does raises out of here, and after the end everything is ignored. `advice` is what to tell the
    operator, once, when audio does not come at the rate it is labelled with. `complaints` are those of all peers of the
    listener that came no further than its door.
    """

    def __init__(
        self,
        wire: Wire[Data],
        *,
        listener: Listener,
        address: str,
        limits: Limits,
        host: Host,
        peer: Peer,
        clock: Callable[[], float],
        complaints: Complaints,
        advice: Mapping[RateVerdict, str] = MappingProxyType({}),
    ) -> None:
        self._wire = wire
        self._advice = advice
        self._rate = RateCheck()
        self._listener = listener
        self._address = address
        self._limits = limits
        self._host = host
        self._peer = peer
        self._clock = clock
        self._complaints = complaints
        self._sink: StreamSink | None = None
        self._outcome: StreamEnded | RefusalReason | None = None
        self.started: StreamStarted | None = None
        """What the stream is, once that is told."""
        self._opened_at = self._last_arrival = clock()
        self._told_over_at: float | None = None
        """When it was told by another way that the stream is over."""
        self._surely_over = False
        self._audio_seconds = 0.0
        self._tracks = 0
        self._too_fast = False
        self._frames = Allowance(FRAMES_PER_SECOND, FRAMES_AT_ONCE, self._opened_at)
        self._messages = Allowance(MESSAGES_PER_SECOND, MESSAGES_AT_ONCE, self._opened_at)
        self._log = log.bind(listener=listener.name, peer=address)

    @property
    def waiting(self) -> bool:
        """Whether the peer has yet to introduce itself."""
        return self._sink is None and self._outcome is None

    @property
    def outcome(self) -> StreamEnded | RefusalReason | None:
        """How the stream ended, or why it was refused; None as long as neither."""
        return self._outcome

    def receive(self, data: Data) -> None:
        """Take what arrived just now."""
        if self._outcome is not None:
            return
        self._last_arrival = self._clock()
        try:
            self._take_all(data)
        except WireError as error:
            self.end(StreamEnd.PROTOCOL_ERROR, str(error))
        except Exception:  # noqa: BLE001  one call's fault, ours, must not take the listener down with it
            self._log.exception("stream failed")
            self.end(StreamEnd.ERROR, "internal error")

    def end(self, reason: StreamEnd, error: str | None = None) -> None:
        """End the stream; only the first call of all says why."""
        self._end(StreamEnded(reason, error))

    def end_soon(self, *, surely: bool) -> None:
        """End the stream once nothing more comes: it is over, as was told by another way.

        What comes late is still heard, for a minute. Where it is not sure that it is over, it goes on if its peer does.
        """
        if self._told_over_at is None or (surely and not self._surely_over):
            self._told_over_at = self._clock()
        self._surely_over |= surely

    def tick(self, now: float) -> None:
        """Hold the connection to its limits; to be called every 100 ms or so."""
        if self._told_over_at is not None and now - self._told_over_at >= LAST_WORDS_SECONDS:
            self._end_if_over(self._told_over_at, now)
        if self.waiting:
            if now - self._opened_at > self._limits.handshake_seconds:
                self.end(StreamEnd.IDLE, "the peer did not introduce itself in time")
        elif self._limits.idle_seconds is not None and now - self._last_arrival > self._limits.idle_seconds:
            self._end(StreamEnded(StreamEnd.IDLE, stays=self._peer.hearing is not Hearing.NOTHING))

    def _end_if_over(self, told_at: float, now: float) -> None:
        too_late = now - told_at >= (LATEST_WORDS_SECONDS if self._surely_over else 2 * LAST_WORDS_SECONDS)
        quiet = now - self._last_arrival >= LAST_WORDS_SECONDS
        if quiet or (too_late and self._surely_over):
            self._log.info("stream ended as its carrier has told", quiet=quiet)
            self.end(StreamEnd.HANGUP)
        elif too_late:
            self._told_over_at = None

    def _end(self, ended: StreamEnded) -> None:
        if self._outcome is not None:
            return
        self._outcome = ended
        if ended.error and self._sink is not None:
            self._log.warning("stream ended by an error", reason=ended.reason, error=ended.error)
        elif ended.error:
            self._complain("client turned away", reason=ended.reason, error=ended.error)
        stays = ended.stays and self._sink is not None
        try:
            if self._sink is not None:
                self._sink.handle(ended, self._clock())
        except Exception:  # noqa: BLE001  ours, not the peer's; the connection must end all the same
            self._log.exception("stream did not end well")
            stays = False
        if not stays:
            self._peer.close()

    def _complain(self, event: str, **about: object) -> None:
        """Tell the log of a peer that came to nothing, though not of each in a crowd."""
        untold = self._complaints.take(self._clock())
        if untold is not None:
            self._log.warning(event, **about, others=untold)

    def _take_all(self, data: Data) -> None:
        broken: WireError | None = None
        try:
            events: Sequence[StreamEvent] = self._wire.receive_data(data)
        except WireError as error:
            events, broken = error.events, error
        for event in events:
            self._take(event, self._last_arrival)
        if broken:
            raise broken

    def _take(self, event: StreamEvent, now: float) -> None:
        if self._outcome is not None:
            return
        if not self._frames.take(now):
            raise WireError("too many frames")
        match event:
            case AudioFrame():
                self._take_audio(event, now)
            case StreamStarted():
                self._start(event, now)
            case TrackStarted():
                self._begin_track(event, now)
            case StreamEnded(overtakes=True):
                self.end_soon(surely=True)
            case StreamEnded():
                self._end(event)
            case Remark(text):
                self._log.warning(text)
            case _:
                self._take_message(event, now)

    def _take_audio(self, frame: AudioFrame, now: float) -> None:
        assert self._sink is not None, "a wire speaks of a stream only once it has started"  # noqa: S101
        seconds = frame.format.seconds(frame.payload) / self._tracks
        # Clocks differ by far less than 1 %.
        if self._audio_seconds + seconds > AHEAD_SECONDS + (now - self._opened_at) * 1.01:
            self._warn_of_speed()
            return
        self._audio_seconds += seconds
        verdict = self._rate.push(seconds, now)
        if verdict is not None and verdict in self._advice:
            self._log.error(self._advice[verdict], track=frame.track, format=str(frame.format))
        self._sink.handle(frame, now)

    def _begin_track(self, started: TrackStarted, now: float) -> None:
        assert self._sink is not None  # noqa: S101  as above
        self._tracks += 1
        self._sink.handle(started, now)

    def _warn_of_speed(self) -> None:
        if not self._too_fast:
            self._too_fast = True
            self._log.error("audio comes faster than anybody can speak; the excess is dropped")

    def _take_message(self, event: StreamEvent, now: float) -> None:
        kilobytes = len(event.text) / TEXT_UNIT if isinstance(event, StreamMessage) else 0.0
        if not self._messages.take(now, 1.0 + kilobytes):
            raise WireError("too many messages")
        if self._sink is not None:
            self._sink.handle(event, now)

    def _start(self, started: StreamStarted, now: float) -> None:
        offer = StreamOffer(listener=self._listener, address=self._address, started=started)
        try:
            sink = self._host.admit(offer, self._peer, now)
        except Refusal as refusal:
            self._outcome = refusal.reason
            self._complain("stream refused", reason=refusal.reason, stream_id=started.stream_id)
            self._peer.close()
            return
        self._sink = sink
        self.started = started
        self._log = self._log.bind(**sink.log_context)
        self._tracks = len(started.tracks)
        for remark in started.remarks:
            self._log.warning(remark)
        sink.handle(started, now)
