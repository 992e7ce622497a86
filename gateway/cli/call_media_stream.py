"""What the commands have in common that call as carriers of media streams do."""

from __future__ import annotations

import secrets
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from adapters.stream import Encoding
from gateway.callers.media_stream import call_media_stream
from gateway.callers.media_stream_names import Stream, new_stream
from gateway.callers.media_stream_plan import FORMATS, PACKETS_MS, Dialect, End, Shape, StreamPlan, pick_format
from gateway.callers.plan import parse_digit
from gateway.cli.call_options import add_options, each, pairs, read_files, socket_options, trust
from gateway.cli.call_sockets import Planned, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.callers.plan import At
    from gateway.cli.call_options import Command

_UNHEARD = "; what was understood is told by webhooks alone"
_HEARD = "; Twilio takes no texts on a stream of <Start>, and warns of them (31924, 31951)"


def stream_options(dialect: Dialect) -> Callable[[Command], Command]:
    """Add the options that the streams of all carriers have, with what each of them is untold."""
    add_socket = socket_options(
        f"ws://127.0.0.1:8080/{dialect}", ["20", "40", "60", "100", "200"], packet_ms=str(PACKETS_MS[dialect])
    )
    return lambda command: add_socket(add_options(add_options(command, _ways()), _sayings(dialect)))


def _sayings(dialect: Dialect) -> Sequence[Callable[[Command], Command]]:
    """Make the options of what a stream says."""
    formats = FORMATS[dialect]
    shapes = [shape.value for shape in Shape if shape is not Shape.MINIMAL or dialect is Dialect.TWILIO]
    return [
        click.option(
            "--encoding",
            type=click.Choice(list(dict.fromkeys(known.encoding.value for known in formats))),
            help=f"How samples are written; otherwise {formats[0].encoding}, or what has the --rate.",
        ),
        click.option(
            "--rate",
            type=click.Choice(sorted({str(known.rate_hz) for known in formats}, key=int)),
            help="Samples a second; otherwise the fewest that the encoding has.",
        ),
        click.option("--call-id", metavar="ID", help="Let all be streams of this call; otherwise each is of its own."),
        click.option("--account-id", metavar="ID", help="The carrier's name for the account."),
        click.option(
            "--digit",
            "digits",
            multiple=True,
            callback=each(parse_digit),
            metavar="AT:KEY",
            help="Press a key at that second.",
        ),
        click.option(
            "--shape",
            default=Shape.FULL.value,
            show_default=True,
            type=click.Choice(shapes),
            help="Leave out what some clients leave out.",
        ),
    ]


def _ways() -> Sequence[Callable[[Command], Command]]:
    """Make the options of how a stream fares."""
    return [
        click.option(
            "--loss", default=0.0, type=click.FloatRange(0, 1), metavar="SHARE", help="Lose this share of the packets."
        ),
        click.option(
            "--loss-numbered", is_flag=True, help="Lose them after they were numbered, so that numbers have gaps, too."
        ),
        click.option(
            "--jitter",
            default=0,
            type=click.IntRange(0, 10_000),
            metavar="MS",
            help="Let messages come up to so much late, in their order.",
        ),
        click.option(
            "--seed",
            default=0,
            show_default=True,
            type=click.IntRange(0),
            help="The same seed loses and delays the same; every call has the next one.",
        ),
        click.option(
            "--hangup-after",
            default=1.0,
            show_default=True,
            type=click.FloatRange(0, 3600),
            metavar="SECONDS",
            help="Let the line be silent for so long after the end of the audio.",
        ),
    ]


def end_option(untold: End = End.STOP) -> Callable[[Command], Command]:
    """Add the option of how a stream ends."""
    return click.option(
        "--end",
        default=untold.value,
        show_default=True,
        type=click.Choice([end.value for end in End]),
        help="Say stop and close, close without it, or break the connection.",
    )


