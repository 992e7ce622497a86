"""A small receiver of webhooks: for trying the gateway out, and a model of what a receiver has to do.

That is: hold the signature against the body's own bytes, answer quickly, and expect an event more than once.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from gateway.delivery.signing import ID, SignatureError, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LONGEST_BODY_BYTES = 1024 * 1024
REMEMBERED_EVENTS = 10_000
STOP_SECONDS = 1.0
MOST_DELAYED = 1000
"""Answers that wait at a time."""
NO_CONTENT = 204


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """One event, genuine and not seen before."""

    event_id: str
    type: str
    timestamp: str
    data: dict[str, Any]
    received_at: float
    """Seconds since the epoch."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What an event is answered with."""

    status: int = NO_CONTENT
    taken: bool = True
    """Whether it is passed on and remembered, whatever the status says."""
    retry_after_seconds: int | None = None


class _Body(msgspec.Struct, frozen=True):
    type: str
    timestamp: str
    data: dict[str, Any]


_decoder = msgspec.json.Decoder(_Body)


class Receiver:
    """Pass each event to `on_event` once, in order of arrival.

    `answer` may choose what an event is answered with; one that is not taken is neither passed on nor remembered.
    Genuine requests are answered `delay_seconds` late, as long as not too many wait. `on_refused` is told why a request
    was not genuine. An exception from `on_event` is answered with 500, and the event may come again.
    """

    def __init__(
        self,
        keys: Sequence[bytes],
        *,
        clock: Callable[[], float],
        on_event: Callable[[Received], None],
        path: str = "/",
        answer: Callable[[Received], Answer] = lambda _received: Answer(),
        delay_seconds: float = 0.0,
        on_refused: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._on_event = on_event
        self._answer = answer
        self._delay_seconds = delay_seconds
        self._delayed = 0
        self._on_refused = on_refused
        self._seen = Recent(REMEMBERED_EVENTS)
        app = web.Application(client_max_size=LONGEST_BODY_BYTES)
        app.router.add_post(path, self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_SECONDS)

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port; 0 lets the system choose. Raises OSError."""
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        bound: int = self._runner.addresses[0][1]
        return bound

    async def stop(self) -> None:
        """Close every connection."""
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        now = self._clock()
        try:
            verify(self._keys, request.headers, body, now)
        except SignatureError as error:
            self._on_refused(error.reason)
            return web.Response(status=401, text=f"{error.reason}\n")
        try:
            answer = self._take(request.headers[ID], body, now)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return web.Response(status=400, text=f"expected type, timestamp and data: {error}\n")
        if self._delay_seconds:
            answer = await self._late(answer)
        headers = {} if answer.retry_after_seconds is None else {"Retry-After": str(answer.retry_after_seconds)}
        return web.Response(status=answer.status, headers=headers)

    def _take(self, event_id: str, body: bytes, now: float) -> Answer:
        if event_id in self._seen:
            return Answer()
        content = _decoder.decode(body)
        received = Received(
            event_id=event_id,
            type=content.type,
            timestamp=content.timestamp,
            data=content.data,
            received_at=now,
        )
        answer = self._answer(received)
        if answer.taken:
            self._on_event(received)
            self._seen.add(event_id)
        return answer

    async def _late(self, answer: Answer) -> Answer:
        if self._delayed >= MOST_DELAYED:
            return Answer(status=503, taken=False)
        self._delayed += 1
        try:
            await asyncio.sleep(self._delay_seconds)
        finally:
            self._delayed -= 1
        return answer


class Recent:
    """The last so many names; what comes up again counts as new."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._names: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, name: str) -> bool:
        if name not in self._names:
            return False
        self._names.move_to_end(name)
        return True

    def add(self, name: str) -> None:
        """Remember a name, and forget the oldest where there are too many."""
        self._names[name] = None
        if len(self._names) > self._limit:
            self._names.popitem(last=False)
