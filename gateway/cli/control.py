"""How commands speak with the gateway on this machine: by the control socket in its state directory."""

from __future__ import annotations

import asyncio
import sys
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import aiohttp
import click
import msgspec

from gateway.cli.check_config import config_option, settings_or_exit
from gateway.http.control_socket import NAME, reachable
from gateway.state import state_directory

if TYPE_CHECKING:
    from collections.abc import Callable

NOT_RUNNING = 3
"""Exit status where no gateway answers."""
REFUSED = 1
"""Exit status where it answers that it does not."""


class ControlError(Exception):
    """The gateway did not do what was asked: `status` is the command's exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def gateway_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --config and --state-dir, and hand over the gateway's state directory as `directory`."""

    @config_option
    @click.option(
        "--state-dir",
        type=click.Path(path_type=Path),
        help="Its state directory, where the file does not say.",
    )
    @wraps(command)
    def with_directory(file: Path | None, state_dir: Path | None, **rest: Any) -> None:
        command(directory=state_dir or state_directory(settings_or_exit(file)), **rest)

    return with_directory


def ask_or_exit(directory: Path, method: str, path: str, body: object = None) -> Any:
    """Ask a gateway, and give its answer; what goes wrong is said in one line, and is the exit status."""
    try:
        return asyncio.run(request(directory, method, path, body))
    except ControlError as error:
        fail(error)
    except KeyboardInterrupt:
        click.echo("linescribe: it goes on without you; the gateway's log tells the outcome", err=True)
        sys.exit(130)


def fail(error: ControlError) -> NoReturn:
    """Say what went wrong, and exit."""
    click.echo(f"linescribe: {error}", err=True)
    sys.exit(error.status)


async def request(directory: Path, method: str, path: str, body: object = None) -> Any:
    """Make a request of the gateway that has a state directory. Raises ControlError."""
    try:
        with reachable(directory) as socket:
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.UnixConnector(socket), timeout=aiohttp.ClientTimeout(total=None)
                ) as session,
                session.request(method, f"http://localhost{path}", json=body) as response,
            ):
                content = await response.read()
    except (aiohttp.ClientConnectorError, OSError) as error:
        raise ControlError(_unreachable(directory, error), NOT_RUNNING) from error
    except aiohttp.ClientError as error:
        raise ControlError(f"the gateway went away: {error}", NOT_RUNNING) from error
    answer = msgspec.json.decode(content)
    if response.status >= 400:  # noqa: PLR2004  RFC 9110 15.5
        raise ControlError(str(answer["error"]["message"]), REFUSED)
    return answer


def _unreachable(directory: Path, error: Exception) -> str:
    place = directory / NAME
    cause = getattr(error, "os_error", error)
    if isinstance(cause, PermissionError):
        return f"{place}: permission denied; be the gateway's user, or root (sudo)"
    return f"no gateway answers at {place}: is it running, and are these its settings (--config)?"
