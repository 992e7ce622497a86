"""Whisper by faster-whisper and CTranslate2, which are named nowhere else; runs in the model process only.

faster-whisper loads the model, and lends its features, its tokens and its prompts; encoding and generating is done
here, on CTranslate2: in windows that follow the audio (`asr/windows.py`), many utterances together.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

import ctranslate2
import msgspec
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens, merge_punctuations

from asr.loading import default_threads, explained
from asr.prompts import fitted
from asr.quality import Attempt, doubt, is_silence, is_sound, loop, most_tokens, said_once
from asr.types import SAMPLE_RATE_HZ, DecodeKind, DecodeRequest, Hypothesis, ModelLoadError, Segment, Word
from asr.windows import LONGEST_SECONDS, Windows, frames

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from asr.weights import Weights
    from config.settings import Models

TEMPERATURES = {DecodeKind.FINAL: (0.2, 0.6), DecodeKind.INTERIM: ()}
"""A final that is hardly likely is tried again with chance; an interim is soon replaced."""

BEST_OF = 5
NOTHING = (-10.0 + 4.0) / 4.0
"""A feature of digital silence."""

SHORTEST_SAMPLES = SAMPLE_RATE_HZ // 10
PROMPT_AND_TEXT = 448
"""What the decoder holds in all. A text may take half of that (CTranslate2, `max_length`)."""

MOST_BEFORE = 223
"""Tokens of hotwords and earlier text; so many Whisper was trained with (openai-whisper, `decoding.py`)."""

PREPENDED, APPENDED = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"  # noqa: RUF001  the marks that faster-whisper takes


class _Job(msgspec.Struct, kw_only=True, eq=False):
    """One request on its way."""

    request: DecodeRequest
    features: Any
    """Log-mel, float32, (bins, frames)."""
    seconds: float
    window: float
    language: str = ""
    language_probability: float | None = None
    before: list[int] = []
    """Tokens of hotwords and earlier text."""
    prompt: list[int] = []
    """Those, what tells the task, and words that are settled."""
    settled: int = 0
    """How many tokens those words are; CTranslate2 counts them as text."""
    encoded: Any = None
    """What the encoder made of the window: (1, positions, width)."""


class Whisper:
    """One loaded model. Not for two threads at a time. Raises ModelLoadError when it cannot be loaded."""

    def __init__(self, weights: Weights, settings: Models) -> None:
        try:
            self._model = WhisperModel(
                str(weights.directory),
                device=settings.device,
                # CTranslate2's own "auto" would take the fastest, not what the weights are.
                compute_type="default" if settings.compute_type == "auto" else settings.compute_type,
                cpu_threads=settings.threads or default_threads(),
                local_files_only=True,
            )
        except Exception as error:  # CTranslate2 raises RuntimeError and ValueError, tokenizers bare Exception
            raise ModelLoadError(explained(weights, settings, error)) from error
        self.device: str = self._model.model.device
        # CTranslate2 calls int8 weights with float32 between them int8_float32; everybody else says int8.
        self.compute_type: str = self._model.model.compute_type.removesuffix("_float32")
        self.name = f"{weights.name} {self.compute_type}"
        self._windows = Windows.of(weights.name, full=settings.window == "full")
        self._tokenizer = lru_cache(maxsize=None)(self._make_tokenizer)
        self._suppressed = list(get_suppressed_tokens(self._tokenizer("en"), [-1]))

    def warm_up(self) -> None:
        """Decode a second of faint noise: the first decode is slower than all others."""
        noise = np.random.default_rng(0).normal(0, 30, SAMPLE_RATE_HZ).astype("<i2")
        self.decode(
            [
                DecodeRequest(
                    request_id="warm-up",
                    stream_key="",
                    group_key="",
                    kind=DecodeKind.INTERIM,
                    audio=noise.tobytes(),
                    origin_sample=0,
                    language="en",
                )
            ]
        )

    def decode(self, requests: Sequence[DecodeRequest]) -> list[Hypothesis]:
        """Decode utterances, those of about one length together; the answers stand in the order of the requests.

        Raises whatever the model raises, as for a language it does not know; then none has an answer.
        """
        answers: dict[int, Hypothesis] = {}
        for group in _alike([self._begun(request) for request in requests if is_sound(request.audio)]):
            for job, attempt in zip(group, self._generate(group), strict=True):
                answers[id(job.request)] = self._answer(job, self._settled(job, attempt))
        silence = Hypothesis(text="", model=self.name)
        return [answers.get(id(request), silence) for request in requests]

    def _begun(self, request: DecodeRequest) -> _Job:
        """Bring a request as far as the decoder."""
        job = self._job(request)
        self._encode(job)
        self._introduce(job)
        return job

    def _job(self, request: DecodeRequest) -> _Job:
        samples = np.frombuffer(request.audio, "<i2").astype(np.float32) / np.float32(32768)
        padded = np.pad(samples, (0, max(0, SHORTEST_SAMPLES - len(samples))))
        seconds = len(samples) / SAMPLE_RATE_HZ
        return _Job(
            request=request,
            features=self._model.feature_extractor(padded),
            seconds=seconds,
            window=self._windows.first(seconds),
        )

    def _encode(self, job: _Job) -> None:
        """Encode one utterance; on a CPU, several at once are no cheaper than one after the other."""
        wide = frames(job.window)
        features = job.features[:, :wide]
        # Behind the audio stands what the features of silence would be (feature_extractor.py): 8 bels below the
        # loudest, and no less than nothing at all.
        silence = max(float(features.max()) - 2.0, NOTHING)
        window = np.full((1, features.shape[0], wide), silence, np.float32)
        window[0, :, : features.shape[1]] = features
        encoded = self._model.model.encode(ctranslate2.StorageView.from_array(window), to_cpu=True)
        if encoded.dtype == ctranslate2.DataType.bfloat16:  # which numpy does not know
            encoded = encoded.to(ctranslate2.DataType.float32)
        job.encoded = np.array(encoded)

    def _introduce(self, job: _Job) -> None:
        """Say in which language and after which words the text begins."""
        request, language = job.request, job.request.language
        if not self._model.model.is_multilingual:
            language = "en"
        if language is None:
            (guesses,) = self._model.model.detect_language(_storage([job]))
            token, job.language_probability = guesses[0]
            language = token[2:-2]
        job.language = language
        tokenizer = self._tokenizer(language)
        words = tokenizer.encode(" " + " ".join(request.prefix_words))[:MOST_BEFORE] if request.prefix_words else []
        task = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        most = most_tokens(job.seconds, language)
        hotwords, earlier = request.options.hotwords, request.options.initial_prompt
        before = fitted(
            tokenizer.encode(" " + hotwords.strip()) if hotwords else [],
            tokenizer.encode(" " + earlier.strip()) if earlier else [],
            room=min(MOST_BEFORE, PROMPT_AND_TEXT - most - len(task) - 1),
        )
        job.before = [tokenizer.sot_prev, *before] if before else []
        job.prompt, job.settled = [*job.before, *task, *words], len(words)

    def _make_tokenizer(self, language: str) -> Tokenizer:
        multilingual = self._model.model.is_multilingual
        return Tokenizer(self._model.hf_tokenizer, multilingual, task="transcribe", language=language)

    def _generate(self, jobs: Sequence[_Job], *, last: bool = False, **options: Any) -> list[Attempt]:
        """Let the decoder write, for jobs of one window whose prompts are alike."""
        before = len(jobs[0].prompt) - jobs[0].settled
        most = max(most_tokens(job.seconds, job.language, last=last) for job in jobs)
        longest = min(PROMPT_AND_TEXT, max(2 * most, most + before))
        results = self._model.model.generate(
            _storage(jobs),
            [job.prompt for job in jobs],
            max_length=longest,
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=self._suppressed,
            **(options or {"beam_size": jobs[0].request.options.beam_size}),
        )
        return [_attempt(result, min(longest // 2, longest - before)) for result in results]

    def _settled(self, job: _Job, attempt: Attempt) -> Attempt:
        """Look again where the end was missed; try chance where the decoder is unsure; take off what is left over."""
        attempt, agreed = self._look_again(job, attempt)
        attempts = [attempt]
        for temperature in TEMPERATURES[job.request.kind]:
            if doubt(attempts[-1], self._text(job, attempts[-1])) is None and (
                agreed or not self._loops(job, attempts[-1])
            ):
                return attempts[-1]
            agreed = False
            attempts += self._generate(
                [job], beam_size=1, num_hypotheses=BEST_OF, sampling_topk=0, sampling_temperature=temperature
            )
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
            self._encode(job)
            (attempt,) = self._generate([job], last=last)
            if attempt.tokens == before.tokens and attempt.ended:
                return attempt, True  # people do say things twice
        return attempt, False

    def _loops(self, job: _Job, attempt: Attempt) -> bool:
        return loop(attempt, job.seconds, job.language) is not None

    def _text(self, job: _Job, attempt: Attempt) -> str:
        text: str = self._tokenizer(job.language).decode(list(attempt.tokens))
        return text.strip()

    def _answer(self, job: _Job, attempt: Attempt) -> Hypothesis:
        text = "" if is_silence(attempt) else self._text(job, attempt)
        nothing = Hypothesis(
            text="", model=self.name, language=job.language, language_probability=job.language_probability
        )
        if not text:
            return nothing
        return msgspec.structs.replace(
            nothing,
            text=text,
            confidence=math.exp(attempt.log_probability),
            no_speech_probability=attempt.no_speech_probability,
            segments=(Segment(text=text, start_ms=0, end_ms=round(job.seconds * 1000)),),
            words=tuple(self._words(job, attempt)) if job.request.options.word_times else (),
        )

    def _words(self, job: _Job, attempt: Attempt) -> Iterator[Word]:
        """Tell when each word was said, from what the encoder has made already."""
        tokenizer = self._tokenizer(job.language)
        text = [token for token in attempt.tokens if token < tokenizer.eot]
        heard = min(job.features.shape[1], frames(job.window))
        (alignment,) = self._model.find_alignment(tokenizer, [text], _storage([job]), heard)
        merge_punctuations(alignment, PREPENDED, APPENDED)
        for word in alignment:
            if word["word"].strip():
                yield Word(
                    text=word["word"].strip(),
                    start_ms=_ms(word["start"]),
                    end_ms=_ms(word["end"]),
                    confidence=float(word["probability"]),
                )


def _alike(jobs: Sequence[_Job]) -> Iterator[list[_Job]]:
    """Put together what can be generated together: of one window, one length of prompt, one way to search."""

    def kind(job: _Job) -> tuple[float, int, int, int]:
        return job.window, len(job.prompt), len(job.before), job.request.options.beam_size

    for _, group in groupby(sorted(jobs, key=kind), kind):
        yield list(group)


def _storage(jobs: Sequence[_Job]) -> ctranslate2.StorageView:
    encoded = jobs[0].encoded if len(jobs) == 1 else np.concatenate([job.encoded for job in jobs])
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(encoded))


def _attempt(result: Any, room: int) -> Attempt:
    tokens = tuple(result.sequences_ids[0])
    # The score is the mean over the tokens, that of the end left out (faster-whisper, `generate_with_fallback`).
    return Attempt(
        tokens=tokens,
        ended=len(tokens) < room,
        log_probability=result.scores[0] * len(tokens) / (len(tokens) + 1),
        no_speech_probability=result.no_speech_prob,
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
