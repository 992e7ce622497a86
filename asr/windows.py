"""How much the encoder is given to look at: a window that follows the audio, not always thirty seconds. Pure.

What Whisper costs is what its window costs: on one core of a small machine 40 ms for 7 seconds with base, 580 ms
for 30. Below a floor, which is each model's own, and too close behind the last word, it begins to miss words or its
own end; such an utterance is looked at again, more widely (`asr/quality.py` tells which).
"""

from __future__ import annotations

import msgspec

FRAMES_PER_SECOND = 100
LONGEST_SECONDS = 30.0

STEPS_SECONDS = (7.0, 8.0, 10.0, 12.0, 15.0, 20.0, 25.0, LONGEST_SECONDS)
"""Windows are of these lengths only, so that utterances of about one length are decoded together."""

FLOORS_SECONDS = {"tiny": 10.0, "tiny.en": 10.0, "base": 7.0, "base.en": 7.0}
"""Base and tiny.en were measured (docs/performance.md); the others have not been."""

FLOOR_SECONDS = 10.0
MARGIN_SECONDS = 2.0

SECOND_LOOK_SECONDS = 10.0
SECOND_LOOK_MARGIN_SECONDS = 3.0


class Windows(msgspec.Struct, frozen=True, kw_only=True):
    """The windows of one model."""

    floor_seconds: float = FLOOR_SECONDS
    margin_seconds: float = MARGIN_SECONDS
    steps_seconds: tuple[float, ...] = STEPS_SECONDS

    @classmethod
    def of(cls, model: str, *, full: bool) -> Windows:
        """Choose for a model by its name; `full` windows are always of thirty seconds."""
        return cls(floor_seconds=LONGEST_SECONDS if full else FLOORS_SECONDS.get(model, FLOOR_SECONDS))

    def first(self, audio_seconds: float) -> float:
        """Give the window to begin with, in seconds."""
        return self._step(max(self.floor_seconds, audio_seconds + self.margin_seconds))

    def wider(self, audio_seconds: float, than: float) -> float | None:
        """Give the window for another look, after one that was wrong; None when there is no wider one."""
        second = self._step(max(SECOND_LOOK_SECONDS, audio_seconds + SECOND_LOOK_MARGIN_SECONDS))
        return next((window for window in (second, LONGEST_SECONDS) if window > than), None)

    def _step(self, seconds: float) -> float:
        return next((step for step in self.steps_seconds if step >= seconds), LONGEST_SECONDS)


def frames(window_seconds: float) -> int:
    """Tell how many frames of features a window holds."""
    return round(window_seconds * FRAMES_PER_SECOND)
