"""What is decoded while somebody speaks: interims, and finals on trial when they pause.

All of it happens in the descent of a frame or in the callback of a decode, and nothing waits.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from asr.hangover import hangover_ms
from asr.language import ENGLISH
from asr.pacing import Fullness, Step
from asr.stabilizer import Stabilizer
from asr.types import DecodeKind, DecodeOptions, DecodeRequest, ModelError, ModelErrorCode
from asr.units import units
from config.profiles import PROFILES, REALTIME
from gateway.transcript import SAMPLES_PER_MS

if TYPE_CHECKING:
    import asyncio

    from asr.types import Decoder, Hypothesis
    from gateway.languages import Asked, CallLanguages
    from gateway.record import CallRecord
    from gateway.tracks import Glimpse
    from gateway.transcript import Spoken

    Decoding = asyncio.Future[Hypothesis]


class _Trial(msgspec.Struct, frozen=True, eq=False):
    """A final that is decoded before it is known that the utterance has ended."""

    request_id: str
    end_sample: int
    future: Decoding


class _Growing(msgspec.Struct, eq=False):
    """The text of an utterance that is open."""

    stabilizer: Stabilizer
    request_id: str = ""
    """The latest request for an interim."""
    revision: int = 0
    """How many interims were shown."""
    shown: tuple[str, int] = ("", 0)
    """The last one's text, and how much of it is stable; the same is not shown twice."""
    language: str | None = None
    """In which the first was; what is masked in it stays masked."""
    longest_ms: int = 0
    """How much audio was heard at most since the last cut."""
    waits: bool = False
    """All the audio that an interim may hear is being decoded. Another before its cut would hear the same again."""
    cuts: int = 0
    """How often audio was let go of."""
    resting: bool = False
    """An interim was lost with the model process: what may have brought it down is not tried again and again, at the
    cost of everybody's finals."""


class _Asked(msgspec.Struct, frozen=True):
    """What was asked for an interim, and when."""

    audio_ms: int
    anchor: int
    """Before which of the words that were committed its audio begins, ..."""
    cuts: int
    """... after how many cuts."""
    language: str | None


