"""What several of these files want."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gateway_under_test import House, house

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    """Give a gateway with the settings that it is shipped with."""
    async with house(tmp_path) as built:
        yield built
