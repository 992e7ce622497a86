"""Events as lines; on a terminal with what is being said at this moment below them, until its final replaces it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live

from gateway.cli.receive_output import format_event
from gateway.receiver import Recent

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from gateway.receiver import Received

MOST_OPEN = 20
"""Utterances shown while they are being spoken; beyond it the oldest goes."""

REMEMBERED = 10_000

INTERIM = "transcript.interim"


class OpenUtterances:
    """The newest interim of every utterance that nothing has come of yet. Any `data` will do."""

    def __init__(self) -> None:
        self._newest: dict[str, Received] = {}
        self._over = Recent(REMEMBERED)
        """Utterances and calls of which an interim comes late."""

    @property
    def newest(self) -> list[Received]:
        """The interims, in the order in which their utterances began."""
        return list(self._newest.values())

    def take(self, event: Received) -> None:
        """Note what an event tells about utterances."""
        if event.type == INTERIM:
            self._replace(event)
        elif event.type == "call.ended":
            self._drop([each for each in self.newest if _of(each, "call_id") == _of(event, "call_id")])
            self._over.add(_of(event, "call_id"))
        elif event.data.get("utterance_id") is not None:
            self._drop([each for each in self.newest if _is_settled(each, event)])
            self._over.add(_of(event, "utterance_id"))

    def _replace(self, event: Received) -> None:
        utterance = _of(event, "utterance_id")
        known = self._newest.get(utterance)
        late = utterance in self._over or _of(event, "call_id") in self._over
        if late or (known and _number(event, "revision") <= _number(known, "revision")):
            return
        self._newest[utterance] = event
        if len(self._newest) > MOST_OPEN:
            self._drop(self.newest[:1])

    def _drop(self, events: list[Received]) -> None:
        for event in events:
            del self._newest[_of(event, "utterance_id")]


class LinePrinter:
    """Print every event as a line; on a terminal interims below the others, each in the place of the one before."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._moves = console.is_terminal and not console.is_dumb_terminal
        self._open = OpenUtterances()
        self._live = Live(
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=sys.stderr.isatty(),  # a complaint goes above the interims, too
        )

    def show(self, event: Received) -> None:
        """Print an event. Raises OSError when there is nobody to read it."""
        self._open.take(event)
        if self._moves:
            self._arrange()
        if event.type != INTERIM or not self._moves:
            self._console.print(format_event(event))  # above what has been arranged
            self._console.file.flush()

    def close(self) -> None:
        """Take the interims away."""
        self._live.stop()

    def _arrange(self) -> None:
        """Show what is being said."""
        lines = [_wrapped(format_event(each)) for each in self._open.newest]
        if lines:
            self._live.start()
        if self._live.is_started:
            self._live.update(Group(*lines), refresh=True)


def _wrapped(line: Text) -> Text:
    """Fold a line at the terminal's edge ourselves: where the terminal does it, nobody knows how many to erase."""
    line.no_wrap, line.overflow = False, "fold"
    return line


def _of(event: Received, name: str) -> str:
    return str(event.data.get(name))


def _number(event: Received, name: str) -> int:
    value = event.data.get(name)
    return value if isinstance(value, int) else 0


def _is_settled(interim: Received, event: Received) -> bool:
    """Tell whether an event is of an interim's utterance or a later one: those of a track are settled in order."""
    if _of(interim, "utterance_id") == _of(event, "utterance_id"):
        return True
    mine, other = ((_of(each, "call_id"), _of(each, "track")) for each in (interim, event))
    return mine == other and _number(interim, "start_ms") <= _number(event, "start_ms")
