"""`linescribe call`: simulated telephone systems."""

from __future__ import annotations

import asyncio
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from gateway.call_plan import At, CallPlan, parse_digit, parse_hold
from gateway.caller import AudioFileError, CallResult, call_audiosocket, read_audio

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_CALLS = 1000


def _each(parse: Callable[[str], At]) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], tuple[At, ...]]:
    """Read every `AT:WHAT` of an option."""

    def read(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[At, ...]:
        try:
            return tuple(parse(value) for value in values)
        except ValueError as error:
            raise click.BadParameter(f"expected {param.metavar}, such as 1.5:5, got {error}", ctx, param) from error

    return read


@click.group()
def call() -> None:
    """Play files into a gateway as a telephone system would.

    \b
    Example:
      linescribe call asterisk greeting.wav answer.ulaw
    """


@call.command(short_help="Call like Asterisk's AudioSocket().")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the gateway listens.")
@click.option("--port", default=9092, show_default=True, type=click.IntRange(1, 65535), help="Its AudioSocket port.")
@click.option(
    "--calls",
    default=1,
    show_default=True,
    type=click.IntRange(1, MOST_CALLS),
    help="How many calls play each FILE at the same time.",
)
@click.option("--uuid", "call_uuid", type=click.UUID, help="The call's UUID, for a single call; random otherwise.")
@click.option(
    "--packet-ms", default="20", show_default=True, type=click.Choice(["10", "20", "30", "40"]), help="Packet time."
)
@click.option(
    "--digit",
    "digits",
    multiple=True,
    callback=_each(parse_digit),
    metavar="AT:KEY",
    help="Press a key at that second.",
)
@click.option(
    "--hold", "holds", multiple=True, callback=_each(parse_hold), metavar="AT:SECONDS", help="Send nothing for so long."
)
@click.option("--hangup-at", type=click.FloatRange(0), metavar="SECONDS", help="Hang up before the end of the file.")
@click.option("--reset", is_flag=True, help="End with a reset of the connection, as a broken call does.")
@click.option(
    "--hangup-after",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0, 3600),
    metavar="SECONDS",
    help="Stay connected, sending nothing, after the end of the file.",
)
def asterisk(
    files: tuple[Path, ...], host: str, port: int, calls: int, call_uuid: uuid.UUID | None, **plan: Any
) -> None:
    """Call like Asterisk's AudioSocket(): one call for each FILE, all at the same time.

    FILE is a WAV file (PCM of 8 or 16 bits, any rate) or raw mu-law at 8 kHz (any other name). It is sent in
    real time, packet by packet, as 16-bit PCM at 8 kHz. A key leaves a hole of 200 ms in the audio, as it does in
    Asterisk. Exit status 1 if a file cannot be read or a call does not come about or is broken off.

    \b
    Examples:
      linescribe call asterisk greeting.wav
      linescribe call asterisk --calls 10 greeting.wav       ten callers say the same
      linescribe call asterisk --digit 1.5:5 --hold 3:10 greeting.wav
    """
    if call_uuid is not None and len(files) * calls > 1:
        raise click.UsageError("--uuid names one call; here are several.")
    try:
        audio = [each for path in files for each in [(path, read_audio(path))] * calls]
    except AudioFileError as error:
        click.echo(f"linescribe: {error}; no call was made", err=True)
        sys.exit(1)
    try:
        sys.exit(asyncio.run(_call_all(audio, host, port, call_uuid, _plan(**plan))))
    except KeyboardInterrupt:
        sys.exit(130)


def _plan(
    packet_ms: str,
    digits: tuple[At, ...],
    holds: tuple[At, ...],
    hangup_at: float | None,
    reset: bool,
    hangup_after: float,
) -> CallPlan:
    return CallPlan(
        packet_ms=int(packet_ms),
        digits=digits,
        holds=holds,
        hang_up_at=hangup_at,
        reset=reset,
        linger=hangup_after,
    )


async def _call_all(
    audio: list[tuple[Path, bytes]], host: str, port: int, call_uuid: uuid.UUID | None, plan: CallPlan
) -> int:
    """Make all calls at once; tell the exit status."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:

        async def one(path: Path, pcm: bytes) -> CallResult | str:
            name = call_uuid or uuid.uuid4()
            task = progress.add_task(f"{path.name} {name}", total=len(pcm))

            def on_progress(frames: int, total: int, task: TaskID = task) -> None:
                progress.update(task, completed=frames, total=total)

            try:
                return await call_audiosocket(
                    pcm, host=host, port=port, call_uuid=name, plan=plan, on_progress=on_progress
                )
            except (OSError, TimeoutError) as error:
                return f"{path}: no call to {host}:{port}: {str(error) or 'nobody answered'}; is a gateway there?"

        results = await asyncio.gather(*(one(path, pcm) for path, pcm in audio))
    for result in results:
        if isinstance(result, str):
            click.echo(f"linescribe: {result}", err=True)
        else:
            by = "the gateway" if result.ended_by_gateway else "the caller"
            click.echo(f"{result.call_uuid}  {result.frames} frames sent, ended by {by}")
    return int(any(isinstance(result, str) or result.ended_by_gateway for result in results))
