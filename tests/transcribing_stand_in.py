"""The command `linescribe` with a stand-in for the model, in the real model process.

Usage: python -m tests.transcribing_stand_in transcribe ...
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from asr.weights import Weights
from asr.worker import ModelProcess
from gateway.cli import main
from tests.fakes import STAND_IN

if TYPE_CHECKING:
    from collections.abc import Callable

    from asr.weights import Progress
    from config.settings import Models


async def start(models: Models, progress: Progress, on_loading: Callable[[str], None]) -> ModelProcess:
    """Stand in for `start_models`; the model's name tells the stand-in what to do."""
    progress(models.final, 1_000_000, 2_000_000)
    weights = Weights(name=models.final, directory=Path("/nowhere"), source="path")
    engine = ModelProcess(models, weights, weights, loader=STAND_IN)
    await engine.start(on_loading)
    return engine


if __name__ == "__main__":
    with mock.patch("gateway.cli.transcribe.start_models", start):
        main()
