"""Decode profiles: how hard a decoder tries, and when it tries again. The names of the keys are faster-whisper's."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from config.types import Group

Task = Literal["transcribe", "translate"]

Temperature = Annotated[float, msgspec.Meta(gt=0, le=2)]


LEAST_CANDIDATES = 0.5
"""The decoder stops at beam_size times patience candidates, rounded; it needs one."""


class Profile(Group, frozen=True, kw_only=True):
    """One way to decode finals. An interim, which is soon replaced, is never tried again."""

    beam_size: Annotated[int, msgspec.Meta(ge=1, le=10)] = 1
    patience: Annotated[float, msgspec.Meta(gt=0, le=4)] = 1.0
    length_penalty: Annotated[float, msgspec.Meta(ge=0, le=4)] = 1.0
    temperatures: Annotated[tuple[Temperature, ...], msgspec.Meta(max_length=8)] = (0.2, 0.6)
    """With how much chance a text that is hardly likely is tried again, one after the other."""
    best_of: Annotated[int, msgspec.Meta(ge=1, le=10)] = 5
    log_prob_threshold: Annotated[float, msgspec.Meta(le=0)] = -1.0
    compression_ratio_threshold: Annotated[float, msgspec.Meta(gt=0)] = 2.4
    no_speech_threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.6

    def __post_init__(self) -> None:
        if self.beam_size * self.patience < LEAST_CANDIDATES:
            raise ValueError(
                f"Expected beam_size times patience of at least {LEAST_CANDIDATES}, got {self.beam_size} times"
                f" {self.patience}: the decoder would find nothing; raise patience"
            )


REALTIME = "realtime"
PROFILES = {
    REALTIME: Profile(),
    "accurate": Profile(beam_size=5, temperatures=(0.2, 0.4, 0.6, 0.8, 1.0)),
}
"""Those that need not be written down."""
