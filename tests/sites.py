"""Receivers of webhooks that behave as a test says, on loopback."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from typing import TYPE_CHECKING

from aiohttp import web

from config.secret import Secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

KEYS = [b"0123456789abcdef0123456789abcdef", b"fedcba9876543210fedcba9876543210"]
SECRETS = tuple(Secret("whsec_" + base64.b64encode(key).decode()) for key in KEYS)


class Site:
    """A receiver that answers as a test says, and hands every request over as it comes."""

    def __init__(self, *answers: int, headers: Mapping[str, str] | None = None) -> None:
        self.requests: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()
        self.url = ""
        self._answers = list(answers)
        self._headers = headers or {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.put_nowait((dict(request.headers), await request.read()))
        status = self._answers.pop(0) if self._answers else 204
        return web.Response(status=status, headers=self._headers)

    async def next(self) -> tuple[dict[str, str], bytes]:
        async with asyncio.timeout(10):
            return await self.requests.get()


class HeldSite(Site):
    """A receiver that does not answer until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = asyncio.Event()
        self.answered = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        answer = await super().handle(request)
        await self.released.wait()
        self.answered += 1
        return answer


@contextlib.asynccontextmanager
async def serving(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook?token=s3cret"
    finally:
        await runner.cleanup()
