"""The whole gateway is tested on asyncio's own event loop and on uvloop's, which is the one used in earnest."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import uvloop
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


# How long an example takes says more of the machine and its other users than of the code.
settings.register_profile("any machine", settings(), deadline=None)
settings.load_profile("any machine")


ON_BOTH = {
    "test_gateway.py",
    "test_freeswitch.py",
    "test_asterisk_websocket.py",
    "test_websocket_entry.py",
    "test_websocket_limits.py",
}
"""Of the integration tests: the gateway runs in their own process."""

ON_UVLOOP = {"test_many_forks.py"}
"""What wants the speed of earnest."""


@pytest.hookimpl
def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    own: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    earnest: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"uvloop": uvloop.new_event_loop}
    if item.path.name in ON_UVLOOP:
        return earnest
    return own | earnest if item.path.parent.name == "integration" and item.path.name in ON_BOTH else own
