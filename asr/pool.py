"""Several model processes as one engine: one for each GPU, or several on a CPU with many cores."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from asr.types import ModelRole, ignore_answer
from asr.worker import ModelProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asr.types import DecodeRequest, Hypothesis, ModelError, OnAnswer
    from asr.weights import Weights
    from asr.worker_batch import LoadedModel
    from config.settings import Models


class ModelPool:
    """An Engine whose lanes are those of its processes, side by side."""

    def __init__(self, processes: Sequence[ModelProcess]) -> None:
        self._processes = processes
        self._lanes = [(process, own) for process in processes for own in range(process.size)]
        self._of_role = {
            role: tuple(number for number, (process, own) in enumerate(self._lanes) if own in process.lanes(role))
            for role in ModelRole
        }

    @classmethod
    def of(cls, settings: Models, interim: Weights, final: Weights, **options: Any) -> ModelPool:
        """Plan as many processes as the settings ask for; `options` are those of ModelProcess."""
        places = [(index,) for index in settings.device_index for _ in range(settings.processes)]
        each = [msgspec.structs.replace(settings, device_index=place) for place in places]
        return cls([ModelProcess(one, interim, final, **options) for one in each])

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that are there."""
        return tuple(process.pid for process in self._processes if process.pid is not None)

    @property
    def models(self) -> tuple[LoadedModel, ...]:
        """What is loaded, process by process, final first."""
        return tuple(model for process in self._processes for model in process.models)

    def lanes(self, role: ModelRole) -> tuple[int, ...]:
        """Tell which lanes serve a role."""
        return self._of_role[role]

    def largest_batch(self, lane: int) -> int:
        """Tell how many requests a lane can decode together."""
        process, own = self._lanes[lane]
        return process.largest_batch(own)

    def window(self, lane: int, audio_ms: int) -> float:
        """Tell in what window a lane looks at so much audio, in seconds."""
        process, own = self._lanes[lane]
        return process.window(own, audio_ms)

    async def ready(self, lane: int) -> None:
        """Wait until a lane's models are loaded, or nothing more is to be waited for."""
        process, own = self._lanes[lane]
        await process.ready(own)

    async def decode(
        self, lane: int, batch: Sequence[DecodeRequest], on_answer: OnAnswer = ignore_answer
    ) -> list[Hypothesis | ModelError]:
        """Decode a batch; a request that fails gives ModelError in its place."""
        process, own = self._lanes[lane]
        return await process.decode(own, batch, on_answer)

    async def start(self, on_progress: Callable[[str], None] = lambda _name: None) -> None:
        """Load and warm up, all at once; `on_progress` hears the name of each model as its turn comes.

        Raises ModelLoadError, and leaves no process behind when it raises.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for process in self._processes:
                    group.create_task(process.start(on_progress))
        except BaseExceptionGroup as errors:
            await self.close()
            raise errors.exceptions[0] from None
        except BaseException:  # cancelled
            await self.close()
            raise

    async def close(self) -> None:
        """End the processes. Running decodes fail."""
        await asyncio.gather(*(process.close() for process in self._processes))
