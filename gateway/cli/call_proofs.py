"""What simulated carriers prove themselves by: signatures, or what Authorization says; and their options."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import click

from adapters.twilio import plivo_signature, signature
from config.secret import Secret
from gateway.callers.upgrade import parse_url
from gateway.cli.call_options import PASSWORD, add_options, credential_options, credentials
from gateway.cli.call_sockets import UNAUTHORIZED

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.cli.call_options import Command

AUTH_TOKEN = "LINESCRIBE_TWILIO_AUTH_TOKEN"  # noqa: S105  the variable's name
PLIVO_AUTH_TOKEN = "LINESCRIBE_PLIVO_AUTH_TOKEN"  # noqa: S105  the same

_FORBIDDEN = 403

_SIGN = f"{AUTH_TOKEN} or --auth-token-file; --signed-url where the gateway's public_url is another"
SIGNATURE = MappingProxyType({UNAUTHORIZED: _SIGN, _FORBIDDEN: _SIGN})
_SIGN_PLIVO = _SIGN.replace(AUTH_TOKEN, PLIVO_AUTH_TOKEN)
AUTHORIZATION = MappingProxyType({UNAUTHORIZED: f"--token-file, or --user and {PASSWORD} or --password-file"})
PLIVO = MappingProxyType(
    {UNAUTHORIZED: "put a secret of the listener's credentials into the path of --url", _FORBIDDEN: _SIGN_PLIVO}
)


def _secret(path: Path, option: str) -> str:
    """Read a file that holds a secret and nothing else."""
    secret = path.read_text().strip()
    if not secret.isascii() or not secret.isprintable() or not secret or " " in secret:
        raise click.UsageError(f"{option} wants a file with one token in it, and {path} is none.")
    return secret


def authorize(user: str | None, password_file: Path | None, token_file: Path | None) -> list[str]:
    """Make the line of Authorization; none where nothing is given."""
    if token_file is not None and (user is not None or password_file is not None):
        raise click.UsageError("Give --token-file or --user.")
    if token_file is not None:
        return [f"Authorization: Bearer {_secret(token_file, '--token-file')}"]
    given = credentials(user, password_file)
    return [f"Authorization: {given.basic}"] if given else []


def sign(url: str, auth_token_file: Path | None, signed_url: str | None) -> list[str]:
    """Sign the URL as Twilio knows it; nothing without a token."""
    token = _auth_token(auth_token_file, AUTH_TOKEN)
    if token is None:
        if signed_url is not None:
            raise click.UsageError(f"--signed-url needs the token: set {AUTH_TOKEN}, or give --auth-token-file PATH.")
        return []
    return [f"{signature.SIGNATURE}: {signature.sign(token, signed_url or _as_wss(url))}"]


def sign_plivo(url: str, auth_token_file: Path | None, signed_url: str | None) -> list[str]:
    """Sign the URL as Plivo was seen to do it; nothing without a token."""
    token = _auth_token(auth_token_file, PLIVO_AUTH_TOKEN)
    if token is None:
        return []
    nonce = secrets.token_hex(16)
    asked = f"http{(signed_url or _as_wss(url)).removeprefix('wss')}".partition("?")[0]
    return [
        f"{plivo_signature.SIGNATURE}: {plivo_signature.sign(token, asked, nonce)}",
        f"{plivo_signature.NONCE}: {nonce}",
    ]


def _auth_token(file: Path | None, variable: str) -> Secret | None:
    token = _secret(file, "--auth-token-file") if file else os.environ.get(variable, "")
    return Secret(token) if token else None


def _as_wss(url: str) -> str:
    return f"wss://{url.partition('://')[2]}"


def _wss(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    try:
        if value is not None and not parse_url(value).tls:
            raise click.BadParameter(f"a wss:// URL is what is signed, and {value} is none", ctx, param)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error
    return value


def authorization_options(command: Command) -> Command:
    """Add the options of who says who it is in Authorization."""
    return add_options(
        credential_options(command),
        [
            click.option(
                "--token-file",
                type=click.Path(path_type=Path, exists=True, dir_okay=False),
                help="Give the token in this file, as Authorization: Bearer.",
            )
        ],
    )


def signing_options(variable: str) -> Callable[[Command], Command]:
    """Add the options of who signs, with the token in this variable of the environment where no file is named."""
    options = [
        click.option(
            "--auth-token-file",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help=f"Sign with the account's auth token in this file; otherwise with that in {variable}, if any.",
        ),
        click.option(
            "--signed-url",
            metavar="URL",
            callback=_wss,
            help="Sign this wss:// URL; otherwise --url, as one of wss://.",
        ),
    ]
    return lambda command: add_options(command, options)
