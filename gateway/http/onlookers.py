"""Who may look at how the gateway fares: its status, its metrics, its machine.

They tell of no call what it said, nor whose it was; but they tell how many there are, and what fails.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from aiohttp import hdrs
from yarl import URL

from adapters.sockets import is_within, networks
from adapters.wire.access import FORWARDING
from config.checks import is_loopback
from gateway.http.errors import ApiError
from gateway.http.proxies import NO_HOST, seen_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from config.listeners import Http
    from gateway.http.tokens import Tokens


class Onlookers:
    """Those of one port: whoever is on this machine, in a network that is named, or has a token of the API.

    `settings` gives those that apply.
    """

    def __init__(self, settings: Callable[[], Http], tokens: Tokens) -> None:
        self._settings = settings
        self._tokens = tokens

    def check(self, request: web.BaseRequest) -> None:
        """Let a request pass. Raises ApiError."""
        if self._settings().accept_anybody or _is_local(request) or self._is_monitor(seen_of(request).client):
            return
        authorization = request.headers.getall(hdrs.AUTHORIZATION, ())
        if authorization:
            self._tokens.account(authorization)
            return
        raise ApiError(
            401,
            "unauthorized",
            "this page is for this machine, by the name 127.0.0.1 or localhost, for addresses of http.monitors,"
            " and with a token of http.tokens: Authorization: Bearer TOKEN",
            {hdrs.WWW_AUTHENTICATE: "Bearer"},
        )

    def _is_monitor(self, client: str) -> bool:
        return is_within(ipaddress.ip_address(client), networks(self._settings().monitors))


def _is_local(request: web.BaseRequest) -> bool:
    """Tell whether a client is on this machine, and speaks to it as such.

    A proxy may be there, too, for others; and a browser, with a page from anywhere: that asks for another host.
    """
    headers = request.headers
    proxied = any(name in headers for name in FORWARDING)
    return not proxied and is_loopback(seen_of(request).client) and _names_this(headers.get(hdrs.HOST, NO_HOST))


def _names_this(host: str) -> bool:
    try:
        return is_loopback(URL(f"http://{host}").host or "")
    except ValueError:
        return False
