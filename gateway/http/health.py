"""How the gateway fares: for supervisors and load balancers, and for people and programs (docs/operations.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from gateway.http.bodies import json_answer
from gateway.status import Stage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.http.onlookers import Onlookers
    from gateway.machine import MachineState
    from gateway.status import Life, Reporter


class HealthPages:
    """For anybody: whether the gateway lives, has started, and is ready. No more than that, and why not.

    `stuck` tells what does not move any more, `unready` why no new calls should be sent here.
    """

    PATHS = ("/", "/health", "/health/live", "/health/startup", "/health/ready", "/ready")

    def __init__(self, life: Life, stuck: Callable[[], Sequence[str]], unready: Callable[[], Sequence[str]]) -> None:
        self._life = life
        self._stuck = stuck
        self._unready = unready

    def routes(self) -> list[web.RouteDef]:
        """List what is served; what takes GET takes HEAD."""
        pages = (self._index, self._live, self._live, self._startup, self._ready, self._ready)
        return [web.get(path, page) for path, page in zip(self.PATHS, pages, strict=True)]

    async def _index(self, _request: web.Request) -> web.Response:
        pages = [*self.PATHS[1:], *StatusPages.PATHS, "/metrics", "/metrics.json"]
        return _page({"name": "linescribe", "pages": sorted(pages)})

    async def _live(self, _request: web.Request) -> web.Response:
        return _verdict("alive", "stuck", self._stuck())

    async def _startup(self, _request: web.Request) -> web.Response:
        starting = [self._life.doing] if self._life.stage is Stage.STARTING else []
        return _verdict("started", "starting", starting)

    async def _ready(self, _request: web.Request) -> web.Response:
        return _verdict("ready", "not ready", self._unready())


class StatusPages:
    """For onlookers: all of it, and the machine."""

    PATHS = ("/health/status", "/status", "/system")

    def __init__(self, reporter: Reporter, look: Callable[[], Awaitable[MachineState]], onlookers: Onlookers) -> None:
        self._reporter = reporter
        self._look = look
        self._onlookers = onlookers

    def routes(self) -> list[web.RouteDef]:
        """List what is served; what takes GET takes HEAD."""
        pages = (self._status, self._status, self._system)
        return [web.get(path, page) for path, page in zip(self.PATHS, pages, strict=True)]

    async def _status(self, request: web.Request) -> web.Response:
        self._onlookers.check(request)
        return _page(self._reporter.status())

    async def _system(self, request: web.Request) -> web.Response:
        self._onlookers.check(request)
        return _page(await self._look())


def _verdict(good: str, bad: str, reasons: Sequence[str]) -> web.Response:
    if reasons:
        return json_answer({"status": bad, "reasons": list(reasons)}, 503)
    return json_answer({"status": good})


def _page(content: object) -> web.Response:
    """Answer in a form that people can read."""
    body = msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
    return web.Response(body=body, content_type="application/json")
