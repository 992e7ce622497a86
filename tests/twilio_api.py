"""Twilio's REST API as a stand-in: it writes down what it is asked, and answers as it is told to."""

from __future__ import annotations

import base64
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

STREAM = "MZ" + "5a" * 16


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it came."""

    path: str
    """As it was written."""
    user: str
    password: str
    form: dict[str, str]


def stream(status: str = "in-progress", **said: Any) -> web.Response:
    """Tell of a stream as Twilio does."""
    answer = {"sid": STREAM, "name": "linescribe", "status": status, "date_updated": None} | said
    return web.json_response(answer, status=200 if status == "stopped" else 201)


def error(status: int, **said: Any) -> web.Response:
    """Tell of an error as Twilio does."""
    return web.json_response(said, status=status)


def text(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer what Twilio would not."""
    return web.Response(body=body, status=status, headers=headers)


async def agree(asked: Asked) -> web.StreamResponse:
    """Do whatever is asked."""
    return stream(asked.form.get("Status", "in-progress"))


class TwilioApi:
    """What it was asked, and where it is."""

    def __init__(self, answer: Callable[[Asked], Awaitable[web.StreamResponse]]) -> None:
        self._answer = answer
        self.asked: list[Asked] = []
        self.port = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Take whatever comes."""
        scheme, _, credentials = request.headers["Authorization"].partition(" ")
        assert scheme == "Basic"
        user, _, password = base64.b64decode(credentials).decode().partition(":")
        form = {name: str(value) for name, value in (await request.post()).items()}
        asked = Asked(path=request.raw_path, user=user, password=password, form=form)
        self.asked.append(asked)
        return await self._answer(asked)


@asynccontextmanager
async def twilio_api(answer: Callable[[Asked], Awaitable[web.StreamResponse]] = agree) -> AsyncIterator[TwilioApi]:
    """Run one on this machine."""
    api = TwilioApi(answer)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        api.port = runner.addresses[0][1]
        yield api
    finally:
        await runner.cleanup()


def quoting(asked: Asked) -> str:
    """Repeat everything that was asked, as a careless server might."""
    return json.dumps(msgspec.to_builtins(asked))
