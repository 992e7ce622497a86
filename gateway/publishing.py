"""The rest of the way: what a call found becomes events, decoded and published in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import structlog

from asr.pressure import Level
from asr.types import BYTES_PER_MS, DecodeKind, ModelError, ModelErrorCode
from gateway.languages import Asked, CallLanguages
from gateway.live import Live, decode_request
from gateway.timing import Timed
from gateway.tracks import CallTrack, Glimpse
from gateway.transcript import Spoken

if TYPE_CHECKING:
    from collections.abc import Callable

    from asr.types import DecodeOptions, Hypothesis
    from gateway.events import Source
    from gateway.means import Means
    from gateway.observing import Outcome
    from gateway.record import CallRecord
    from gateway.streams import CallStream

log = structlog.get_logger()

FOUND_LIMIT = 1000
"""What a call may find faster than it is published. One that reaches it is no telephone's, and ends; what it has
said until then is still decoded."""

MOST_KEPT_BYTES = 60_000 * BYTES_PER_MS
"""A minute of a call's audio is kept beyond its decode, at most; nothing is decoded twice of what comes beyond it."""

SURE = 0.5
"""A final of which the model is less confident is not what the next one goes on from: an error would be handed down."""


class Digit(msgspec.Struct, frozen=True):
    """A key was pressed."""

    track: CallTrack
    digit: str
    at_ms: int


class Message(msgspec.Struct, frozen=True):
    """The peer of a stream sent text."""

    source: Source
    text: str
    at_ms: int


class Paused(msgspec.Struct, frozen=True):
    """Nothing is heard from here on."""

    reason: str | None
    at_ms: int


class Resumed(msgspec.Struct, frozen=True):
    """It is heard again."""

    at_ms: int


class Farewell(msgspec.Struct, frozen=True, eq=False):
    """The peer of a stream that has ended is closed once it has been told what was said until here."""

    stream: CallStream


class Over(msgspec.Struct, frozen=True):
    """Nothing more will be found."""


Found = Spoken | Glimpse | Digit | Message | CallTrack | Paused | Resumed | Farewell | Over
_Decoding = tuple[Spoken, Timed] | Farewell


