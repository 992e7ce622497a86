"""`linescribe call freeswitch`: calls of FreeSWITCH's mod_audio_fork and mod_audio_stream."""

from __future__ import annotations

import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from gateway.callers.audio import mixed, stereo
from gateway.callers.freeswitch import call_freeswitch
from gateway.callers.freeswitch_plan import RATES_HZ, End, ForkPlan, Module, with_format
from gateway.callers.plan import At, parse_at, parse_hold
from gateway.cli.call_options import credential_options, credentials, each, read_files, socket_options, trust
from gateway.cli.call_sockets import Planned, run

if TYPE_CHECKING:
    from collections.abc import Sequence

URL = "ws://127.0.0.1:8080/freeswitch"

_WAIT = "; --end graceful waits for what is told after the end"

Sound = tuple[tuple[Path, ...], bytes]
"""What is played in one call, and which files it is of."""


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")
@click.option(
    "--both",
    nargs=2,
    type=click.Path(path_type=Path),
    metavar="CALLER AGENT",
    help="One call of two speakers: the caller on the left channel, the other one on the right.",
)
@click.option("--mixed", "is_mixed", is_flag=True, help="Send the two speakers of --both on one channel.")
@socket_options(URL, ["10", "20", "30", "40", "60", "100"])
@credential_options
@click.option(
    "--rate",
    default=str(RATES_HZ[0]),
    show_default=True,
    type=click.Choice([str(rate_hz) for rate_hz in RATES_HZ]),
    help="Samples a second.",
)
@click.option(
    "--module",
    default=Module.FORK.value,
    show_default=True,
    type=click.Choice([module.value for module in Module]),
    help="mod_audio_fork or mod_audio_stream.",
)
@click.option("--metadata", metavar="JSON", help='The first text; otherwise {"callId": UUID}, another for each call.')
@click.option("--no-metadata", is_flag=True, help="Send no first text.")
@click.option(
    "--text",
    "texts",
    multiple=True,
    callback=each(parse_at),
    metavar="AT:TEXT",
    help="Send a text at that second, as send_text does.",
)
@click.option(
    "--pause",
    "pauses",
    multiple=True,
    callback=each(parse_hold),
    metavar="AT:SECONDS",
    help="Throw away what is said for so long, as pause and resume do.",
)
@click.option(
    "--end",
    default=End.HANGUP.value,
    show_default=True,
    type=click.Choice([end.value for end in End]),
    help="Hang up, stop the module, or let it ask the gateway for its last words (graceful-shutdown).",
)
@click.option("--last-text", metavar="TEXT", help="What --end stop says before it ends.")
@click.option(
    "--hangup-after",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0, 3600),
    metavar="SECONDS",
    help="Let the line be silent for so long after the end of the audio.",
)
def freeswitch(
    files: tuple[Path, ...],
    *,
    both: tuple[Path, Path] | None,
    is_mixed: bool,
    url: str,
    user: str | None,
    password_file: Path | None,
    ca: Path | None,
    calls: int,
    interims: bool,
    metadata: str | None,
    no_metadata: bool,
    **options: Any,
) -> None:
    """Call like FreeSWITCH's mod_audio_fork: one call for each FILE, all at the same time.

    FILE is a WAV file (PCM of 8 or 16 bits, any rate) or raw mu-law at 8 kHz (any other name). It is sent in
    real time, packet by packet, as 16-bit PCM. Nothing on the wire tells its rate and its channels: rate= and
    channels= are added to the URL's query, unless they stand there. What the gateway understands comes back
    over the same connection and is printed. Exit status 1 if a file cannot be read or a call does not come
    about or is broken off.

    Text that comes after the end finds nobody, as in FreeSWITCH: --end graceful waits for it.

    \b
    Examples:
      linescribe call freeswitch greeting.wav
      linescribe call freeswitch --both caller.wav agent.wav --rate 16000 --end graceful
      linescribe call freeswitch --calls 10 --interims greeting.wav
      linescribe call freeswitch --text '1.5:{"digit": 5}' --pause 3:10 greeting.wav
      linescribe call freeswitch --module stream --user pbx --password-file pbx.password greeting.wav
    """
    if bool(files) == bool(both):
        raise click.UsageError("Give one FILE or more, or --both CALLER AGENT.")
    if is_mixed and not both:
        raise click.UsageError("--mixed needs the two speakers of --both.")
    if no_metadata and metadata is not None:
        raise click.UsageError("Give --metadata or --no-metadata.")
    plan = _plan(channels=2 if both and not is_mixed else 1, metadata=metadata, **options)
    target = with_format(url, plan)
    play = partial(call_freeswitch, url=target, credentials=credentials(user, password_file), tls=trust(ca))
    unheard = _WAIT if plan.module is Module.FORK and plan.end is not End.GRACEFUL else ""
    planned = []
    for played, pcm in _sounds(both or files, plan.rate_hz, paired=bool(both), is_mixed=is_mixed):
        for name in (str(uuid.uuid4()) for _ in range(calls)):
            own = {} if no_metadata or metadata is not None else {"metadata": _call_id(name)}
            play_it = partial(play, pcm, plan=msgspec.structs.replace(plan, **own))
            planned.append(Planned(name=name, files=played, url=url, play=play_it, unheard=unheard))
    run(planned, interims=interims)


def _plan(
    *,
    channels: int,
    rate: str,
    packet_ms: str,
    module: str,
    metadata: str | None,
    texts: tuple[At, ...],
    pauses: tuple[At, ...],
    end: str,
    last_text: str | None,
    hangup_at: float | None,
    hangup_after: float,
) -> ForkPlan:
    try:
        return ForkPlan(
            module=Module(module),
            rate_hz=int(rate),
            channels=channels,
            packet_ms=int(packet_ms),
            metadata=metadata,
            texts=texts,
            pauses=pauses,
            end=End(end),
            last_text=last_text,
            hang_up_at=hangup_at,
            linger=hangup_after,
        )
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error


def _call_id(name: str) -> str:
    return msgspec.json.encode({"callId": name}).decode()


def _sounds(files: Sequence[Path], rate_hz: int, *, paired: bool, is_mixed: bool) -> list[Sound]:
    """Make the audio of each call of files: of every one, or of the pair."""
    sounds = read_files(files, rate_hz)
    if not paired:
        return [((file,), sound) for file, sound in zip(files, sounds, strict=True)]
    return [(tuple(files), (mixed if is_mixed else stereo)(*sounds))]
