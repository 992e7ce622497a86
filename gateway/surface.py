"""What an operator sees of the gateway: pages at the HTTP port, the admin port, the control socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from aiohttp import hdrs

from config.listeners import Http
from gateway.engines import ModelsBusyError
from gateway.http.admin import AdminApi
from gateway.http.connections import Limits
from gateway.http.control_socket import ControlSocket
from gateway.http.errors import ApiError
from gateway.http.health import HealthPages, StatusPages
from gateway.http.metrics import MetricsPages
from gateway.http.onlookers import Onlookers
from gateway.http.server import HttpServer
from gateway.http.tokens import Tokens
from gateway.jobs import Jobs
from gateway.machine import Machine
from gateway.metrics import Metrics
from gateway.model_names import ModelNames
from gateway.state import state_directory
from gateway.status import Reporter, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AsyncExitStack

    from aiohttp import web

    from gateway.control import Control, Parts

log = structlog.get_logger()

RETRY_SECONDS = 5

PAGES = frozenset({*HealthPages.PATHS, *StatusPages.PATHS, *MetricsPages.PATHS})
"""They are there while the gateway starts."""

PATIENCE = Limits(request_seconds=1800.0)
"""What an operator asks for may take as long as models take to load."""


class Surface:
    """Builds it of the gateway's parts. `stuck` and `unready` tell what is wrong."""

    def __init__(
        self,
        parts: Parts,
        control: Control,
        *,
        stuck: Callable[[], Sequence[str]],
        unready: Callable[[], Sequence[str]],
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._parts = parts
        self._control = control
        self._settings = control.settings
        sources = parts.registry, parts.registry.door, parts.scheduler, parts.deliveries, parts.engines
        self._health = HealthPages(parts.life, stuck, unready)
        self._reporter = Reporter(parts.life, *sources, unready=unready, clock=clock, wall=wall)
        self._metrics = Metrics(*sources, clock=clock, wall=wall)
        self._machine = Machine(lambda: parts.engines.pids)
        self._jobs = Jobs()
        names = ModelNames(
            (self._settings.models.interim, self._settings.models.final), self._settings.admin.model_directories
        )
        self._admin = AdminApi(control, names, self._reporter, self._jobs)

    def pages(self) -> list[web.RouteDef]:
        """List the pages of the HTTP port."""
        onlookers = Onlookers(lambda: self._parts.registry.settings.http, self._parts.tokens)
        status = StatusPages(self._reporter, self._machine.look, onlookers)
        metrics = MetricsPages(self._metrics, self._machine.look, onlookers)
        return [*self._health.routes(), *status.routes(), *metrics.routes()]

    def check(self, request: web.BaseRequest) -> None:
        """Let nothing but pages be asked for while the gateway starts. Raises ApiError."""
        life = self._parts.life
        if life.stage is Stage.STARTING and request.path not in PAGES:
            message = f"the gateway is starting: {life.doing}; ask again in {RETRY_SECONDS} seconds"
            raise ApiError(503, "starting", message, {hdrs.RETRY_AFTER: str(RETRY_SECONDS)})

    def reload(self) -> None:
        """Begin to read the settings anew; one that is asked for meanwhile is the same."""
        try:
            self._jobs.begin("reload", self._control.reload())
        except ModelsBusyError as error:
            log.warning("settings not taken over", error=str(error))

    async def open(self, stack: AsyncExitStack) -> int | None:
        """Open what is for the operator alone; tell the admin port, if it is opened. Raises OSError."""
        stack.push_async_callback(self._jobs.close)
        socket = ControlSocket(state_directory(self._settings), self._admin.routes())
        await socket.start()
        stack.push_async_callback(socket.close)
        admin = self._settings.admin
        if not admin.tokens:
            return None
        tokens = Tokens(admin.tokens, "admin.tokens")
        server = HttpServer(
            Http(host=admin.host, port=admin.port),
            self._admin.routes(),
            name="admin",
            guarded=True,
            limits=PATIENCE,
            check=lambda request: _account(tokens, request),
        )
        port = await server.start()
        stack.push_async_callback(server.close)
        return port


def _account(tokens: Tokens, request: web.BaseRequest) -> None:
    """Ask for a token, whatever is wanted; the log tells whose it was. Raises ApiError."""
    account = tokens.account(request.headers.getall(hdrs.AUTHORIZATION, ()))
    structlog.contextvars.bind_contextvars(operator=account)
