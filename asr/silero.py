"""Silero's voice activity detector, as a second opinion on an utterance. Its weights come inside faster-whisper.

Too dear for every frame of every call, it hears what WebRTC's detector has let through. Runs in the model process.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from faster_whisper.utils import get_assets_path

if TYPE_CHECKING:
    import numpy.typing as npt

STEP_SAMPLES = 512
"""It tells of every 32 ms (silero-vad, `utils_vad.py`) ..."""

CONTEXT_SAMPLES = 64
"""... for which it wants to hear the end of those before."""

STATE = (1, 1, 128)
WEIGHTS = "silero_vad_v6.onnx"


class Silero:
    """The detector; any number of threads may ask at a time."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        weights = str(Path(get_assets_path()) / WEIGHTS)
        self._session: Any = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])

    def probabilities(self, audio: bytes) -> npt.NDArray[np.float32]:
        """Tell of every 32 ms of 16 kHz PCM how likely it is that somebody speaks; the last may be shorter."""
        samples = np.frombuffer(audio, "<i2").astype(np.float32) / np.float32(32768)
        steps = np.pad(samples, (0, -len(samples) % STEP_SAMPLES)).reshape(-1, STEP_SAMPLES)
        if not len(steps):
            return np.zeros(0, np.float32)
        before = np.zeros((len(steps), CONTEXT_SAMPLES), np.float32)
        before[1:] = steps[:-1, -CONTEXT_SAMPLES:]
        heard = np.concatenate([before, steps], axis=1)
        state = np.zeros(STATE, np.float32)
        probabilities, _, _ = self._session.run(None, {"input": heard, "h": state, "c": state})
        return np.asarray(probabilities, np.float32).reshape(-1)