class Live:
    """The open utterances of one call."""

    def __init__(self, call_id: str, record: CallRecord, decoder: Decoder, languages: CallLanguages) -> None:
        self._call_id = call_id
        self._record = record
        self._decoder = decoder
        self._languages = languages
        self._english_only = False
        """Whether the model for interims has shown that it knows no other language."""
        self._trials: dict[str, _Trial] = {}
        self._growing: dict[str, _Growing] = {}
        self._requests = 0

    def take(self, glimpse: Glimpse, options: DecodeOptions) -> None:
        """Do what is worth doing about an open utterance. `options` are those of its final."""
        match glimpse.step:
            case Step.PAUSE:
                self._try(glimpse, options)
            case Step.GO_ON:
                self._forget_trial(glimpse.spoken.utterance_id)
            case Step.INTERIM:
                self._ask(glimpse)

    def settle(self, spoken: Spoken) -> tuple[str, Decoding] | None:
        """Show no more of an utterance that has ended; give the trial that is its final, if there is one."""
        utterance_id = spoken.utterance_id
        if growing := self._growing.pop(utterance_id, None):
            self._decoder.cancel(growing.request_id)
        trial = self._trials.pop(utterance_id, None)
        if trial is None:
            return None
        heard_all = trial.end_sample == spoken.utterance.end_sample
        if heard_all and (self._decoder.promote(trial.request_id) or _has_succeeded(trial.future)):
            return trial.request_id, trial.future
        self._decoder.cancel(trial.request_id)
        return None

    def close(self) -> None:
        """Give up what is still being decoded."""
        for trial in self._trials.values():
            self._decoder.cancel(trial.request_id)
        for growing in self._growing.values():
            self._decoder.cancel(growing.request_id)
        self._trials.clear()
        self._growing.clear()

    def _try(self, glimpse: Glimpse, options: DecodeOptions) -> None:
        spoken = glimpse.spoken
        self._forget_trial(spoken.utterance_id)
        request = self._request(spoken, DecodeKind.SPECULATIVE, options)
        future = self._decoder.submit(request)
        self._trials[spoken.utterance_id] = _Trial(request.request_id, spoken.utterance.end_sample, future)
        seen = msgspec.structs.replace(glimpse, spoken=spoken.without_audio())
        future.add_done_callback(partial(self._hint, seen, request.request_id))

    def _hint(self, glimpse: Glimpse, request_id: str, future: Decoding) -> None:
        """Let a text that is known before the utterance has ended say how soon it ends."""
        trial = self._trials.get(glimpse.spoken.utterance_id)
        if _has_succeeded(future) and trial is not None and trial.request_id == request_id:
            glimpse.track.speech.wait_for(hangover_ms(future.result().text, glimpse.spoken.settings.speech))

    def _forget_trial(self, utterance_id: str) -> None:
        if trial := self._trials.pop(utterance_id, None):
            self._decoder.cancel(trial.request_id)

    def _ask(self, glimpse: Glimpse) -> None:
        spoken = glimpse.spoken
        growing = self._growing.setdefault(spoken.utterance_id, _Growing(Stabilizer()))
        if growing.resting or growing.waits or (self._english_only and not self._is_english(spoken)):
            return
        # As the call's settings have it, without the final before: what an interim goes on from should not sway it.
        # Times of words cost another pass over the text, and are for cuts alone.
        near = glimpse.fullness > Fullness.ROOM
        quick = msgspec.structs.replace(spoken.settings.decode, profile=PROFILES[REALTIME], word_times=near)
        request = self._request(spoken, DecodeKind.INTERIM, quick, first=not growing.revision)
        growing.request_id = request.request_id
        growing.waits = glimpse.fullness is Fullness.FULL
        seen = msgspec.structs.replace(glimpse, spoken=spoken.without_audio())
        asked = _Asked(request.audio_ms, growing.stabilizer.anchor, growing.cuts, request.language)
        self._decoder.submit(request).add_done_callback(partial(self._hear, seen, asked))

    def _hear(self, glimpse: Glimpse, asked: _Asked, future: Decoding) -> None:
        growing = self._growing.get(glimpse.spoken.utterance_id)
        if growing is None:
            return  # it has ended
        if glimpse.fullness is Fullness.FULL:
            growing.waits = False
        if future.cancelled():
            return  # a newer one is on its way
        if error := future.exception():
            self._record.interim_shed()
            growing.resting |= isinstance(error, ModelError) and error.code is ModelErrorCode.CRASHED
            return
        if _is_at_a_loss(future.result(), asked.language):
            self._english_only = True
            return
        heard = future.result()
        growing.stabilizer.hear(units(heard.text, heard.words), asked.anchor, heard.confidence or 0.0)
        if asked.cuts == growing.cuts:
            growing.longest_ms = max(growing.longest_ms, asked.audio_ms)
            if glimpse.fullness > Fullness.ROOM:
                _let_go(glimpse, asked.audio_ms, growing)
        self._show(glimpse.spoken, growing, heard)

    def _show(self, spoken: Spoken, growing: _Growing, heard: Hypothesis) -> None:
        text, stable_chars = growing.stabilizer.text, growing.stabilizer.stable_chars
        if not text or growing.shown == (text, stable_chars):
            return
        language = growing.language if growing.revision else heard.language
        shown = msgspec.structs.replace(heard, text=text, language=language)
        if self._record.interim(spoken, shown, revision=growing.revision + 1, stable_chars=stable_chars):
            growing.revision += 1
            growing.shown, growing.language = (text, stable_chars), language

    def _is_english(self, spoken: Spoken) -> bool:
        """Tell whether it is settled that English is spoken."""
        language = spoken.settings.spoken
        known = self._languages.known(spoken.track.id, language)
        return ENGLISH in ((language.given,) if known is None else (known.held, known.presumed))

    def _request(
        self, spoken: Spoken, kind: DecodeKind, options: DecodeOptions, *, first: bool = False
    ) -> DecodeRequest:
        self._requests += 1
        return decode_request(
            self._call_id,
            spoken,
            request_id=f"{spoken.utterance_id}~{self._requests}",
            kind=kind,
            options=options,
            asked=self._languages.ask(spoken.track.id, spoken.settings.spoken, quick=kind is DecodeKind.INTERIM),
            first=first,
        )


def _let_go(glimpse: Glimpse, audio_ms: int, growing: _Growing) -> None:
    """Let later interims begin where nothing of the audio before is needed any more."""
    full = glimpse.fullness is Fullness.FULL
    at_ms = growing.stabilizer.let_go(audio_ms, longest_ms=growing.longest_ms, full=full)
    if at_ms is not None:
        growing.cuts += 1
        growing.longest_ms = 0
        utterance = glimpse.spoken.utterance
        glimpse.track.let_go(utterance.number, utterance.origin_sample + at_ms * SAMPLES_PER_MS)


def decode_request(
    call_id: str,
    spoken: Spoken,
    *,
    request_id: str,
    kind: DecodeKind,
    options: DecodeOptions,
    asked: Asked,
    first: bool = False,
) -> DecodeRequest:
    """Ask for the text of what was said."""
    return DecodeRequest(
        request_id=request_id,
        stream_key=f"{call_id}/{spoken.track.id}",
        group_key=call_id,
        kind=kind,
        first=first,
        audio=spoken.utterance.audio,
        origin_sample=spoken.utterance.origin_sample,
        language=asked.language,
        known=asked.known,
        speech_seconds=spoken.utterance.speech_seconds,
        options=options,
    )


def _is_at_a_loss(heard: Hypothesis, language: str | None) -> bool:
    """Tell whether a model answered in English, though it was asked for another language, or to find it out."""
    return heard.language == ENGLISH != language and heard.language_probability is None


def _has_succeeded(future: Decoding) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None
