"""Requests that become WebSockets: what their servers, who know nothing of the gateway, need of the HTTP port."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import structlog
from aiohttp import web

from gateway.http.proxies import seen_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.http.connections import HttpConnection

LIMIT = web.RequestKey("limit", asyncio.Timeout)


@contextmanager
def asking(request: web.BaseRequest, limit: asyncio.Timeout) -> Iterator[None]:
    """Hold a connection for one that asks, while its request is done; `limit` is the time it has for that."""
    request[LIMIT] = limit
    connection = cast("HttpConnection", request.protocol)
    connection.asking = True
    try:
        yield
    finally:
        connection.asking = False


class StreamPort:
    """The HTTP port, as adapters.wire.server.HttpPort has it."""

    def __init__(self, *, proxied: bool = False) -> None:
        self.proxied = proxied

    def client(self, request: web.BaseRequest) -> str:
        """Tell the address of who sent a request, proxies that are trusted set aside."""
        return seen_of(request).client

    def base(self, request: web.BaseRequest) -> str:
        """Tell how whoever sent a request reaches this port: a URL up to its path."""
        return seen_of(request).base_url

    def settle(self, request: web.BaseRequest, overflow: Callable[[], None]) -> None:
        """Let a request last as long as it likes: it is a connection of its own from here on.

        `overflow` is called when more bytes come by it than can be borne.
        """
        request[LIMIT].reschedule(None)
        cast("HttpConnection", request.protocol).settle(overflow)
        structlog.contextvars.clear_contextvars()  # what is logged of the call is not about this request
