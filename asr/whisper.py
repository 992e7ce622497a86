"""Whisper by faster-whisper and CTranslate2, which are named nowhere else; runs in the model process only."""

from __future__ import annotations

import math
import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from faster_whisper import WhisperModel
from tqdm import tqdm

from asr.types import SAMPLE_RATE_HZ, DecodeKind, DecodeRequest, Hypothesis, ModelLoadError, Segment, Word

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from asr.weights import Weights
    from config.settings import Models

MOST_THREADS = 4
"""More help one decode little and take from the others."""

TEMPERATURES = {DecodeKind.FINAL: (0.0, 0.2, 0.6), DecodeKind.INTERIM: (0.0,)}
"""A final that looks wrong (a loop, hardly probable) is tried again with chance; an interim is soon replaced."""


# faster-whisper makes a progress bar of every decode, shown or not. Its lock would be one between processes, a
# named semaphore that the end of this process would leave behind.
tqdm.set_lock(threading.RLock())


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

    def warm_up(self) -> None:
        """Decode a second of faint noise: the first decode is slower than all others."""
        noise = np.random.default_rng(0).normal(0, 30, SAMPLE_RATE_HZ).astype("<i2")
        self.decode(
            DecodeRequest(
                request_id="warm-up",
                stream_key="",
                group_key="",
                kind=DecodeKind.INTERIM,
                audio=noise.tobytes(),
                origin_sample=0,
                language="en",
            )
        )

    def decode(self, request: DecodeRequest) -> Hypothesis:
        """Decode one utterance; raises whatever the model raises, as for a language it does not know."""
        language = request.language if self._model.model.is_multilingual else "en"
        segments, info = self._model.transcribe(
            _samples(request.audio),
            language=language,
            beam_size=request.options.beam_size,
            temperature=TEMPERATURES[request.kind],
            initial_prompt=request.options.initial_prompt,
            hotwords=request.options.hotwords,
            prefix=" ".join(request.prefix_words) or None,
            condition_on_previous_text=False,
            vad_filter=False,
            # Thirty seconds are one window, and one window without time stamps is one segment.
            without_timestamps=True,
            word_timestamps=request.options.word_times,
        )
        # Only the first: with word times, faster-whisper would go on to decode the silence after the last word.
        segment = next(iter(segments), None)
        return self._hypothesis(segment, info.language, info.language_probability if language is None else None)

    def _hypothesis(self, segment: Any, language: str, language_probability: float | None) -> Hypothesis:
        text = segment.text.strip() if segment else ""
        if not text:
            return Hypothesis(text="", model=self.name, language=language, language_probability=language_probability)
        return Hypothesis(
            text=text,
            model=self.name,
            language=language,
            language_probability=language_probability,
            confidence=math.exp(segment.avg_logprob),
            no_speech_probability=segment.no_speech_prob,
            segments=(Segment(text=text, start_ms=_ms(segment.start), end_ms=_ms(segment.end)),),
            words=tuple(_word(each) for each in segment.words or ()),
        )


def default_threads() -> int:
    """Count the cores this process may use, up to MOST_THREADS."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(usable or 1, MOST_THREADS)


def _samples(audio: bytes) -> NDArray[np.float32]:
    return np.frombuffer(audio, "<i2").astype(np.float32) / np.float32(32768)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _word(word: Any) -> Word:
    return Word(
        text=word.word.strip(),
        start_ms=_ms(word.start),
        end_ms=_ms(word.end),
        confidence=float(word.probability),
    )


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