class Publisher:
    """The queue between a call's descent and its record, and who works it off.

    `answered` is told of an utterance that is to end its stream, when its final is committed; it may neither wait nor
    raise.
    """

    def __init__(self, call_id: str, record: CallRecord, means: Means, answered: Callable[[Spoken], None]) -> None:
        self._call_id = call_id
        self._record = record
        self._means = means
        self._answered = answered
        self._found: asyncio.Queue[Found] = asyncio.Queue()  # bounded by put
        self._decoding: asyncio.Queue[_Decoding | None] = asyncio.Queue(FOUND_LIMIT)
        self._unpublished: dict[str, Spoken] = {}
        """What was said and has neither a final nor a failure yet, by utterance."""
        self._previous: str | None = None
        """The call's last final, if the model was sure of it, ..."""
        self._previous_language: str | None = None
        """... and what it is in."""
        self._languages = CallLanguages()
        self._live = Live(call_id, record, means.decoder, self._languages)
        self._kept: dict[str, bytes] = {}
        """The audio of utterances that may turn out to be in another language than they are decoded in."""
        self._requests: dict[str, str] = {}
        """By what name an utterance is decoded."""
        self._half_said: set[str] = set()
        """Tracks on which something was published that was cut."""
        self._given_up = False

    def put(self, found: Found) -> bool:
        """Take what was found; False when it is too much, and the call is to end. Speech is taken all the same."""
        if isinstance(found, Glimpse):
            self._live.take(found, self._options(found.spoken))
            return True
        if isinstance(found, Spoken):
            self._unpublished[found.utterance_id] = found
        if self._found.qsize() < FOUND_LIMIT or not isinstance(found, Digit | Message):
            self._found.put_nowait(found)
        return self._found.qsize() < FOUND_LIMIT

    async def run(self) -> None:
        """Publish what is found, until it is over and nothing is left to decode or the time for that is."""
        async with asyncio.TaskGroup() as group:
            transcripts = group.create_task(self._publish_transcripts())
            await self._publish_found()
            await self._decoding.put(None)
            _, late = await asyncio.wait({transcripts}, timeout=self._means.settings.calls.finish_seconds)
            if late:
                self.give_up()

    def give_up(self) -> None:
        """Drop what is not decoded yet, and decode no more."""
        self._given_up = True
        self._live.close()
        for request_id in tuple(self._requests.values()):
            self._means.decoder.cancel(request_id)

    async def fail(self) -> None:
        """Name what was said and will not be published, after `run` has broken off."""
        self.give_up()
        for spoken in tuple(self._unpublished.values()):
            await self._record.failed(spoken, ModelError(ModelErrorCode.FAILED, "the call broke off"))

    async def _publish_found(self) -> None:
        while True:
            match await self._found.get():
                case Spoken() as spoken:
                    await self._decode(spoken)
                case Digit() as pressed:
                    await self._record.digit(pressed.track, pressed.digit, pressed.at_ms)
                case Message(source, text, at_ms):
                    await self._record.message(source, text, at_ms)
                case CallTrack() as track:
                    await self._record.track_started(track)
                case Farewell() as farewell:
                    await self._decoding.put(farewell)
                case Paused(reason, at_ms):
                    await self._record.paused(reason, at_ms)
                case Resumed(at_ms):
                    await self._record.resumed(at_ms)
                case Over():
                    return

    async def _decode(self, spoken: Spoken) -> None:
        request_id, future = self._live.settle(spoken) or self._submit(spoken)
        timed = Timed(future, spoken, self._means)
        self._requests[spoken.utterance_id] = request_id
        if self._given_up:
            future.cancel()
        self._keep(spoken)
        waiting = self._unpublished[spoken.utterance_id] = spoken.without_audio()
        await self._decoding.put((waiting, timed))

    def _submit(self, spoken: Spoken) -> tuple[str, asyncio.Future[Hypothesis]]:
        request = decode_request(
            self._call_id,
            spoken,
            request_id=spoken.utterance_id,
            kind=DecodeKind.FINAL,
            options=self._options(spoken),
            asked=self._languages.ask(spoken.track.id, spoken.settings.spoken),
        )
        return request.request_id, self._means.decoder.supersede(request)

    def _options(self, spoken: Spoken) -> DecodeOptions:
        """Let a decode go on from what was said before, where that is wanted, and was not in another language."""
        settings, options = spoken.settings, spoken.settings.decode
        if not settings.condition_on_previous_text or self._previous is None:
            return options
        language = settings.spoken.given or self._languages.held(spoken.track.id)
        if None not in (language, self._previous_language) and language != self._previous_language:
            return options
        said = " ".join(filter(None, (options.initial_prompt, self._previous)))
        return msgspec.structs.replace(options, initial_prompt=said)

    async def _publish_transcripts(self) -> None:
        while (item := await self._decoding.get()) is not None:
            if isinstance(item, Farewell):
                item.stream.close()
                continue
            spoken, timed = item
            await asyncio.wait({timed.future})
            timed.published(self._call_id, spoken, await self._publish_transcript(spoken, timed.future))
            self._kept.pop(spoken.utterance_id, None)
            del self._unpublished[spoken.utterance_id], self._requests[spoken.utterance_id]

    async def _publish_transcript(self, spoken: Spoken, future: asyncio.Future[Hypothesis]) -> Outcome:
        outcome: Outcome = "failed"
        try:
            heard = await future
        except asyncio.CancelledError:
            if not future.cancelled():
                raise
            await self._record.failed(spoken, ModelError(ModelErrorCode.DEADLINE, "not decoded in time"))
        except ModelError as error:
            await self._record.failed(spoken, error)
        else:
            heard = await self._in_its_language(spoken, heard)
            self._previous = heard.text if (heard.confidence or 0) >= SURE else None
            self._previous_language = heard.language
            outcome = "final" if await self._record.final(spoken, heard) else "suppressed"
        if spoken.settings.speech.endpointing == "auto_end":
            self._tell_answer(spoken, published=outcome == "final")
        return outcome

    def _keep(self, spoken: Spoken) -> None:
        """Keep the audio for a second decode, while that would be soon done and does not come to much."""
        audio = spoken.utterance.audio
        kept_bytes = sum(map(len, self._kept.values())) + len(audio)
        calm = self._means.decoder.level is Level.NORMAL and kept_bytes <= MOST_KEPT_BYTES
        if spoken.settings.spoken.given is None and calm:
            self._kept[spoken.utterance_id] = audio

    async def _in_its_language(self, spoken: Spoken, heard: Hypothesis) -> Hypothesis:
        """Learn the language from a final; decode it once more where it stands in another than is now held.

        The model itself takes the language that its own hearing leads to. But it may have been asked before what
        others said, or said earlier, was known.
        """
        track, settings = spoken.track.id, spoken.settings.spoken
        before = self._languages.held(track)
        language = self._languages.hear(track, settings, heard, spoken.utterance.speech_seconds)
        if (held := self._languages.held(track)) != before:
            log.info("language decided", call_id=self._call_id, track=track, language=held, before=before)
        audio = self._kept.get(spoken.utterance_id)
        pressed = self._means.decoder.level is not Level.NORMAL
        if language is None or audio is None or self._given_up or pressed:
            return heard
        again = await self._decode_again(spoken.with_audio(audio), language)
        if again is None or not again.text:
            return heard
        probability = heard.languages.get(language, 0.0)
        return msgspec.structs.replace(again, language_probability=probability, languages=heard.languages)

    async def _decode_again(self, spoken: Spoken, language: str) -> Hypothesis | None:
        """Decode what was decoded in another language; None where that fails."""
        request = decode_request(
            self._call_id,
            spoken,
            request_id=f"{spoken.utterance_id}~{language}",
            kind=DecodeKind.FINAL,
            options=self._options(spoken),
            asked=Asked(language=language),
        )
        future = self._means.decoder.submit(request)
        self._requests[spoken.utterance_id] = request.request_id
        await asyncio.wait({future})
        return None if future.cancelled() or future.exception() else future.result()

    def _tell_answer(self, spoken: Spoken, *, published: bool) -> None:
        """Tell of an answer when the speaker has paused behind it, be its last part without words."""
        if not spoken.utterance.end_of_turn:
            self._half_said |= {spoken.track.id} if published else set()
        elif published or spoken.track.id in self._half_said:
            self._answered(spoken)
