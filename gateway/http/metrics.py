"""`/metrics` and `/metrics.json`, for onlookers (docs/metrics.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from aiohttp import hdrs, web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.http.onlookers import Onlookers
    from gateway.machine import MachineState
    from gateway.metrics import Metrics


OPENMETRICS_TYPE = "application/openmetrics-text"
OPENMETRICS = f"{OPENMETRICS_TYPE};version=1.0.0"
"""What is asked of prometheus_client: in the client's own words it would raise where a version is no number."""


class MetricsPages:
    """The handlers."""

    PATHS = ("/metrics", "/metrics.json")

    def __init__(self, metrics: Metrics, look: Callable[[], Awaitable[MachineState]], onlookers: Onlookers) -> None:
        self._metrics = metrics
        self._look = look
        self._onlookers = onlookers

    def routes(self) -> list[web.RouteDef]:
        """List what is served; what takes GET takes HEAD."""
        return [web.get(path, page) for path, page in zip(self.PATHS, (self._show, self._tell), strict=True)]

    async def _show(self, request: web.Request) -> web.Response:
        self._onlookers.check(request)
        accept = ",".join(request.headers.getall(hdrs.ACCEPT, ()))
        machine = await self._look()
        body, content_type = self._metrics.page(OPENMETRICS if OPENMETRICS_TYPE in accept else "", machine)
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    async def _tell(self, request: web.Request) -> web.Response:
        self._onlookers.check(request)
        machine = await self._look()
        return web.Response(body=msgspec.json.encode(self._metrics.values(machine)), content_type="application/json")
