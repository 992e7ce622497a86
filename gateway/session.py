"""One call, top to bottom: streams in, utterances to the models, events out, and one end.

`handle` and `tick` run in the descent of a frame: they neither wait nor raise. What they find goes through
the call's queue to `run`, which decodes and publishes in order.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import structlog

from adapters.stream import AudioFrame, DigitPressed, Flush, StreamEnd, StreamEnded, StreamStarted
from asr.types import DecodeKind, DecodeOptions, DecodeRequest, ModelError, ModelErrorCode
from gateway.events import Source
from gateway.record import CallRecord
from gateway.tracks import CallTrack
from gateway.transcript import Clock, Spoken

if TYPE_CHECKING:
    from collections.abc import Iterable

    from adapters.stream import Peer, StreamEvent, StreamOffer
    from asr.types import Hypothesis
    from gateway.record import Means

log = structlog.get_logger()

FOUND_LIMIT = 1000
"""What a call may find faster than it is published. One that reaches it is no telephone's, and ends; what it has
said until then is still decoded."""


class _Digit(msgspec.Struct, frozen=True):
    track: CallTrack
    digit: str
    at_ms: int


class _Over(msgspec.Struct, frozen=True):
    """Nothing more will be heard."""


_Found = Spoken | _Digit | CallTrack | _Over
_Decoding = tuple[Spoken, "asyncio.Future[Hypothesis]"]


class CallSession:
    """One call; also the sink of its stream. `run` must be awaited by the session's owner."""

    def __init__(self, call_id: str, offer: StreamOffer, peer: Peer, means: Means, arrived_at: float) -> None:
        self.call_id = call_id
        self.log_context = {"call_id": call_id}
        self._means = means
        self._peer = peer
        self._clock = Clock(zero=arrived_at, wall_zero=means.wall())
        self._source = Source(
            kind=offer.listener.kind,
            listener=offer.listener.name,
            call_id=offer.started.external_call_id,
            stream_id=offer.started.stream_id,
        )
        self._log = log.bind(call_id=call_id, listener=offer.listener.name, external_call_id=self._source.call_id)
        self._record = CallRecord(
            call_id, self._source, offer.started.parameters, clock=self._clock, means=means, log=self._log
        )
        self._log.info("call started", kind=offer.listener.kind, peer=offer.address)
        self._tracks: dict[str, CallTrack] = {}
        self._found: asyncio.Queue[_Found] = asyncio.Queue()  # bounded by _find
        self._decoding: asyncio.Queue[_Decoding | None] = asyncio.Queue(FOUND_LIMIT)
        self._unpublished: dict[str, Spoken] = {}
        """What was said and has neither a final nor a failure yet, by utterance."""
        self._stream_ended_at: float | None = None
        self._reason = StreamEnd.HANGUP
        self._error: str | None = None
        self._over = False

    # The descent of a frame.

    def handle(self, event: StreamEvent, arrived_at: float) -> None:
        """Take the next event of the stream; after its end, of whichever side, nothing counts."""
        if self._stream_ended_at is not None:
            return
        match event:
            case AudioFrame():
                self._hear(event, arrived_at)
            case StreamStarted():
                self._start(event, arrived_at)
            case DigitPressed():
                track = self._tracks[event.track]
                self._find(_Digit(track, event.digit, self._clock.ms(arrived_at)))
            case Flush():
                self._flush()
            case StreamEnded():
                self._end_stream(event, arrived_at)
            case _:  # text in mid-call: no wire that is spoken yet carries any
                self._log.debug("message ignored")

    def tick(self, now: float) -> None:
        """Let time pass: to be called every 100 ms."""
        if self._stream_ended_at is None:
            for track in self._tracks.values():
                self._find_all(track.tick(now))
        elif now - self._stream_ended_at >= self._means.settings.calls.linger_seconds:
            self._be_over()

    def end(self, reason: StreamEnd, finish_seconds: float | None = None) -> None:
        """End the call from our side: nothing more is heard, and what was heard is finished in time."""
        if finish_seconds is not None:
            asyncio.get_running_loop().call_later(finish_seconds, self._give_up)
        self._end_stream(StreamEnded(reason), self._means.clock())
        self._peer.close()
        self._be_over()

    def _start(self, started: StreamStarted, arrived_at: float) -> None:
        for track in started.tracks:
            call_track = CallTrack(
                track,
                call_id=self.call_id,
                zero=arrived_at,
                offset_ms=self._clock.ms(arrived_at),
                speech=self._means.settings.speech,
            )
            self._tracks[track.id] = call_track
            self._find(call_track)

    def _hear(self, frame: AudioFrame, arrived_at: float) -> None:
        track = self._tracks[frame.track]
        first = track.media.format is None
        self._find_all(track.push(frame, arrived_at))
        if first:
            self._log.info("track heard", track=track.track.id, chain=f"{self._source.kind} {track}")

    def _find_all(self, found: Iterable[Spoken]) -> None:
        for spoken in found:
            self._unpublished[spoken.utterance_id] = spoken
            self._find(spoken)

    def _find(self, found: _Found) -> None:
        if self._found.qsize() < FOUND_LIMIT or not isinstance(found, _Digit):
            self._found.put_nowait(found)
        if self._found.qsize() >= FOUND_LIMIT and self._stream_ended_at is None:
            self._log.error("call found more than can be published; ending it")
            self._end_stream(StreamEnded(StreamEnd.LIMIT, "more events than can be stored"), self._means.clock())
            self._peer.close()

    def _flush(self) -> None:
        for track in self._tracks.values():
            self._find_all(track.finish())

    def _end_stream(self, ended: StreamEnded, now: float) -> None:
        if self._stream_ended_at is not None:
            return
        self._stream_ended_at = now
        self._reason, self._error = ended.reason, ended.error
        try:
            self._flush()
        except Exception:  # noqa: BLE001  ours: the call must have its end all the same
            self._log.exception("call did not end well")
            self._reason, self._error = StreamEnd.ERROR, "internal error"

    def _be_over(self) -> None:
        if not self._over:
            self._over = True
            self._find(_Over())

    # The rest of the way.

    async def run(self) -> None:
        """Publish the call from its first event to its last; return when `call.ended` is committed."""
        try:
            await self._record.started()
            await self._converse()
        except Exception:  # noqa: BLE001  one call's fault, ours: the others go on, and this one has its end
            self._log.exception("call failed")
            await self._fail()
        ended_at = self._means.clock() if self._stream_ended_at is None else self._stream_ended_at
        await self._record.ended(self._reason, self._error, ended_at, self._tracks)

    async def _converse(self) -> None:
        async with asyncio.TaskGroup() as group:
            transcripts = group.create_task(self._publish_transcripts())
            await self._publish_found()
            await self._decoding.put(None)
            _, late = await asyncio.wait({transcripts}, timeout=self._means.settings.calls.finish_seconds)
            if late:
                self._give_up()

    async def _fail(self) -> None:
        """Break the call off, and name what was said and will not be published."""
        self._peer.close()
        self._end_stream(StreamEnded(StreamEnd.ERROR), self._means.clock())
        self._reason, self._error = StreamEnd.ERROR, "internal error"
        self._give_up()
        for spoken in tuple(self._unpublished.values()):
            await self._record.failed(spoken, ModelError(ModelErrorCode.FAILED, "the call broke off"))

    def _give_up(self) -> None:
        """Drop what is not decoded yet."""
        for utterance_id in tuple(self._unpublished):
            self._means.decoder.cancel(utterance_id)

    async def _publish_found(self) -> None:
        while True:
            match await self._found.get():
                case Spoken() as spoken:
                    await self._decode(spoken)
                case _Digit() as pressed:
                    await self._record.digit(pressed.track.track, pressed.digit, pressed.at_ms)
                case CallTrack() as track:
                    await self._record.track_started(track.track)
                case _Over():
                    return

    async def _decode(self, spoken: Spoken) -> None:
        models = self._means.settings.models
        request = DecodeRequest(
            request_id=spoken.utterance_id,
            stream_key=f"{self.call_id}/{spoken.track.id}",
            group_key=self.call_id,
            kind=DecodeKind.FINAL,
            audio=spoken.utterance.audio,
            origin_sample=spoken.utterance.origin_sample,
            language=None if models.language == "auto" else models.language,
            options=DecodeOptions(beam_size=models.beam_size, word_times=self._means.settings.transcripts.words),
        )
        await self._decoding.put((spoken, self._means.decoder.submit(request)))

    async def _publish_transcripts(self) -> None:
        while (item := await self._decoding.get()) is not None:
            spoken, future = item
            await asyncio.wait({future})
            await self._publish_transcript(spoken, future)
            del self._unpublished[spoken.utterance_id]

    async def _publish_transcript(self, spoken: Spoken, future: asyncio.Future[Hypothesis]) -> None:
        try:
            heard = await future
        except asyncio.CancelledError:
            if not future.cancelled():
                raise
            await self._record.failed(spoken, ModelError(ModelErrorCode.DEADLINE, "not decoded in time"))
        except ModelError as error:
            await self._record.failed(spoken, error)
        else:
            await self._record.final(spoken, heard)
