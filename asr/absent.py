"""No models: what stands in the place of an engine until there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asr.types import ModelError, ModelErrorCode, ignore_answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asr.types import DecodeRequest, Hypothesis, ModelRole, OnAnswer


class NoEngine:
    """An Engine without lanes: what is asked of it waits for the one that comes after it."""

    def lanes(self, _role: ModelRole) -> Sequence[int]:
        """Tell that there are none."""
        return ()

    def largest_batch(self, _lane: int) -> int:
        """Tell the least there is."""
        return 1

    def window(self, _lane: int, _audio_ms: int) -> float:
        """Tell that there is none."""
        return 0.0

    async def ready(self, _lane: int) -> None:
        """Wait for nothing."""

    async def decode(
        self, _lane: int, _batch: Sequence[DecodeRequest], _on_answer: OnAnswer = ignore_answer
    ) -> list[Hypothesis | ModelError]:
        """Raise ModelError: nobody should come here without a lane."""
        raise ModelError(ModelErrorCode.FAILED, "there are no models")
