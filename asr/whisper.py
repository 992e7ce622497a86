"""Whisper by faster-whisper and CTranslate2, which are named nowhere else; runs in the model process only.

faster-whisper loads the model, and lends its features, its tokens and its prompts; encoding and generating is done
here, on CTranslate2: in windows that follow the audio (`asr/windows.py`), many utterances together.
"""

from __future__ import annotations

import math
import os
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

import ctranslate2
import msgspec
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens, merge_punctuations

from asr.quality import Attempt, doubt, is_silence, loop, most_tokens
from asr.types import SAMPLE_RATE_HZ, DecodeKind, DecodeRequest, Hypothesis, ModelLoadError, Segment, Word
from asr.windows import Windows, frames

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from asr.weights import Weights
    from config.settings import Models

MOST_THREADS = 4
"""More help one decode little and take from the others."""

TEMPERATURES = {DecodeKind.FINAL: (0.2, 0.6), DecodeKind.INTERIM: ()}
"""A final that is hardly likely is tried again with chance; an interim is soon replaced."""

BEST_OF = 5
NOTHING = (-10.0 + 4.0) / 4.0
"""A feature of digital silence."""

LEAST_PEAK = 8
"""The smallest step of mu-law (G.711): a telephone cannot tell what is no louder from silence."""

SHORTEST_SAMPLES = SAMPLE_RATE_HZ // 10
PROMPT_AND_TEXT = 448
"""What the decoder holds in all. A text may take half of that (CTranslate2, `max_length`)."""

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
    prompt: list[int] = []
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
            raise ModelLoadError(_explain(weights, settings, error)) from error
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
        for group in _alike([self._begun(request) for request in requests if _is_sound(request)]):
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
        job.encoded = np.array(self._model.model.encode(ctranslate2.StorageView.from_array(window), to_cpu=True))

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
        before = tokenizer.encode(request.options.initial_prompt) if request.options.initial_prompt else []
        job.prompt = self._model.get_prompt(
            tokenizer,
            before,
            without_timestamps=True,
            prefix=" ".join(request.prefix_words) or None,
            hotwords=request.options.hotwords,
        )

    def _make_tokenizer(self, language: str) -> Tokenizer:
        multilingual = self._model.model.is_multilingual
        return Tokenizer(self._model.hf_tokenizer, multilingual, task="transcribe", language=language)

    def _generate(self, jobs: Sequence[_Job], **options: Any) -> list[Attempt]:
        """Let the decoder write, for jobs of one window whose prompts are of one length."""
        most = max(most_tokens(job.seconds, job.language) for job in jobs)
        longest = min(PROMPT_AND_TEXT, max(2 * most, most + len(jobs[0].prompt)))
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
        room = min(longest // 2, longest - len(jobs[0].prompt))
        return [_attempt(result, room) for result in results]

    def _settled(self, job: _Job, attempt: Attempt) -> Attempt:
        """Look again, more widely, where the decoder has missed its end; then try chance where it is unsure."""
        while loop(attempt, job.seconds, job.language):
            wider = self._windows.wider(job.seconds, job.window)
            if wider is None:
                break
            job.window, before = wider, attempt
            self._encode(job)
            (attempt,) = self._generate([job])
            if attempt.tokens == before.tokens and attempt.ended:
                break  # two looks agree: it was said so
        attempts = [attempt]
        for temperature in TEMPERATURES[job.request.kind]:
            if doubt(attempts[-1], self._text(job, attempts[-1])) is None:
                return attempts[-1]
            attempts += self._generate(
                [job], beam_size=1, num_hypotheses=BEST_OF, sampling_topk=0, sampling_temperature=temperature
            )
        return max(attempts, key=lambda each: (loop(each, job.seconds, job.language) is None, each.log_probability))

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


def _is_sound(request: DecodeRequest) -> bool:
    """Tell whether there is anything to hear; of nothing at all Whisper is sure that it is the word "you"."""
    return bool(np.abs(np.frombuffer(request.audio, "<i2").astype(np.int32)).max(initial=0) > LEAST_PEAK)


def _alike(jobs: Sequence[_Job]) -> Iterator[list[_Job]]:
    """Put together what can be generated together: of one window, one length of prompt, one way to search."""

    def kind(job: _Job) -> tuple[float, int, int]:
        return job.window, len(job.prompt), job.request.options.beam_size

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


def default_threads() -> int:
    """Count the cores this process may use, up to MOST_THREADS."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(usable or 1, MOST_THREADS)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _explain(weights: Weights, settings: Models, error: Exception) -> str:
    if "compute type" in str(error):
        remedy = "set models.compute_type to auto, or to one that the device has"
    elif settings.device == "cuda":
        remedy = "set models.device to cpu, or see to the NVIDIA driver and libraries"
    else:
        remedy = "remove the directory to have the weights fetched anew, or name others"
    return (
        f"cannot load model {weights.name!r} from {weights.directory}"
        f" (device {settings.device}, compute type {settings.compute_type}): {error}; {remedy}"
    )