def files_argument(command: Command) -> Command:
    """Add what is played: files, or two speakers of one call."""
    both = click.option(
        "--both",
        nargs=2,
        type=click.Path(path_type=Path),
        metavar="CALLER AGENT",
        help="One call of two tracks: inbound is the caller, outbound whom the caller hears.",
    )
    return click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")(both(command))


def parameter_option(text: str) -> Callable[[Command], Command]:
    """Add the option of what else a stream's start tells."""
    return click.option("--parameter", "parameters", multiple=True, callback=pairs, metavar="NAME=VALUE", help=text)


def play(
    dialect: Dialect,
    files: Sequence[Path],
    *,
    both: tuple[Path, Path] | None = None,
    url: str,
    ca: Path | None,
    calls: int,
    interims: bool,
    seed: int,
    proof: Sequence[str] = (),
    remedies: Mapping[int, str],
    call_id: str | None,
    account_id: str | None,
    parameters: tuple[tuple[str, str], ...] = (),
    told: Mapping[str, str] | None = None,
    **options: Any,
) -> None:
    """Make all calls, and end the program. `told` is what else a `Stream` says of itself."""
    if bool(files) == bool(both):
        raise click.UsageError("Give one FILE or more, or --both CALLER AGENT.")
    plan = _plan(dialect, tracks=2 if both else 1, **options)
    given = {"call_id": call_id, "account_id": account_id, **(told or {})}
    call = partial(call_media_stream, url=url, proof=proof, tls=trust(ca))
    planned: list[Planned] = []
    for played, payloads in _sounds(files, both, plan):
        for _ in range(calls):
            stream = _name(dialect, parameters, given)
            own = msgspec.structs.replace(plan, seed=seed + len(planned))
            planned.append(
                Planned(
                    name=stream.stream_id if call_id else stream.call_id,
                    files=played,
                    url=url,
                    play=partial(call, payloads, stream=stream, plan=own),
                    unheard=_UNHEARD,
                    heard=_HEARD if dialect is Dialect.TWILIO else "",
                    remedies=remedies,
                )
            )
    run(planned, interims=interims)


def _name(dialect: Dialect, parameters: tuple[tuple[str, str], ...], given: Mapping[str, str | None]) -> Stream:
    """Name a stream as its carrier would, but for what is given."""
    stream = msgspec.structs.replace(new_stream(dialect, secrets.token_bytes), parameters=parameters)
    return msgspec.structs.replace(stream, **{name: value for name, value in given.items() if value is not None})


def _sounds(
    files: Sequence[Path], both: tuple[Path, Path] | None, plan: StreamPlan
) -> list[tuple[tuple[Path, ...], list[bytes]]]:
    """Make the tracks' payloads of each call."""
    payloads = [plan.encode(pcm) for pcm in read_files(both or files, plan.format.rate_hz)]
    if both:
        return [(both, payloads)]
    return [((file,), [payload]) for file, payload in zip(files, payloads, strict=True)]


def _plan(
    dialect: Dialect,
    *,
    tracks: int,
    encoding: str | None,
    rate: str | None,
    packet_ms: str,
    digits: tuple[At, ...],
    shape: str,
    end: str,
    loss: float,
    loss_numbered: bool,
    jitter: int,
    reorder: float = 0.0,
    hangup_at: float | None,
    hangup_after: float,
) -> StreamPlan:
    try:
        return StreamPlan(
            dialect=dialect,
            format=pick_format(dialect, Encoding(encoding) if encoding else None, int(rate) if rate else None),
            tracks=tracks,
            packet_ms=int(packet_ms),
            epoch_ms=round(time.time() * 1000),  # noqa: TID251  a command names a clock
            shape=Shape(shape),
            keys=digits,
            end=End(end),
            hang_up_at=hangup_at,
            linger=hangup_after,
            loss=loss,
            lost_have_numbers=loss_numbered,
            jitter_ms=jitter,
            reorder=reorder,
        )
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error
