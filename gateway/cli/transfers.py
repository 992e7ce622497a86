"""How far a transfer is: a bar on a terminal, a line for every tenth elsewhere; on standard error."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from asr.weights import unheard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import TaskID

    from asr import weights

STEPS = 10


class Tenths:
    """Tells when a transfer has come another tenth further."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}

    def percent(self, name: str, done_bytes: int, total_bytes: int | None) -> int | None:
        """Give the percentage when it is time to tell it; None when it was told, or the whole is not known."""
        if not total_bytes:
            return None
        step = done_bytes * STEPS // total_bytes
        if step == self._told.get(name):
            return None
        self._told[name] = step
        return step * 100 // STEPS


@contextmanager
def transfers(verb: str, *, lines: bool = True) -> Iterator[weights.Progress]:
    """Show what a progress hears, as long as this lasts; without `lines` on a terminal only."""
    if sys.stderr.isatty():
        with _bars() as bars:
            yield _Bars(bars, verb)
    else:
        yield _Lines(verb) if lines else unheard


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


class _Bars:
    """A bar for each model."""

    def __init__(self, bars: Progress, verb: str) -> None:
        self._bars = bars
        self._verb = verb
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, name: str, done_bytes: int, total_bytes: int | None) -> None:
        if name not in self._tasks:
            # What was there before counts as done, but not as speed.
            self._tasks[name] = self._bars.add_task(f"{self._verb} {name}", total=total_bytes, completed=done_bytes)
        self._bars.update(self._tasks[name], completed=done_bytes, total=total_bytes)


class _Lines:
    """A line for each tenth of each model."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._tenths = Tenths()

    def __call__(self, name: str, done_bytes: int, total_bytes: int | None) -> None:
        percent = self._tenths.percent(name, done_bytes, total_bytes)
        if percent is not None and total_bytes:
            click.echo(f"{self._verb} {name}: {percent} % of {decimal(total_bytes)}", err=True)
