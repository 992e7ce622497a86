"""Calls over WebSockets as a terminal shows them: a bar each, what was understood, and how they went."""

from __future__ import annotations

import asyncio
import sys
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.callers.upgrade import UpgradeError
from gateway.cli.call_options import PASSWORD
from gateway.file_transcript import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gateway.callers.sockets import OnProgress
    from gateway.callers.websocket import OnText, SocketCall

UNAUTHORIZED = 401
REMEDIES: Mapping[int, str] = MappingProxyType({UNAUTHORIZED: f"--user; {PASSWORD} or --password-file"})
"""What to give a gateway that refuses, by the status of its answer."""


class Play(Protocol):
    """Makes one call."""

    async def __call__(self, *, on_text: OnText, on_progress: OnProgress) -> SocketCall:
        """Raise OSError, UpgradeError where it does not come about."""
        ...


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A call that is to be made."""

    name: str
    """What its lines begin with."""
    files: tuple[Path, ...]
    """What it plays."""
    url: str
    play: Play
    unheard: str = ""
    """What to try where a call went well and nothing came back."""
    heard: str = ""
    """What to say where something came back."""
    remedies: Mapping[int, str] = REMEDIES

    @property
    def what(self) -> str:
        """Name the files."""
        return " + ".join(map(str, self.files))


def run(calls: Sequence[Planned], *, interims: bool) -> None:
    """Make all calls at once and end the program: with status 1 where one did not come about or was broken off."""
    try:
        sys.exit(asyncio.run(_Board(interims=interims).run(calls)))
    except KeyboardInterrupt:
        sys.exit(130)


class _Board:
    """What is shown while calls go on."""

    def __init__(self, *, interims: bool) -> None:
        self._interims = interims
        console = Console(stderr=True)
        # Standard output has its own way, so the bars make room for it; see `_say`.
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not console.is_terminal,
        )

    async def run(self, calls: Sequence[Planned]) -> int:
        """Make all calls; tell the exit status."""
        with self._bars:
            results = await asyncio.gather(*(self._make(call) for call in calls))
        for call, result in zip(calls, results, strict=True):
            if isinstance(result, str):
                click.echo(f"linescribe: {result}", err=True)
            else:
                click.echo(f"{call.name}  {summary(result)}{_hint(call, result)}")
        return int(any(isinstance(result, str) or failed(result) for result in results))

    async def _make(self, call: Planned) -> SocketCall | str:
        """Make one call; a text says why it did not come about."""
        bar = self._bars.add_task(f"{printable(' + '.join(file.name for file in call.files))} {call.name}")

        def on_progress(frames: int, total: int) -> None:
            self._bars.update(bar, completed=frames, total=total)

        def on_text(text: str) -> None:
            line = understood(text, interims=self._interims)
            if line is not None:
                self._say(f"{call.name}  {line}")

        try:
            return await call.play(on_text=on_text, on_progress=on_progress)
        except UpgradeError as error:
            remedy = call.remedies.get(error.status or 0)
            how = f" ({remedy})" if remedy else ""
            return f"{call.what}: no call to {call.url}: {printable(str(error))}{how}"
        except (OSError, TimeoutError) as error:
            reason = str(error) or "nobody answered"
            return f"{call.what}: no call to {call.url}: {reason}; is a gateway there?"

    def _say(self, line: str) -> None:
        """Print where the bars stand."""
        if self._bars.live.is_started:
            self._bars.stop()
            click.echo(line)
            self._bars.start()
        else:
            click.echo(line)


def _hint(call: Planned, result: SocketCall) -> str:
    """Say what the summary leaves open."""
    if result.texts:
        return call.heard
    return "" if failed(result) else call.unheard


def understood(text: str, *, interims: bool) -> str | None:
    """Put what the gateway said on one line; None for what is not to be shown."""
    data = _transcription(text)
    if data is None:
        return f"{'':10}  the gateway says {printable(text)}"
    is_interim = data.get("revision") is not None
    if is_interim and not interims:
        return None
    return f"{printable(str(data.get('track') or '')):10}  {printable(str(data.get('text')))}{' …' * is_interim}"


def _transcription(text: str) -> dict[str, Any] | None:
    """Read the data of a message that transcribes; None for any other."""
    try:
        message = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
    if not isinstance(message, dict) or message.get("type") != "transcription":
        return None
    data = message.get("data")
    return data if isinstance(data, dict) and "text" in data else None


def failed(result: SocketCall) -> bool:
    """Tell whether a call did not end as it was meant to."""
    return result.broken is not None or result.ended_by_gateway


def summary(result: SocketCall) -> str:
    """Put how a call went on one line."""
    parts = [f"{result.messages} messages with {result.audio_bytes} bytes of audio sent"]
    parts.append(f"{result.texts} texts received, ended by {_ended(result)}")
    if result.late_texts:
        parts.append(f"{result.late_texts} texts came after the end, too late for the real caller")
    if result.binaries:
        parts.append(f"{result.binaries} binary messages received, which no gateway should send")
    if result.overruns:
        parts.append(f"audio thrown away {result.overruns} times because it could not be sent")
    return ", ".join(parts)


def _ended(result: SocketCall) -> str:
    if result.broken is not None:
        return f"a break: {printable(result.broken)}"
    if not result.ended_by_gateway:
        return "the caller"
    code = f" with {result.close_code}" if result.close_code is not None else ""
    reason = f" {printable(result.close_reason)}" if result.close_reason else ""
    return f"the gateway{code}{reason}; its log says why"
