"""`/health/ready`, for load balancers and supervisors: whether new calls should be sent here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class HealthPage:
    """The handler. `unready` tells why not; with nothing to tell it is ready."""

    def __init__(self, unready: Callable[[], Sequence[str]]) -> None:
        self._unready = unready

    def routes(self) -> list[web.RouteDef]:
        """List what is served; what takes GET takes HEAD."""
        return [web.get("/health/ready", self._ready)]

    async def _ready(self, _request: web.Request) -> web.Response:
        reasons = list(self._unready())
        body = {"status": "not ready", "reasons": reasons} if reasons else {"status": "ready"}
        return web.Response(
            body=msgspec.json.encode(body) + b"\n", status=503 if reasons else 200, content_type="application/json"
        )
