"""`linescribe call asterisk`: calls of Asterisk's `AudioSocket()`."""

from __future__ import annotations

import asyncio
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.asking import AskError
from gateway.callers.api import Api
from gateway.callers.audiosocket import call_audiosocket
from gateway.callers.plan import RATE_HZ, At, CallPlan, parse_digit, parse_hold
from gateway.cli.call_options import MOST_CALLS, TOKEN, each, read_files, secret, trust
from gateway.file_transcript import printable

if TYPE_CHECKING:
    import ssl

    from gateway.callers.audiosocket import CallResult

WANTS_TOKEN = "--register needs a token of the gateway's http.tokens: --token-file PATH."  # noqa: S105  no secret

Voice = tuple[Path, bytes]
"""A file, and what it holds as PCM."""


class _Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """Where the calls go."""

    host: str
    tls: ssl.SSLContext | None
    api: Api | None


class _Stream(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be played: a call of its own, or one half of one."""

    path: Path
    pcm: bytes
    port: int
    stream_id: uuid.UUID
    announced: dict[str, str] | None


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")
@click.option(
    "--both",
    nargs=2,
    type=click.Path(path_type=Path),
    metavar="FILE FILE",
    help="One call of two streams: what the caller says, and what the other one says.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the gateway listens.")
@click.option("--port", default=9092, show_default=True, type=click.IntRange(1, 65535), help="Its AudioSocket port.")
@click.option(
    "--other-port",
    type=click.IntRange(1, 65535),
    help="Where the second stream of --both goes: the port after --port, or with --register that port itself.",
)
@click.option("--register", "register_url", metavar="URL", help="Announce every stream to the HTTP API there first.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Where the token for --register lies, if it is not in LINESCRIBE_CALL_TOKEN.",
)
@click.option("--tls", "over_tls", is_flag=True, help="Speak TLS to the AudioSocket port, as a tunnel would.")
@click.option(
    "--ca",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Trust the authority of this PEM file, or a certificate that it signed itself, for --tls and --register.",
)
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
    callback=each(parse_digit),
    metavar="AT:KEY",
    help="Press a key at that second.",
)
@click.option(
    "--hold", "holds", multiple=True, callback=each(parse_hold), metavar="AT:SECONDS", help="Send nothing for so long."
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
    files: tuple[Path, ...],
    *,
    both: tuple[Path, Path] | None,
    host: str,
    port: int,
    other_port: int | None,
    register_url: str | None,
    token_file: Path | None,
    over_tls: bool,
    ca: Path | None,
    calls: int,
    call_uuid: uuid.UUID | None,
    **plan: Any,
) -> None:
    """Call like Asterisk's AudioSocket(): one call for each FILE, all at the same time.

    FILE is a WAV file (PCM of 8 or 16 bits, any rate) or raw mu-law at 8 kHz (any other name). It is sent in
    real time, packet by packet, as 16-bit PCM at 8 kHz. A key leaves a hole of 200 ms in the audio, as it does in
    Asterisk. Exit status 1 if a file cannot be read or a call does not come about or is broken off.

    The two streams of --both bring the same UUID to two listeners, which need the same account to make one call
    of them. With --register they bring a UUID each, announced as the inbound and the outbound voice of one call.

    \b
    Examples:
      linescribe call asterisk greeting.wav
      linescribe call asterisk --calls 10 greeting.wav       ten callers say the same
      linescribe call asterisk --digit 1.5:5 --hold 3:10 greeting.wav
      linescribe call asterisk --both caller.wav agent.wav --register http://127.0.0.1:8080 --token-file pbx.token
    """
    if bool(files) == bool(both):
        raise click.UsageError("Give one FILE or more, or --both FILE FILE.")
    if call_uuid is not None and len(files) * calls > 1:
        raise click.UsageError("--uuid names one call; here are several.")
    authority = trust(ca)
    token = secret(token_file, TOKEN, WANTS_TOKEN) if register_url else ""
    api = Api(url=register_url, token=token, tls=authority) if register_url else None
    ports = port, other_port or (port if api else port + 1)
    paths = both or files
    voices = list(zip(paths, read_files(paths, RATE_HZ), strict=True))
    made = _pairs if both else _singles
    streams = [each for _ in range(calls) for each in made(voices, ports, call_uuid, registered=api is not None)]
    try:
        gateway = _Gateway(host=host, tls=authority if over_tls else None, api=api)
        sys.exit(asyncio.run(_call_all(streams, gateway, _plan(**plan))))
    except KeyboardInterrupt:
        sys.exit(130)


def _singles(
    voices: list[Voice], ports: tuple[int, int], call_uuid: uuid.UUID | None, *, registered: bool
) -> list[_Stream]:
    """Make a call of each file."""
    streams = []
    for path, pcm in voices:
        name = call_uuid or uuid.uuid4()
        announced = {"stream_id": str(name)} if registered else None
        streams.append(_Stream(path=path, pcm=pcm, port=ports[0], stream_id=name, announced=announced))
    return streams


def _pairs(
    voices: list[Voice], ports: tuple[int, int], call_uuid: uuid.UUID | None, *, registered: bool
) -> list[_Stream]:
    """Make one call of two files."""
    call = call_uuid or uuid.uuid4()
    streams = []
    for (path, pcm), port, role in zip(voices, ports, ("inbound", "outbound"), strict=True):
        name = call if not registered or role == "inbound" else uuid.uuid4()
        announced = {"stream_id": str(name), "external_call_id": str(call), "role": role} if registered else None
        streams.append(_Stream(path=path, pcm=pcm, port=port, stream_id=name, announced=announced))
    return streams


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


async def _call_all(streams: list[_Stream], gateway: _Gateway, plan: CallPlan) -> int:
    """Play all streams at once; tell the exit status."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        results = await asyncio.gather(*(_call(stream, gateway, plan, progress) for stream in streams))
    for result in results:
        if isinstance(result, str):
            click.echo(f"linescribe: {result}", err=True)
        else:
            by = "the gateway, whose log says why" if result.ended_by_gateway else "the caller"
            click.echo(f"{result.call_uuid}  {result.frames} frames sent, ended by {by}")
    return int(any(isinstance(result, str) or result.ended_by_gateway for result in results))


async def _call(stream: _Stream, gateway: _Gateway, plan: CallPlan, progress: Progress) -> CallResult | str:
    """Play one stream; a text says why it did not come about."""
    task = progress.add_task(f"{stream.path.name} {stream.stream_id}", total=len(stream.pcm))

    def on_progress(frames: int, total: int) -> None:
        progress.update(task, completed=frames, total=total)

    try:
        if gateway.api is not None and stream.announced is not None:
            await gateway.api.register(stream.announced)
        return await call_audiosocket(
            stream.pcm,
            host=gateway.host,
            port=stream.port,
            call_uuid=stream.stream_id,
            plan=plan,
            tls=gateway.tls,
            on_progress=on_progress,
        )
    except AskError as error:
        return f"{stream.path}: not registered, no call was made: {printable(str(error))}"
    except (OSError, TimeoutError) as error:
        reason = str(error) or "nobody answered"
        return f"{stream.path}: no call to {gateway.host}:{stream.port}: {reason}; is a gateway there?"
