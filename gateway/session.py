"""One call: its streams, what they find, what is told to it from outside, and its one end.

What streams find in the descent of a frame, where nothing may wait or raise, goes through the publisher's queue.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import structlog

from adapters.media.stamped import StampClock
from adapters.stream import Hearing, StreamEnd, StreamEnded, TrackRole
from gateway.delivery.recipients import choose, secret_parameters
from gateway.joining import source_of
from gateway.publishing import Digit, Farewell, Message, Over, Paused, Publisher, Resumed
from gateway.record import CallRecord
from gateway.streams import CallStream
from gateway.tracks import CallTrack
from gateway.transcript import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from adapters.stream import Peer, StreamOffer, Track
    from gateway.events import Source
    from gateway.means import Means
    from gateway.publishing import Found
    from gateway.routes import CallSettings
    from gateway.tracks import Glimpse
    from gateway.transcript import Spoken

log = structlog.get_logger()

MOST_PARAMETERS = 256
"""Streams that join a call add no more to its parameters than about so many."""


class CallSession:
    """One call, of one stream or several. `run` must be awaited by the session's owner.

    It is made for its first stream, `offer`, which is then to `join` like every other.
    """

    def __init__(
        self, call_id: str, offer: StreamOffer, settings: CallSettings, means: Means, arrived_at: float
    ) -> None:
        self.call_id = call_id
        self.external_call_id = offer.started.external_call_id
        self.settings = settings
        self.paused = False
        self.streams: dict[CallStream, None] = {}
        """Those that have not ended, in the order in which they came."""
        self.tracks: dict[str, CallTrack] = {}
        self._staying: dict[CallStream, None] = {}
        """Streams that have ended, and whose peers stay to be told what was said."""
        self._means = means
        self._clock = Clock(zero=arrived_at, wall_zero=means.wall())
        endpoints = means.settings.delivery.endpoints
        self._secret = secret_parameters(endpoints)
        self._parameters = self._first_parameters = self._public(offer.started.parameters)
        recipients, problems = choose(endpoints, settings.endpoints, offer.started.parameters)
        source = source_of(offer)
        self._log = log.bind(call_id=call_id, listener=source.listener, external_call_id=source.call_id)
        self._record = CallRecord(call_id, source, recipients=recipients, clock=self._clock, means=means, log=self._log)
        if problems:
            self._log.warning("the call's events are not sent where it asks", problems=problems)
        self._log.info("call started", kind=source.kind, route=settings.route)
        self._publisher = Publisher(call_id, self._record, means, self._answered)
        self._quiet_since = arrived_at
        """When the last stream ended."""
        self._reason = StreamEnd.HANGUP
        self._error: str | None = None
        self._closed = False
        self._over = False

    # Streams.

    @property
    def open(self) -> bool:
        """Whether another stream may join."""
        return not self._closed

    @property
    def started_wall(self) -> float:
        """When the call began, in seconds since the epoch."""
        return self._clock.wall_zero

    @property
    def account(self) -> str | None:
        """Who vouched for the call's first stream, and for all that joined it."""
        return self._record.source.account_id

    def goes_by(self, name: str) -> bool:
        """Tell whether the peer calls this call, or one of its streams, by a name."""
        return name == self.external_call_id or any(track.source.stream_id == name for track in self.tracks.values())

    def join(self, offer: StreamOffer, peer: Peer, settings: CallSettings, arrived_at: float) -> CallStream:
        """Take in one more stream."""
        source = source_of(offer)
        if len(self._parameters) < MOST_PARAMETERS:
            self._parameters = self._public(offer.started.parameters) | self._parameters
        place = partial(self._place, source, peer, settings, StampClock())
        stream = CallStream(self, source, peer, place)
        for track in offer.started.tracks:
            stream.add(track, arrived_at)
        self.streams[stream] = None
        self._log.info(
            "stream started", stream_id=source.stream_id, peer=offer.address, tracks=[str(name) for name in self.tracks]
        )
        return stream

    def _place(
        self, source: Source, peer: Peer, settings: CallSettings, stamps: StampClock, track: Track, arrived_at: float
    ) -> CallTrack:
        """Give a track its name in the call, and tell whether its speaker is carried already."""
        label = settings.labels.get(track.role, track.label)
        speaker = (track.role, label)
        duplicate = any(other.live and _speaker(other.track) == speaker for other in self.tracks.values())
        # What the wire calls by a role is called by the role it was announced with.
        name = self._free_name(track.role if track.id in set(TrackRole) else track.id)
        placed = msgspec.structs.replace(track, id=name, label=label)
        interims = self._record.wants_interims or peer.hearing is Hearing.INTERIMS
        if duplicate:
            self._log.warning(
                "another stream carries this speaker already: give each a role or a label of its own, and each call"
                " its own UUID",
                track=placed.id,
                decoded=self._means.settings.calls.decode_duplicates,
            )
        self.tracks[placed.id] = added = CallTrack(
            placed,
            call_id=self.call_id,
            source=source,
            peer=peer,
            settings=settings,
            zero=arrived_at,
            offset_ms=self._clock.ms(arrived_at),
            duplicate=duplicate,
            decoded=self._means.settings.calls.decode_duplicates or not duplicate,
            interims=self._means.settings.interims if interims else None,
            level=lambda: self._means.decoder.level,
            stamps=stamps,
        )
        return added

    def _hear_instead_of(self, gone: CallTrack) -> None:
        """Decode from here on the first of the duplicates of a track whose stream has ended."""
        for track in self.tracks.values():
            if track.live and not track.decoded and _speaker(track.track) == _speaker(gone.track):
                track.decoded = True
                self._log.info("duplicate decoded from here on", track=track.track.id)
                return

    def _free_name(self, name: str) -> str:
        names = (name, *(f"{name}-{number}" for number in range(2, len(self.tracks) + 3)))
        return next(each for each in names if each not in self.tracks)

    def stream_ended(self, stream: CallStream, ended: StreamEnded, now: float) -> None:
        """Note that nothing more will come of a stream; the last one's reason is the call's."""
        self.streams.pop(stream, None)
        self._quiet_since = now
        for track in stream.tracks.values():
            if track.decoded:
                self._hear_instead_of(track)
        if not self._closed:
            self._reason, self._error = ended.reason, ended.error
        if ended.stays:
            self._staying[stream] = None
            self._find(Farewell(stream))

    # What is told from outside; like all that streams find, it neither waits nor raises.

    def tick(self, now: float) -> None:
        """Let time pass: to be called every 100 ms."""
        for stream in tuple(self.streams):
            stream.tick(now)
        if not self.streams and now - self._quiet_since >= self._means.settings.calls.linger_seconds:
            self._be_over()

    def pause(self, reason: str | None, now: float) -> None:
        """Hear nothing from now on: audio and keys are neither decoded nor kept."""
        if self.paused or self._closed:
            return
        streams = tuple(self.streams)
        for stream in streams:
            self._guarded(partial(stream.flush, end_of_turn=False))
        self.paused = True  # whatever became of that
        self._find(Paused(reason, self._clock.ms(now)))

    def resume(self, now: float) -> None:
        """Hear again."""
        if self.paused and not self._closed:
            self.paused = False
            for stream in self.streams:
                stream.resume(now)
            self._find(Resumed(self._clock.ms(now)))

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception:  # noqa: BLE001  ours: what is asked of the call must be done all the same
            self._log.exception("call failed")

    def end(self, reason: StreamEnd, finish_seconds: float | None = None) -> None:
        """End the call from our side: nothing more is heard, and what was heard is finished in time."""
        if finish_seconds is not None:
            asyncio.get_running_loop().call_later(finish_seconds, self._publisher.give_up)
        self._close(StreamEnded(reason))
        self._be_over()

    def _close(self, ended: StreamEnded) -> None:
        """End every stream, and let none join."""
        if self.streams:
            self._reason, self._error = ended.reason, ended.error
        self._closed = True
        for stream in tuple(self.streams):
            self._end_stream(stream, ended)

    def _end_stream(self, stream: CallStream, ended: StreamEnded) -> None:
        stays = stream.peer.hearing is not Hearing.NOTHING
        stream.end(msgspec.structs.replace(ended, stays=stays), self._means.clock())
        if not stays:
            stream.close()

    def _answered(self, spoken: Spoken) -> None:
        """End the stream that has brought the answer it was there for, and those that only repeat its speaker.

        Not while the call is paused: somebody wants nothing of it to be heard, and its end would end that.
        """
        if self.paused:
            return
        for stream in [each for each in self.streams if each.carries(spoken.track.id) or each.repeats(spoken.track)]:
            if not stream.ended:
                self._log.info("stream ended after an answer", track=spoken.track.id)
                self._end_stream(stream, StreamEnded(StreamEnd.STOPPED))

    def _be_over(self) -> None:
        self._closed = True
        if not self._over:
            self._over = True
            self._find(Over())

    # What streams find.

    def find_track(self, track: CallTrack) -> None:
        """Note that a track's audio begins."""
        self._find(track)

    def find_spoken(self, spoken: Iterable[Spoken | Glimpse]) -> None:
        """Note that utterances have ended, or what is worth doing about open ones."""
        for each in spoken:
            self._find(each)

    def find_digit(self, track: CallTrack, digit: str, arrived_at: float) -> None:
        """Note that a key was pressed."""
        self._find(Digit(track, digit, self._clock.ms(arrived_at)))

    def find_message(self, source: Source, text: str, arrived_at: float) -> None:
        """Note that the peer of a stream sent text."""
        self._find(Message(source, text, self._clock.ms(arrived_at)))

    def _find(self, found: Found) -> None:
        if not self._publisher.put(found) and not self._closed:
            self._log.error("call found more than can be published; ending it")
            self._close(StreamEnded(StreamEnd.LIMIT, "more events than can be stored"))

    def _public(self, parameters: Mapping[str, str]) -> dict[str, str]:
        """Leave out the parameters that hold URLs of receivers: whoever knows one may be let in by it."""
        return {name: value for name, value in parameters.items() if name not in self._secret}

    # The rest of the way.

    async def run(self) -> None:
        """Publish the call from its first event to its last; return when `call.ended` is committed."""
        try:
            self._means.observer.call_started(self.call_id, self._record.source, self.settings.route)
            await self._record.started(self._first_parameters)
            await self._publisher.run()
        except Exception:  # noqa: BLE001  one call's fault, ours: the others go on, and this one has its end
            self._log.exception("call failed")
            self._close(StreamEnded(StreamEnd.ERROR))
            self._reason, self._error = StreamEnd.ERROR, "internal error"
            await self._publisher.fail()
        finally:
            for stream in self._staying:
                stream.close()  # whatever became of the transcripts
        self._means.observer.call_ended(self.call_id, self._reason)
        await self._record.ended(
            self._reason, self._error, self._quiet_since, parameters=self._parameters, tracks=self.tracks
        )


def _speaker(track: Track) -> tuple[TrackRole, str | None]:
    """Tell who speaks on a track, as far as anybody said."""
    return track.role, track.label
