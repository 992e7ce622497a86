from __future__ import annotations

import random
import re

import pytest

from gateway.callers.freeswitch import call_freeswitch
from gateway.callers.freeswitch_plan import steps
from tests import freeswitch_captures as captures
from tests.simulated_time import run_simulated
from tests.wire_recorder import CLOSE, TEXT, Wire, recording

SOCKET_SECONDS = 0.001


def normal(request: str) -> str:
    """Leave out of a request what is chance: its key, and the server's port."""
    return re.sub(r"(127\.0\.0\.1):\d+", r"\1:PORT", re.sub(r"(Sec-WebSocket-Key: ?)\S+", r"\1KEY", request))


@pytest.mark.parametrize("name", captures.NAMES)
def test_the_wire_is_that_of_freeswitch(name: str) -> None:
    told = captures.session(name)
    wanted = captures.replay(told)
    heard: list[str] = []

    async def both() -> tuple[Wire, object]:
        async with recording(lambda wire: captures.serve(wire, told)) as recorder:
            result = await call_freeswitch(
                wanted.pcm,
                url=f"ws://127.0.0.1:{recorder.port}{wanted.path}",
                plan=wanted.plan,
                credentials=wanted.credentials,
                subprotocol=wanted.subprotocol,
                on_text=heard.append,
                randbytes=random.Random(name).randbytes,
            )
        (wire,) = recorder.wires
        return wire, result

    wire, result = run_simulated(both(), socket_seconds=SOCKET_SECONDS)
    assert normal(wire.request.decode()) == normal(told.request)
    assert [(f.opcode, len(f.payload)) for f in wire.frames] == [(f.opcode, len(f.payload)) for f in told.frames]
    assert wire.frames == list(told.frames)
    print(name, len(wire.frames), result, heard and heard[-1][:50], wire.cut_at, told.cut_at)
