"""What the commands that call have in common: options, and what is made of them."""

from __future__ import annotations

import os
import ssl
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from gateway.callers.audio import AudioFileError, read_audio
from gateway.callers.upgrade import Credentials, parse_url

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.callers.plan import At

Command = TypeVar("Command", bound="Callable[..., object]")

MOST_CALLS = 1000

PASSWORD = "LINESCRIBE_CALL_PASSWORD"  # noqa: S105  the variable's name
TOKEN = "LINESCRIBE_CALL_TOKEN"  # noqa: S105  the same


def each(parse: Callable[[str], At]) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], tuple[At, ...]]:
    """Read every `AT:WHAT` of an option."""

    def read(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[At, ...]:
        try:
            return tuple(parse(value) for value in values)
        except ValueError as error:
            raise click.BadParameter(f"expected {param.metavar}, such as 1.5:5, got {error}", ctx, param) from error

    return read


def pairs(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Read every `NAME=VALUE` of an option."""
    read = [value.partition("=") for value in values]
    if not all(name and mark for name, mark, _ in read):
        raise click.BadParameter(f"expected NAME=VALUE, got {' '.join(values)}", ctx, param)
    return tuple((name, value) for name, _, value in read)


def secret(file: Path | None, variable: str, wanted: str) -> str:
    """Read a secret from a file, or from a variable of the environment; `wanted` says what for, where there is none."""
    try:
        found = (file.read_text() if file else os.environ.get(variable, "")).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{file} cannot be read: {error}") from error
    if not found:
        raise click.UsageError(wanted)
    return found


def trust(ca: Path | None) -> ssl.SSLContext:
    """Trust the authority of a PEM file, or those that the system trusts."""
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise click.UsageError(f"--ca wants a PEM file with a certificate, and {ca} is none: {error}") from error


def _url(ctx: click.Context, param: click.Parameter, value: str) -> str:
    try:
        parse_url(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error
    return value


def add_options(command: Command, options: Sequence[Callable[[Command], Command]]) -> Command:
    """Add options in the order in which the help shows them."""
    for option in reversed(options):
        command = option(command)
    return command


def credential_options(command: Command) -> Command:
    """Add the options of a call that can name a user."""
    options = [
        click.option(
            "--user", metavar="NAME", help=f"Give this user; the password comes from {PASSWORD} or --password-file."
        ),
        click.option(
            "--password-file",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="Where the password of --user lies.",
        ),
    ]
    return add_options(command, options)


def socket_options(url: str, packets_ms: Sequence[str], *, packet_ms: str = "20") -> Callable[[Command], Command]:
    """Add the options of a call that comes over a WebSocket; `packet_ms` is what it is untold."""
    options = [
        click.option("--url", default=url, show_default=True, callback=_url, help="Where the gateway listens."),
        click.option(
            "--ca",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="Trust the authority of this PEM file, or a certificate that it signed itself, for a URL of wss://.",
        ),
        click.option(
            "--calls",
            default=1,
            show_default=True,
            type=click.IntRange(1, MOST_CALLS),
            help="How many times each call is made, all at the same time.",
        ),
        click.option(
            "--packet-ms", default=packet_ms, show_default=True, type=click.Choice(packets_ms), help="Packet time."
        ),
        click.option(
            "--hangup-at", type=click.FloatRange(0), metavar="SECONDS", help="End the call at that second of it."
        ),
        click.option("--interims", is_flag=True, help="Print what is heard while somebody still speaks, too."),
    ]

    return partial(add_options, options=options)


def credentials(user: str | None, password_file: Path | None) -> Credentials | None:
    """Put together what is given of user and password; None where neither is."""
    if user is None:
        if password_file is not None:
            raise click.UsageError("--password-file needs the --user whose password it is.")
        return None
    password = password_file.read_text().rstrip("\r\n") if password_file else os.environ.get(PASSWORD, "")
    if not password:
        raise click.UsageError(f"--user needs a password: set {PASSWORD}, or give --password-file PATH.")
    return Credentials(user, password)


def read_files(files: Sequence[Path], rate_hz: int) -> list[bytes]:
    """Read every file as 16-bit mono PCM; where one cannot be read, say so and end with status 1."""
    try:
        return [read_audio(path, rate_hz) for path in files]
    except AudioFileError as error:
        click.echo(f"linescribe: {error}; no call was made", err=True)
        sys.exit(1)
