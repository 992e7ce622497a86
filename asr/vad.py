"""Voice activity, block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING

import webrtcvad

from asr.types import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK_MS = 20
BLOCK_SAMPLES = SAMPLE_RATE_HZ * BLOCK_MS // 1000


def voice_detector(aggressiveness: int) -> Callable[[bytes], bool]:
    """Make WebRTC's detector for one track: it adapts to the track's noise, so tracks share none.

    It takes blocks of exactly 20 ms; `aggressiveness` is 0 (nearly everything is speech) to 3.
    """
    detector = webrtcvad.Vad(aggressiveness)

    def voiced(block: bytes) -> bool:
        return bool(detector.is_speech(block, SAMPLE_RATE_HZ))

    return voiced
