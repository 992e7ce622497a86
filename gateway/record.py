"""A call's public record: each event made, given its sequence, and committed before the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from adapters.stream import Hearing, Transcript
from asr.types import Reason, Suppressed
from gateway import transcript
from gateway.events import (
    CallEnded,
    CallMessage,
    CallPaused,
    CallResumed,
    CallStarted,
    DigitEvent,
    ErrorInfo,
    Event,
    Source,
    TrackStarted,
    TranscriptFinal,
    TranscriptInterim,
    encode_data,
    encode_interim,
    store,
)
from gateway.normalizing import NormalizerError
from gateway.transcript import Clock, Place, Spoken
from gateway.wording import language_of_text, mask_for, masked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import structlog

    from adapters.stream import Peer, StreamEnd
    from asr.types import Hypothesis, ModelError
    from gateway.delivery.recipients import Recipient
    from gateway.means import Means
    from gateway.tracks import CallTrack

REMEMBERED_UTTERANCES = 256
"""A late interim is known by its utterance being published already. It is late by one decode, seconds at most."""


class CallRecord:
    """One call's events, one at a time, so that sequences have no gap.

    Every coroutine returns once its event is committed, and raises what the store raises.
    """

    def __init__(
        self,
        call_id: str,
        source: Source,
        *,
        recipients: Sequence[Recipient],
        clock: Clock,
        means: Means,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._call_id = call_id
        self.source = source
        self._recipients = recipients
        self._clock = clock
        self._means = means
        self._log = log
        self._committing = asyncio.Lock()
        self._sequence = 0
        self._stored = 0
        """The sequence of the last event that is committed."""
        self._ended = False
        self._published: deque[str] = deque(maxlen=REMEMBERED_UTTERANCES)
        """The utterances last published."""
        self._interims_shed = 0
        self._failed = 0
        self._suppressed: dict[str, int] = {}
        self._normalizer_failed = False

    async def started(self, parameters: Mapping[str, str]) -> None:
        """Publish `call.started`."""
        await self._publish(lambda place: CallStarted(**_fields(place), parameters={**parameters}))

    async def track_started(self, track: CallTrack) -> None:
        """Publish `track.started`."""
        await self._publish(
            lambda place: TrackStarted(**_fields(place), **_of_track(track), duplicate=track.duplicate), track.source
        )

    async def digit(self, track: CallTrack, digit: str, at_ms: int) -> None:
        """Publish `call.digit`."""
        await self._publish(
            lambda place: DigitEvent(**_fields(place), **_of_track(track), digit=digit, at_ms=at_ms), track.source
        )

    async def message(self, source: Source, text: str, at_ms: int) -> None:
        """Publish `call.message`."""
        await self._publish(lambda place: CallMessage(**_fields(place), text=text, at_ms=at_ms), source)

    async def paused(self, reason: str | None, at_ms: int) -> None:
        """Publish `call.paused`."""
        await self._publish(lambda place: CallPaused(**_fields(place), reason=reason, at_ms=at_ms))
        self._log.info("call paused", at_ms=at_ms)

    async def resumed(self, at_ms: int) -> None:
        """Publish `call.resumed`."""
        await self._publish(lambda place: CallResumed(**_fields(place), at_ms=at_ms))
        self._log.info("call resumed", at_ms=at_ms)

    @property
    def wants_interims(self) -> bool:
        """Whether anybody is there to show interims to."""
        return self._means.interims.wanted(self._recipients)

    def interim(self, spoken: Spoken, heard: Hypothesis, *, revision: int, stable_chars: int) -> bool:
        """Show `transcript.interim` to whoever wants it, without waiting, or tell False.

        Nothing is stored, and it may be shed later. `spoken` holds what was heard so far of an utterance that is still
        open; `revision` counts its interims from 1. One that comes after its utterance was published, or after the
        call's end, is left out.
        """
        hears = spoken.peer.hearing is Hearing.INTERIMS
        if not heard.text or self._ended or spoken.utterance_id in self._published:
            return False
        if not (hears or self.wants_interims):
            return False
        if not self._stored:  # nobody has been told of the call yet
            self.interim_shed()
            return False
        now = self._means.clock()
        place = Place(call_id=self._call_id, source=spoken.source, sequence=self._stored)
        mask = mask_for(spoken.settings, heard.language)
        settled = mask.settled(heard.text, stable_chars) if mask else stable_chars
        worded = masked(heard, spoken.settings)
        event = transcript.interim(spoken, worded, place, now, revision=revision, stable_chars=settled)
        if hears:
            self._send_back(event, spoken.peer)
        self._means.interims.show(encode_interim(event, self._means.wall()), self._recipients)
        if revision == 1:
            self._means.tallies.first_interim(now, (self._clock.ms(now) - spoken.start_ms) / 1000)
        self._log.debug("interim", utterance_id=event.utterance_id, revision=revision, latency_ms=event.latency_ms)
        return True

    def interim_shed(self) -> None:
        """Count an interim that was given up before it was shown."""
        self._shed(1)

    def _shed(self, interims: int) -> None:
        self._interims_shed += interims
        self._means.tallies.interims_shed += interims

    def _close(self, spoken: Spoken) -> None:
        """Show no more interims of an utterance: what it came to is about to be published."""
        self._published.append(spoken.utterance_id)
        self._means.interims.close(spoken.utterance_id)

    async def final(self, spoken: Spoken, heard: Hypothesis) -> bool:
        """Publish `transcript.final`; where the model heard no words, count the utterance and tell False."""
        self._close(spoken)
        if not heard.text:
            self._suppress(spoken, heard.suppressed or Suppressed(reason=Reason.EMPTY))
            return False
        worded = await self._worded(spoken, heard)
        now = self._means.clock()
        await self._publish(
            lambda place: transcript.final(spoken, worded, place, self._clock, now), spoken.source, spoken.peer
        )
        latency_ms = transcript.latency_ms(spoken, now)
        self._means.tallies.final(now, latency_ms / 1000)
        self._log.info("final", **self._about(spoken, worded.text), latency_ms=latency_ms)
        return True

    def _suppress(self, spoken: Spoken, suppressed: Suppressed) -> None:
        """Count an utterance of which there is no text that can be believed."""
        reason = suppressed.reason
        self._suppressed[reason] = self._suppressed.get(reason, 0) + 1
        self._means.tallies.suppress(self._means.clock(), reason)
        mask = mask_for(spoken.settings, None)
        text = mask(suppressed.text) if mask else suppressed.text
        self._log.info("utterance without words", **self._about(spoken, text), reason=reason)

    def _about(self, spoken: Spoken, text: str) -> dict[str, Any]:
        """Tell the log where an utterance is, and its text only where that may stand there."""
        about = {"utterance_id": spoken.utterance_id, "start_ms": spoken.start_ms, "end_ms": spoken.end_ms}
        return about | ({"text": text} if self._means.settings.log.transcripts else {})

    async def _worded(self, spoken: Spoken, heard: Hypothesis) -> Hypothesis:
        """Word a final as its call wants it: rewritten, if it can be, then masked."""
        worded = masked(heard, spoken.settings)
        if self._means.normalizer is None:
            return worded
        language = language_of_text(spoken.settings, heard.language)
        try:
            text = await self._means.normalizer.normalize(heard.text, language)
        except NormalizerError as error:
            self._tell_of_normalizer(error)
            return worded
        mask = mask_for(spoken.settings, heard.language)
        return msgspec.structs.replace(worded, text=mask(text) if mask else text)

    def _tell_of_normalizer(self, error: NormalizerError) -> None:
        if not self._normalizer_failed:
            self._normalizer_failed = True
            self._log.warning("finals stay as they were heard: transcripts.normalizer failed", error=str(error))

    async def failed(self, spoken: Spoken, error: ModelError) -> None:
        """Publish `transcript.failed`."""
        self._close(spoken)
        self._failed += 1
        self._means.tallies.fail(self._means.clock(), error.code)
        self._log.error("utterance not decoded", utterance_id=spoken.utterance_id, code=error.code, error=str(error))
        await self._publish(lambda place: transcript.failed(spoken, error, place), spoken.source)

    async def ended(
        self,
        reason: StreamEnd,
        error: str | None,
        ended_at: float,
        *,
        parameters: Mapping[str, str],
        tracks: Mapping[str, CallTrack],
    ) -> None:
        """Publish `call.ended`; nothing may follow it."""
        self._ended = True
        self._shed(self._means.interims.end(self._call_id))
        await self._publish(
            lambda place: CallEnded(
                **_fields(place),
                parameters={**parameters},
                reason=reason,
                error=ErrorInfo(code=reason, message=error) if error else None,
                duration_ms=self._clock.ms(ended_at),
                audio_ms={name: track.media.audio_ms for name, track in tracks.items()},
                gap_ms={name: track.media.gap_ms for name, track in tracks.items()},
                utterances=sum(track.speech.utterances for track in tracks.values()),
                interims_shed=self._interims_shed,
                failed=self._failed,
                suppressed=self._suppressed,
                last_sequence=place.sequence,
            )
        )
        self._means.tallies.ended[reason] += 1
        self._log.info("call ended", reason=reason, events=self._sequence, failed=self._failed)

    async def _publish(
        self, make: Callable[[Place], Event], source: Source | None = None, peer: Peer | None = None
    ) -> None:
        async with self._committing:
            self._sequence += 1
            event = make(Place(call_id=self._call_id, source=source or self.source, sequence=self._sequence))
            if peer is not None and isinstance(event, TranscriptFinal) and peer.hearing is not Hearing.NOTHING:
                self._send_back(event, peer)  # at once: a socket is no receiver that has to be able to rely on it
            try:
                await self._means.publish(store(event, self._means.wall()), self._recipients)
            except Exception:  # not when cancelled: then it may be committed all the same
                self._sequence -= 1
                raise
            self._stored = event.sequence

    def _send_back(self, event: TranscriptInterim | TranscriptFinal, peer: Peer) -> None:
        final = isinstance(event, TranscriptFinal)
        sent = Transcript(utterance_id=event.utterance_id, final=final, data=encode_data(event))
        self._shed(peer.send(sent))


_fields = msgspec.structs.asdict


def _of_track(track: CallTrack) -> dict[str, Any]:
    return {"track": track.track.id, "role": track.track.role, "label": track.track.label}
