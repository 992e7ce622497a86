"""Voice activity, block by block."""

from __future__ import annotations

import audioop
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
import webrtcvad

from asr.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK_MS = 20
BLOCK_SAMPLES = SAMPLE_RATE_HZ * BLOCK_MS // 1000

LEAST_PEAK = 8
"""The smallest step of mu-law (G.711), of 32,768. Speech that quiet does not come by telephone; a silent line may come
a little louder out of the resampler, and is for the model to judge."""

_HISS = tuple(
    block.tobytes() for block in np.random.default_rng(0).normal(0, LEAST_PEAK, (16, BLOCK_SAMPLES)).astype("<i2")
)
"""What a line that is connected sounds like when nobody speaks; always the same, for two runs to be alike."""


def voice_detector(aggressiveness: int) -> Callable[[bytes], bool]:
    """Make WebRTC's detector for one track: it adapts to the track's noise, so tracks share none.

    It takes blocks of exactly 20 ms; `aggressiveness` is 0 (nearly everything is speech) to 3.
    """
    detector = webrtcvad.Vad(aggressiveness)
    hiss = cycle(_HISS)

    def voiced(block: bytes) -> bool:
        if audioop.max(block, 2) > LEAST_PEAK:
            return bool(detector.is_speech(block, SAMPLE_RATE_HZ))
        # From digital silence it learns nothing, and then takes the first word, if it is quiet, for the line's noise.
        detector.is_speech(next(hiss), SAMPLE_RATE_HZ)
        return False

    return voiced
