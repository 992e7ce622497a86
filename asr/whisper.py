"""Whisper by faster-whisper and CTranslate2, which are named nowhere else; runs in the model process only.

faster-whisper loads the model, and lends its features, its tokens and its alignment; encoding and generating is done
here, on CTranslate2. What is decoded how, and again, is `asr/transcriber.py`'s.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import ctranslate2
import msgspec
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens, merge_punctuations

from asr.cublas import preload_cublas
from asr.loading import default_threads, explained
from asr.quality import Attempt
from asr.types import SAMPLE_RATE_HZ, ModelLoadError, Word

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from asr.weights import Weights
    from config.profiles import Task
    from config.settings import Models

    Array = npt.NDArray[np.float32]

NOTHING = (-10.0 + 4.0) / 4.0
"""A feature of digital silence."""

SHORTEST_SAMPLES = SAMPLE_RATE_HZ // 10
PROMPT_AND_TEXT = 448
"""What the decoder holds in all. A text may take half of that (CTranslate2, `max_length`)."""

PREPENDED, APPENDED = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"  # noqa: RUF001  the marks that faster-whisper takes


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """How the decoder looks for a text: by so many beams, or by chance at a temperature, the best of so many."""

    beam_size: int = 1
    patience: float = 1.0
    length_penalty: float = 1.0
    temperature: float = 0.0
    best_of: int = 1

    def options(self) -> dict[str, Any]:
        """Say it in CTranslate2's words."""
        if self.temperature:
            return {
                "beam_size": 1,
                "num_hypotheses": self.best_of,
                "sampling_topk": 0,
                "sampling_temperature": self.temperature,
                "length_penalty": self.length_penalty,
            }
        return {"beam_size": self.beam_size, "patience": self.patience, "length_penalty": self.length_penalty}


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """What the decoder goes on from."""

    tokens: list[int]
    before: int
    """How many of them stand before the text; the rest are words that are settled, and count as text."""


class Whisper:
    """One loaded model, for so many threads at a time. Raises ModelLoadError when it cannot be loaded."""

    def __init__(self, weights: Weights, settings: Models, workers: int = 1) -> None:
        device = _device(settings)
        try:
            self._model = WhisperModel(
                str(weights.directory),
                device=device,
                device_index=settings.device_index[0] if device == "cuda" else 0,
                # CTranslate2's own "auto" would take the fastest, not what the weights are.
                compute_type="default" if settings.compute_type == "auto" else settings.compute_type,
                cpu_threads=settings.threads or default_threads(weights, settings.processes),
                num_workers=workers,
                local_files_only=True,
            )
        except Exception as error:  # CTranslate2 raises RuntimeError and ValueError, tokenizers bare Exception
            raise ModelLoadError(explained(weights, settings, error)) from error
        self.device: str = self._model.model.device
        # CTranslate2 calls int8 weights with float32 between them int8_float32; everybody else says int8.
        self.compute_type: str = self._model.model.compute_type.removesuffix("_float32")
        self.multilingual: bool = self._model.model.is_multilingual
        self.tokenizer = lru_cache(maxsize=256)(self._tokenizer)
        self.suppressed = list(get_suppressed_tokens(self.tokenizer("en"), [-1]))

    def _tokenizer(self, language: str, task: Task = "transcribe") -> Tokenizer:
        """Make the tokenizer of a language. Raises ValueError for one that Whisper does not know."""
        return Tokenizer(self._model.hf_tokenizer, self.multilingual, task=task, language=language)

    def features(self, audio: bytes) -> Array:
        """Make log-mel features, (bins, frames), of 16 kHz PCM."""
        samples = np.frombuffer(audio, "<i2").astype(np.float32) / np.float32(32768)
        padded = np.pad(samples, (0, max(0, SHORTEST_SAMPLES - len(samples))))
        features: Array = self._model.feature_extractor(padded)
        return features

    def encode(self, utterances: Sequence[Array], width: int) -> list[Array]:
        """Encode features in windows of so many frames; each answer is (1, positions, width of the model).

        On a CPU, several at once are no cheaper than one after the other, and take more memory.
        """
        windows = [_window(features, width) for features in utterances]
        if self.device == "cpu":
            return [self._encode(window) for window in windows]
        return np.split(self._encode(np.concatenate(windows)), len(windows))

    def _encode(self, windows: Array) -> Array:
        encoded = self._model.model.encode(ctranslate2.StorageView.from_array(windows), to_cpu=True)
        if encoded.dtype == ctranslate2.DataType.bfloat16:  # which numpy does not know
            encoded = encoded.to(ctranslate2.DataType.float32)
        return np.array(encoded)

    def languages(self, encoded: Sequence[Array]) -> list[dict[str, float]]:
        """Tell how likely each language is, the likeliest first; windows must be of one length.

        That is one step of the decoder, on what the encoder has made already.
        """
        found = self._model.model.detect_language(_storage(encoded))
        return [{token.removeprefix("<|").removesuffix("|>"): each for token, each in likely} for likely in found]

    def generate(
        self, encoded: Sequence[Array], prompts: Sequence[Prompt], *, most: int, search: Search
    ) -> list[Attempt]:
        """Let the decoder write at most so many tokens; windows must be of one length, and so must prompts."""
        before = prompts[0].before
        longest = min(PROMPT_AND_TEXT, max(2 * most, most + before))
        results = self._model.model.generate(
            _storage(encoded),
            [prompt.tokens for prompt in prompts],
            max_length=longest,
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=self.suppressed,
            **search.options(),
        )
        room = min(longest // 2, longest - before)
        return [_attempt(result, room, search.length_penalty) for result in results]

    def words(self, encoded: Array, tokens: Sequence[int], tokenizer: Tokenizer, heard_frames: int) -> Iterator[Word]:
        """Tell when each word was said, from what the encoder has made already."""
        text = [token for token in tokens if token < tokenizer.eot]
        (alignment,) = self._model.find_alignment(tokenizer, [text], _storage([encoded]), heard_frames)
        merge_punctuations(alignment, PREPENDED, APPENDED)
        for word in alignment:
            if word["word"].strip():
                yield Word(
                    text=word["word"].strip(),
                    start_ms=round(word["start"] * 1000),
                    end_ms=round(word["end"] * 1000),
                    confidence=float(word["probability"]),
                )


def _device(settings: Models) -> str:
    if settings.device == "cpu":
        return "cpu"
    preload_cublas()
    return "cuda" if settings.device == "cuda" or ctranslate2.get_cuda_device_count() else "cpu"


def _window(features: Array, width: int) -> Array:
    """Lay features into a window: (1, bins, width)."""
    features = features[:, :width]
    # Behind the audio stands what the features of silence would be (feature_extractor.py): 8 bels below the
    # loudest, and no less than nothing at all.
    silence = max(float(features.max()) - 2.0, NOTHING)
    window = np.full((1, features.shape[0], width), silence, np.float32)
    window[0, :, : features.shape[1]] = features
    return window


def _storage(encoded: Sequence[Array]) -> ctranslate2.StorageView:
    together = encoded[0] if len(encoded) == 1 else np.concatenate(encoded)
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(together))


def _attempt(result: Any, room: int, length_penalty: float) -> Attempt:
    tokens = tuple(result.sequences_ids[0])
    # The score is the sum over the tokens by their number, raised to the penalty; that of the end is left out
    # (faster-whisper, `generate_with_fallback`).
    total = result.scores[0] * len(tokens) ** length_penalty
    return Attempt(
        tokens=tokens,
        ended=len(tokens) < room,
        log_probability=total / (len(tokens) + 1),
        no_speech_probability=result.no_speech_prob,
    )
