"""Who may look at how the gateway fares: its status, its metrics, its machine.

They tell of no call what it said, nor whose it was; but they tell how many there are, and what fails.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from aiohttp import hdrs

from adapters.sockets import is_within, networks
from gateway.http.errors import ApiError
from gateway.http.proxies import seen_of

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
        if self._settings().accept_anybody or self._is_near(seen_of(request).client):
            return
        authorization = request.headers.getall(hdrs.AUTHORIZATION, ())
        if authorization:
            self._tokens.account(authorization)
            return
        raise ApiError(
            401,
            "unauthorized",
            "this page is for this machine, for addresses of http.monitors, and with a token of http.tokens:"
            " Authorization: Bearer TOKEN",
            {hdrs.WWW_AUTHENTICATE: "Bearer"},
        )

    def _is_near(self, client: str) -> bool:
        address = ipaddress.ip_address(client)
        return address.is_loopback or is_within(address, networks(self._settings().monitors))
