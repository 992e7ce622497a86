"""A gateway that knows an account of Twilio's, and how Twilio comes to it."""

from __future__ import annotations

import audioop
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from adapters.twilio.signature import sign
from config.secret import Secret
from tests.gateway_under_test import House, house, listener
from tests.media_streams import media
from tests.sound import prompt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PUBLIC = "https://calls.example.test"
AUTH_TOKEN = "0123456789abcdef0123456789abcdef"  # noqa: S105  a test's
ACCOUNTS = [{"sid": "AC1", "auth_tokens": [AUTH_TOKEN]}]

SPEECH = audioop.lin2ulaw(prompt("conf-onlyperson"), 2)
"""Three seconds."""


def spoken(first: int = 2, track: str = "inbound") -> list[str]:
    frames = [SPEECH[begin : begin + 160] for begin in range(0, len(SPEECH), 160)]
    return [media(first + at, 120 + 20 * at, track, frame) for at, frame in enumerate(frames)]


@asynccontextmanager
async def twilio_home(state_dir: Path, **settings: Any) -> AsyncIterator[House]:
    """Run a gateway that knows an account of Twilio's; settings in capitals are its own, the others its listener's."""
    changes = {"HTTP__PUBLIC_URL": PUBLIC} | {name: value for name, value in settings.items() if name.isupper()}
    wanted = {"accounts": ACCOUNTS} | {name: value for name, value in settings.items() if not name.isupper()}
    async with house(state_dir, TWILIO=listener(**wanted), **changes) as home:
        yield home


def signed(path: str, token: str = AUTH_TOKEN) -> str:
    return "X-Twilio-Signature: " + sign(Secret(token), f"wss://calls.example.test{path}")
