"""`/metrics`, for whoever asks: it tells of no call what it said, nor whose it was (docs/metrics.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import hdrs, web

if TYPE_CHECKING:
    from gateway.metrics import Metrics


OPENMETRICS_TYPE = "application/openmetrics-text"
OPENMETRICS = f"{OPENMETRICS_TYPE};version=1.0.0"
"""What is asked of prometheus_client: in the client's own words it would raise where a version is no number."""


class MetricsPage:
    """The handler."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def routes(self) -> list[web.RouteDef]:
        """List what is served; what takes GET takes HEAD."""
        return [web.get("/metrics", self._show)]

    async def _show(self, request: web.Request) -> web.Response:
        accept = ",".join(request.headers.getall(hdrs.ACCEPT, ()))
        body, content_type = self._metrics.page(OPENMETRICS if OPENMETRICS_TYPE in accept else "")
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})
