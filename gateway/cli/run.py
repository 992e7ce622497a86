"""`linescribe run`: the gateway as a process, from its settings to its exit status."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import click
import structlog

from asr.types import ModelLoadError
from asr.weights import WeightsError
from gateway import __version__, log
from gateway.cli.check_config import check_files_or_exit, config_option, read_settings, settings_or_exit
from gateway.cli.transfers import Tenths
from gateway.delivery.outbox import OutboxError
from gateway.models import start_models
from gateway.service import Gateway

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from asr.pool import ModelPool
    from config.settings import Models, Settings

logger = structlog.get_logger()


@click.command()
@config_option
def run(file: Path | None) -> None:
    """Run the gateway until it is told to stop.

    Every setting has a default; a file given with --config (or LINESCRIBE_CONFIG) and the environment change
    them. `linescribe check-config` shows the outcome.

    SIGTERM or Ctrl-C: no new calls, those in progress run on (calls.drain_seconds). A second one: calls are
    ended and finished within calls.hurry_seconds. Either way what could not be delivered is stored, and sent
    after the next start. SIGHUP, or `linescribe reload`: the settings are read again, and what can change under
    calls in progress is taken over.

    \b
    Try it, with a receiver and a call of your own:
      linescribe receive                  prints the settings that send events to it
      linescribe run --config my.yaml
      linescribe call asterisk call.wav
    """
    settings = settings_or_exit(file)
    check_files_or_exit(settings)
    log.configure(settings.log)
    faulthandler.enable()  # a watchdog's SIGABRT leaves in the log where each thread stood
    logger.info("starting", version=__version__, pid=os.getpid(), config=str(file) if file else None)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_run(settings, file))
    except* (WeightsError, ModelLoadError, OutboxError, OSError) as group:
        for error in _leaves(group):
            logger.error("cannot run", error=str(error))  # noqa: TRY400  the message is for the operator
        sys.exit(1)


async def _run(settings: Settings, file: Path | None) -> None:
    def bring_up(models: Models) -> Coroutine[Any, Any, ModelPool]:
        return start_models(models, _Progress(), most_restarts=None)

    gateway = Gateway(settings, bring_up, read=lambda: read_settings(file))
    loop = asyncio.get_running_loop()
    on_signal = _Debounced(gateway.stop, loop.time)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    loop.add_signal_handler(signal.SIGHUP, gateway.reload)
    await gateway.run()


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Give the errors of a group, and of the groups in it."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


class _Debounced:
    """Hears a repeated signal once: some programs send it to a process and then to its whole group."""

    SECONDS = 1.0

    def __init__(self, act: Callable[[], None], clock: Callable[[], float]) -> None:
        self._act = act
        self._clock = clock
        self._heard_at: float | None = None

    def __call__(self) -> None:
        now = self._clock()
        if self._heard_at is None or now - self._heard_at >= self.SECONDS:
            self._heard_at = now
            self._act()


class _Progress:
    """Logs every tenth of a long transfer."""

    def __init__(self) -> None:
        self._tenths = Tenths()

    def __call__(self, name: str, done_bytes: int, total_bytes: int | None) -> None:
        percent = self._tenths.percent(name, done_bytes, total_bytes)
        if percent is not None:
            logger.info("preparing weights", model=name, percent=percent)


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """Choose uvloop where it is: it halves what a frame costs."""
    try:
        import uvloop  # noqa: PLC0415  not on every platform
    except ImportError:
        return None
    return uvloop.Loop
