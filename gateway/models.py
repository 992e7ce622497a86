"""From settings to models that decode: their weights found or fetched, their process begun."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from asr.pool import ModelPool
from asr.weights import Weights, default_cache_dir, resolve
from asr.worker import LOADER

if TYPE_CHECKING:
    from collections.abc import Callable

    from asr.weights import Progress
    from config.settings import Models

T = TypeVar("T")

COMMANDS_RESTARTS = 3
"""A command that cannot bring its model process back says so; a gateway (None) never gives up."""

CLOSE_SECONDS = 1.0
"""The model process ends at once when asked; one that does not is killed."""


def cache_dir(settings: Models) -> Path:
    """Choose where weights are kept: the setting, systemd's directory, or the user's own."""
    return Path(settings.cache_dir).expanduser() if settings.cache_dir else default_cache_dir(os.environ)


async def find_weights(name: str, settings: Models, progress: Progress) -> Weights:
    """Find weights by their name, or fetch them. Raises WeightsError."""
    cache = cache_dir(settings)
    return await in_daemon_thread(lambda: resolve(name, cache_dir=cache, offline=settings.offline, progress=progress))


async def start_models(
    settings: Models,
    progress: Progress,
    on_loading: Callable[[str], None] = lambda _name: None,
    *,
    most_restarts: int | None = COMMANDS_RESTARTS,
) -> ModelPool:
    """Bring up the models that the settings name, warm; who gets them closes them.

    `progress` hears of transfers, `on_loading` the name of each model that is about to be loaded.
    Raises WeightsError or ModelLoadError.
    """
    final = await find_weights(settings.final, settings, progress)
    interim = final if settings.interim == settings.final else await find_weights(settings.interim, settings, progress)
    engine = ModelPool.of(
        settings, interim, final, loader=LOADER, close_seconds=CLOSE_SECONDS, most_restarts=most_restarts
    )
    await engine.start(on_loading)
    return engine


async def in_daemon_thread(work: Callable[[], T]) -> T:
    """Run blocking work that must not hold up the end of the process, as a download in an executor would."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(settle: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(lambda: None if done.done() else settle())

    def run() -> None:
        try:
            found = work()
        except Exception as error:  # noqa: BLE001  raised where it is waited for
            failure = error
            tell(lambda: done.set_exception(failure))
        else:
            tell(lambda: done.set_result(found))

    threading.Thread(target=run, daemon=True).start()
    return await done
