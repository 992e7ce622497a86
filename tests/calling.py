"""`linescribe call`, run against a recorder of what it sends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from click.testing import CliRunner

from gateway.cli import main
from tests.wire_recorder import Recorder, Wire, recording

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

PROMPTS = Path(__file__).parent.parent / "gateway" / "demo" / "prompts"
CALLER, AGENT = PROMPTS / "conf-onlyperson.ulaw", PROMPTS / "agent-pass.ulaw"
SHORT = ("--hangup-at", "0.2")


async def accept(wire: Wire) -> None:
    wire.answer()


async def call(
    kind: str,
    *arguments: object,
    serve: Callable[[Wire], Awaitable[None]] = accept,
    path: str = "/x",
    tls: ssl.SSLContext | None = None,
    **environ: str,
) -> tuple[int, str, Recorder]:
    """Call a recorder from another thread: tell the exit status, what was printed, and what was sent."""
    async with recording(serve, tls=tls) as recorder:
        url = f"{'wss' if tls else 'ws'}://127.0.0.1:{recorder.port}{path}"
        status, out = await asyncio.to_thread(linescribe, kind, "--url", url, *arguments, **environ)
    return status, out, recorder


def linescribe(kind: str, *arguments: object, **environ: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["call", kind, *map(str, arguments)], env=environ)
    return result.exit_code, result.output
