"""What `linescribe transcribe` shows on a terminal while it works; elsewhere it shows nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from gateway.file_transcript import clock_text, printable

if TYPE_CHECKING:
    from collections.abc import Callable

MEGABYTE = 1_000_000


class Preparing:
    """Shows how weights come in and are loaded, between its beginning and its end."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._status = console.status("looking for weights") if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status:
            self._status.stop()

    def fetched(self, name: str, done_bytes: int, total_bytes: int | None) -> None:
        """Show how much of the weights there is; from any thread."""
        total = f" of {total_bytes / MEGABYTE:.0f}" if total_bytes else ""
        self._show(f"preparing weights {name}: {done_bytes / MEGABYTE:.0f}{total} MB")

    def loading(self, name: str) -> None:
        """Show which model is being loaded."""
        self._show(f"loading {name}")

    def _show(self, text: str) -> None:
        if self._status:
            self._status.update(Text(text))


class Watcher:
    """Shows on a terminal how far it is, and nothing elsewhere. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        description = TextColumn("{task.description}", markup=False)
        columns = (description, BarColumn(), TextColumn("{task.fields[state]}"))
        console = Console(stderr=True)
        # Standard output has its own way, so the bar makes room for it; see `aside`.
        self._bar = Progress(
            *columns,
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not console.is_terminal,
        )
        self._files = 0
        self._number = 0
        self._total: float | None = 0.0
        self._clock = clock
        self._began: float | None = None
        self._length = ""
        self._task = self._bar.add_task("", total=None, state="")

    def expect(self, seconds: float | None) -> None:
        """Hear of a file that will come, and how long it says it is."""
        self._files += 1
        self._total = None if seconds is None or self._total is None else self._total + seconds

    def begin(self, name: str, duration_seconds: float | None) -> None:
        """Begin with the next file."""
        self._number += 1
        self._began = self._clock() if self._began is None else self._began
        self._length = "" if duration_seconds is None else f" of {clock_text(round(duration_seconds * 1000))}"
        self._bar.start()
        self._bar.update(
            self._task, total=self._total, description=f"file {self._number} of {self._files}, {printable(name)}"
        )

    def reached(self, all_ms: int, file_ms: int) -> None:
        """Move on to here: of all files, and of this one."""
        seconds = self._clock() - (self._began or 0.0)
        speed = f", {all_ms / 1000 / seconds:.1f} x real time" if seconds else ""
        self._bar.update(self._task, completed=all_ms / 1000, state=f"{clock_text(file_ms)}{self._length}{speed}")
        self._bar.refresh()

    def aside(self, act: Callable[[], None]) -> None:
        """Let something be printed where the bar stands."""
        if self._bar.live.is_started:
            self._bar.stop()
            act()
            self._bar.start()
        else:
            act()

    def stop(self) -> None:
        """Clear the bar away."""
        self._bar.stop()
