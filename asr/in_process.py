"""Models within this very process, as an engine: for tests, a profiler or a debugger. Calls belong into `pool.py`'s.

What a model process guards against is not guarded against here: a decode that hangs, or that takes the process down.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from asr.types import ModelError, ModelErrorCode, ModelRole, ignore_answer
from asr.worker_process import answers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asr.types import DecodeRequest, Hypothesis, OnAnswer
    from asr.worker_process import Model


class InProcess:
    """An Engine over models that are loaded, each with a thread of its own. The same model twice has one lane."""

    def __init__(self, interim: Model, final: Model, *, batch_size: int = 8) -> None:
        models = [final] if interim is final else [final, interim]
        self._lanes = [(model, ThreadPoolExecutor(max_workers=1)) for model in models]
        self._roles = {ModelRole.FINAL: (0,), ModelRole.INTERIM: (len(models) - 1,)}
        self._batch_size = batch_size

    def lanes(self, role: ModelRole) -> tuple[int, ...]:
        """Tell which lane serves a role: the one."""
        return self._roles[role]

    def largest_batch(self, lane: int) -> int:  # noqa: ARG002  all the same
        """Tell how many requests a lane can decode together."""
        return self._batch_size

    def window(self, lane: int, audio_ms: int) -> float:  # noqa: ARG002  whatever comes is decoded together
        """Tell in what window a lane looks at so much audio."""
        return 0.0

    async def ready(self, lane: int) -> None:
        """Return: what is loaded stays loaded."""

    async def decode(
        self, lane: int, batch: Sequence[DecodeRequest], on_answer: OnAnswer = ignore_answer
    ) -> list[Hypothesis | ModelError]:
        """Decode a batch; a request that fails gives ModelError in its place."""
        model, thread = self._lanes[lane]
        loop = asyncio.get_running_loop()
        settled: dict[int, Hypothesis | ModelError] = {}

        def work() -> None:
            for place, answer in answers(model, dict(enumerate(batch)), lambda _too_many: None):
                settled[place] = answer.hypothesis or ModelError(ModelErrorCode.FAILED, answer.error or "no answer")
                loop.call_soon_threadsafe(on_answer, place, settled[place])

        await loop.run_in_executor(thread, work)
        return [settled[place] for place in range(len(batch))]

    def close(self) -> None:
        """End the threads, when they have nothing left to do."""
        for _, thread in self._lanes:
            thread.shutdown()
