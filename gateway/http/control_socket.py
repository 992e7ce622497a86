"""The control socket in the state directory: the operator's API for commands on this machine, without a token.

Who may open a file in that directory is the gateway's own user, or root (unix(7): connecting takes write permission).
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from gateway.http.errors import ApiError, dressed, plain_error, refusal, translated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from pathlib import Path

log = structlog.get_logger()

NAME = "control.sock"
LONGEST_PATH = 100
"""A socket's path holds 107 bytes (unix(7))."""


@contextmanager
def reachable(directory: Path) -> Iterator[str]:
    """Give a path of the socket that is short enough, however long the directory's is. Raises OSError."""
    path = directory / NAME
    if len(os.fsencode(path)) <= LONGEST_PATH:
        yield str(path)
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{NAME}"
    finally:
        os.close(descriptor)


class ControlSocket:
    """Serves `routes` there. One gateway has the directory to itself, so that no other one's socket is taken away."""

    def __init__(self, directory: Path, routes: Sequence[web.RouteDef]) -> None:
        self._directory = directory
        app = web.Application(middlewares=[_worded])
        app.add_routes(routes)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def start(self) -> None:
        """Open it. Raises OSError."""
        path = self._directory / NAME
        with suppress(FileNotFoundError):
            path.unlink()
        await self._runner.setup()
        with reachable(self._directory) as short:
            await web.UnixSite(self._runner, short).start()
        path.chmod(0o600)

    async def close(self) -> None:
        """Close it, and leave no file."""
        await self._runner.cleanup()
        with suppress(FileNotFoundError):
            (self._directory / NAME).unlink()


@web.middleware
async def _worded(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return dressed(await handler(request))
    except ApiError as error:
        return refusal(error)
    except web.HTTPException as error:
        return translated(error)
    except Exception:  # whatever a handler does wrong is told to its client, and to us, and no more
        log.exception("request failed")
        return refusal(plain_error(500))
