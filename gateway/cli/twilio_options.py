"""What the subcommands of `linescribe twilio` have in common: who asks Twilio, and of which call."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import click

from config.checks import http_url, is_loopback
from config.secret import Secret
from gateway import twilio_rest
from gateway.asking import AskError
from gateway.cli.call_options import secret
from gateway.file_transcript import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

Command = TypeVar("Command", bound="Callable[..., object]")
Value = TypeVar("Value")

INTERRUPTED = 130

AUTH_TOKEN = "TWILIO_AUTH_TOKEN"  # noqa: S105  the variable's name
WANTS_AUTH_TOKEN = "Twilio wants the account's auth token: set TWILIO_AUTH_TOKEN, or give --auth-token-file PATH."  # noqa: S105  no secret
ODD_AUTH_TOKEN = "Expected an auth token of letters and digits alone, as Twilio's are."  # noqa: S105  no secret


def _sid(kind: str, what: str) -> Callable[[click.Context, click.Parameter, str], str]:
    """Take nothing but a SID of this kind; what is given instead may be a secret, and is not repeated."""

    def check(ctx: click.Context, param: click.Parameter, value: str) -> str:
        if not re.fullmatch(f"{kind}[0-9a-fA-F]{{32}}", value):
            raise click.BadParameter(f"expected the SID of {what}: {kind} and 32 hexadecimal digits", ctx, param)
        return value

    return check


def server_url(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Take a URL that a path can be put behind."""
    try:
        parts = http_url(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error
    if parts.query or parts.fragment or not value.isascii() or not value.isprintable() or " " in value:
        raise click.BadParameter("expected a URL without ?, # and blanks", ctx, param)
    return value


def _api_url(ctx: click.Context, param: click.Parameter, value: str) -> str:
    parts = urlsplit(server_url(ctx, param, value))
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise click.BadParameter("expected https://: the auth token would travel in the clear", ctx, param)
    return value


def twilio_options(command: Command) -> Command:
    """Add the call, and the options that say who asks Twilio for something."""
    options = [
        click.argument("call_sid", metavar="CALL_SID", callback=_sid("CA", "a call")),
        click.option(
            "--account",
            envvar="TWILIO_ACCOUNT_SID",
            show_envvar=True,
            required=True,
            metavar="SID",
            callback=_sid("AC", "an account"),
            help="The account that the call is of.",
        ),
        click.option(
            "--auth-token-file",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help=f"Where its auth token lies, if it is not in {AUTH_TOKEN}.",
        ),
        click.option(
            "--api",
            "api_url",
            default=twilio_rest.URL,
            show_default=True,
            metavar="URL",
            callback=_api_url,
            help="Twilio's REST API, such as that of another region.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def rest(account: str, auth_token_file: Path | None, api_url: str) -> twilio_rest.Rest:
    """Put together what is given of Twilio's API."""
    token = secret(auth_token_file, AUTH_TOKEN, WANTS_AUTH_TOKEN)
    if not token.isascii() or not token.isalnum():
        raise click.UsageError(ODD_AUTH_TOKEN)
    return twilio_rest.Rest(account=account, token=Secret(token), url=api_url)


def run(asking: Coroutine[object, object, Value]) -> Value:
    """Wait for what is asked for; end the program with status 1, and the reason, where it is not to be had."""
    try:
        return asyncio.run(asking)
    except AskError as error:
        click.echo(f"linescribe: {printable(str(error))}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
