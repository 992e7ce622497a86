"""A loaded model and the art of using it: windows that follow the audio, batches, second looks, chance, silence.

What the model itself does is `asr/whisper.py`'s. Runs in the model process.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from asr.evidence import Strength
from asr.invention import invented
from asr.language import ENGLISH, Known, among, likely_ones
from asr.listening import listen
from asr.loading import is_out_of_memory
from asr.prompts import MOST_BEFORE, as_sentence, fitted
from asr.quality import Attempt, doubt, is_silence, loop, most_tokens, said_once
from asr.silero import Silero
from asr.types import SAMPLE_RATE_HZ, DecodeKind, DecodeRequest, Hypothesis, Segment, Suppressed
from asr.whisper import PROMPT_AND_TEXT, Prompt, Search, Whisper
from asr.windows import LONGEST_SECONDS, Windows, frames

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterator, Sequence

    from asr.listening import Heard
    from asr.types import Word
    from asr.weights import Weights
    from config.settings import Models


class _Job(msgspec.Struct, kw_only=True, eq=False):
    """One request on its way."""

    place: int
    request: DecodeRequest
    heard: Heard
    features: Any
    """Log-mel, float32, (bins, frames)."""
    seconds: float
    window: float
    language: str | None
    """What is spoken; None until it is known."""
    language_probability: float | None = None
    languages: dict[str, float] = {}
    """How likely each is; empty where nobody asked."""
    prompt: Prompt = Prompt(tokens=[], before=0)
    encoded: Any = None
    """What the encoder made of the window: (1, positions, width)."""
    looks: int = 0
    """How often it was decoded."""

    @property
    def written(self) -> str:
        """The language of the text."""
        return ENGLISH if self.request.options.task == "translate" else self.language or ""


class Transcriber:
    """One loaded model, for so many threads at a time. Raises ModelLoadError when it cannot be loaded."""

    def __init__(self, weights: Weights, settings: Models, workers: int = 1) -> None:
        self._whisper = Whisper(weights, settings, workers)
        self.device = self._whisper.device
        self.compute_type = self._whisper.compute_type
        self.name = f"{weights.name} {self.compute_type}"
        self._windows = Windows.of(weights.name, full=settings.window == "full")
        self._voices = Silero().probabilities if settings.second_opinion else None

    def warm_up(self) -> None:
        """Decode a second of faint noise: the first decode is slower than all others."""
        noise = np.random.default_rng(0).normal(0, 30, SAMPLE_RATE_HZ).astype("<i2")
        request = DecodeRequest(
            request_id="warm-up",
            stream_key="",
            group_key="",
            kind=DecodeKind.INTERIM,
            audio=noise.tobytes(),
            origin_sample=0,
            language="en",
        )
        list(self.decode([request]))

    def decode(self, requests: Sequence[DecodeRequest]) -> Iterator[tuple[int, Hypothesis]]:
        """Decode utterances, those of about one length together; give each answer with its place, once it is settled.

        What looks right is settled first: others do not wait for second looks and chances. Raises whatever the model
        raises, as for a language it does not know.
        """
        jobs = []
        for place, request in enumerate(requests):
            heard = listen(request.audio, self._voices, at_a_glance=request.kind is DecodeKind.INTERIM)
            if heard.reason is None:
                jobs.append(self._job(place, request, heard))
            else:
                yield place, Hypothesis(text="", model=self.name, suppressed=Suppressed(reason=heard.reason))
        for group in _grouped(jobs, lambda job: job.window):
            self._encode(group)
            self._recognise(group)
        for job in jobs:
            self._introduce(job)
        doubtful = []
        for group in _grouped(jobs, _kind):
            for job, attempt in zip(group, self._generate(group, _search(group[0].request)), strict=True):
                if self._loops(job, attempt) or self._is_doubtful(job, attempt):
                    doubtful.append((job, attempt))
                else:
                    yield job.place, self._answer(job, attempt)
        for job, attempt in doubtful:
            yield job.place, self._answer(job, self._settled_or_kept(job, attempt))

    def _job(self, place: int, request: DecodeRequest, heard: Heard) -> _Job:
        seconds = len(heard.audio) / 2 / SAMPLE_RATE_HZ
        return _Job(
            place=place,
            request=request,
            heard=heard,
            features=self._whisper.features(heard.audio),
            seconds=seconds,
            window=self._windows.first(seconds),
            language=request.language if self._whisper.multilingual else ENGLISH,
        )

    def _encode(self, jobs: Sequence[_Job]) -> None:
        """Let the encoder look through the window of jobs that have the same."""
        encoded = self._whisper.encode([job.features for job in jobs], frames(jobs[0].window))
        for job, each in zip(jobs, encoded, strict=True):
            job.encoded = each

    def _recognise(self, jobs: Sequence[_Job]) -> None:
        """Find out which language is spoken, where that is asked; windows must be of one length."""
        asked = [job for job in jobs if job.language is None]
        if not asked:
            return
        for job, heard in zip(asked, self._whisper.languages([job.encoded for job in asked]), strict=True):
            known = job.request.known or Known()
            job.languages = among(heard, known.allowed)
            job.language = known.after(job.languages, min(job.request.speech_seconds, job.seconds)).language
            job.language_probability = job.languages.get(job.language or "", 0.0)

    def _introduce(self, job: _Job) -> None:
        """Say in which language and after which words the text begins."""
        options, prefix = job.request.options, job.request.prefix_words
        tokenizer = self._whisper.tokenizer(job.language, options.task)
        words = tokenizer.encode(" " + " ".join(prefix))[:MOST_BEFORE] if prefix else []
        task = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        most = most_tokens(job.seconds, job.written)
        before = fitted(
            tokenizer.encode(" " + as_sentence(options.hotwords)) if options.hotwords else [],
            tokenizer.encode(" " + options.initial_prompt.strip()) if options.initial_prompt else [],
            room=min(MOST_BEFORE, PROMPT_AND_TEXT - most - len(task) - 1),
        )
        hints = [tokenizer.sot_prev, *before] if before else []
        job.prompt = Prompt(tokens=[*hints, *task, *words], before=len(hints) + len(task))

    def _generate(self, jobs: Sequence[_Job], search: Search, *, last: bool = False) -> list[Attempt]:
        """Let the decoder write, for jobs of one kind."""
        for job in jobs:
            job.looks += 1
        most = max(most_tokens(job.seconds, job.written, last=last) for job in jobs)
        encoded, prompts = [job.encoded for job in jobs], [job.prompt for job in jobs]
        return self._whisper.generate(encoded, prompts, most=most, search=search)

    def _settled_or_kept(self, job: _Job, attempt: Attempt) -> Attempt:
        """Try again what is doubtful; keep it as it is where there is no memory for that."""
        try:
            return self._settled(job, attempt)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return msgspec.structs.replace(attempt, tokens=said_once(attempt.tokens))

    def _settled(self, job: _Job, attempt: Attempt) -> Attempt:
        """Look again where the end was missed; try chance where the decoder is unsure; take off what is left over."""
        attempt, agreed = self._look_again(job, attempt)
        attempts = [attempt]
        for chance in _chances(job, attempt):
            if not self._is_doubtful(job, attempts[-1]) and (agreed or not self._loops(job, attempts[-1])):
                return attempts[-1]
            agreed = False
            attempts += self._generate([job], chance)
        best = max(attempts, key=lambda each: (not self._loops(job, each), each.log_probability))
        if agreed or not self._loops(job, best):
            return best
        return msgspec.structs.replace(best, tokens=said_once(best.tokens))

    def _look_again(self, job: _Job, attempt: Attempt) -> tuple[Attempt, bool]:
        """Look more widely as long as the decoder misses its end; tell whether two looks have agreed."""
        while self._loops(job, attempt):
            wider = self._windows.wider(job.seconds, job.window)
            last = wider == LONGEST_SECONDS
            if wider is None or (last and job.request.kind is DecodeKind.INTERIM):
                break  # an interim is soon replaced, and thirty seconds are dear
            job.window, before = wider, attempt
            self._encode([job])
            (attempt,) = self._generate([job], _search(job.request), last=last)
            if attempt.tokens == before.tokens and attempt.ended:
                return attempt, True  # people do say things twice
        return attempt, False

    def _loops(self, job: _Job, attempt: Attempt) -> bool:
        return loop(attempt, job.seconds, job.written, widest=job.window == LONGEST_SECONDS) is not None

    def _is_doubtful(self, job: _Job, attempt: Attempt) -> bool:
        text, profile = self._text(job, attempt), job.request.options.profile
        return doubt(attempt, text, profile) is not None

    def _text(self, job: _Job, attempt: Attempt) -> str:
        text: str = self._whisper.tokenizer(job.language).decode(list(attempt.tokens))
        return text.strip()

    def _answer(self, job: _Job, attempt: Attempt) -> Hypothesis:
        text = self._text(job, attempt)
        reason = invented(job.heard.evidence, attempt, text, job.request.options.profile)
        nothing = Hypothesis(
            text="",
            model=self.name,
            language=job.language,
            language_probability=job.language_probability,
            languages=likely_ones(job.languages),
            decoded_seconds=job.seconds,
            retries=job.looks - 1,
            suppressed=None if reason is None else Suppressed(reason=reason, text=text),
        )
        if reason is not None:
            return nothing
        return msgspec.structs.replace(
            nothing,
            text=text,
            confidence=math.exp(attempt.log_probability),
            no_speech_probability=attempt.no_speech_probability,
            segments=(_segment(job, text),),
            words=tuple(self._words(job, attempt)) if job.request.options.word_times else (),
        )

    def _words(self, job: _Job, attempt: Attempt) -> Iterator[Word]:
        tokenizer = self._whisper.tokenizer(job.language, job.request.options.task)
        heard = min(job.features.shape[1], frames(job.window))
        for word in self._whisper.words(job.encoded, attempt.tokens, tokenizer, heard):
            start_ms, end_ms = word.start_ms + job.heard.skipped_ms, word.end_ms + job.heard.skipped_ms
            yield msgspec.structs.replace(word, start_ms=start_ms, end_ms=end_ms)


def _segment(job: _Job, text: str) -> Segment:
    """Make the one stretch of text that there is, of all that was decoded."""
    skipped_ms = job.heard.skipped_ms
    return Segment(text=text, start_ms=skipped_ms, end_ms=skipped_ms + round(job.seconds * 1000))


def _grouped(jobs: Sequence[_Job], key: Callable[[_Job], Hashable]) -> Collection[list[_Job]]:
    groups: dict[Hashable, list[_Job]] = {}
    for job in jobs:
        groups.setdefault(key(job), []).append(job)
    return groups.values()


def _kind(job: _Job) -> Hashable:
    """Tell what jobs must have in common to be generated together."""
    return job.window, len(job.prompt.tokens), job.prompt.before, _search(job.request)


def _search(request: DecodeRequest) -> Search:
    profile = request.options.profile
    return Search(beam_size=profile.beam_size, patience=profile.patience, length_penalty=profile.length_penalty)


def _chances(job: _Job, attempt: Attempt) -> Iterator[Search]:
    """Give the ways in which a final is tried again where it is hardly likely.

    An interim is soon replaced, and where there is hardly a voice chance would only find words.
    """
    found, profile = job.heard.evidence, job.request.options.profile
    hopeless = is_silence(attempt, profile) if found is None else found.strength is Strength.WEAK
    if job.request.kind is not DecodeKind.INTERIM and not hopeless:
        for temperature in profile.temperatures:
            yield Search(temperature=temperature, best_of=profile.best_of, length_penalty=profile.length_penalty)
