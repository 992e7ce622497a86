"""A gateway process with a stand-in engine that kills itself, as kill -9 would, at a named point.

Usage: python -m tests.crashing_gateway STATE_DIR RECEIVER_PORT POINT NTH
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from itertools import count
from pathlib import Path

from gateway import log
from gateway.service import Gateway, Ready
from tests.fakes import FakeEngine, bring_up
from tests.gateway_under_test import settings


async def main(state_dir: Path, receiver_port: int, point: str, nth: int) -> None:
    passed = count(1)

    def probe(name: str) -> None:
        if name == point and next(passed) == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_ready(ready: Ready) -> None:
        sys.stdout.write(f"{ready.ports['audiosocket']}\n")
        sys.stdout.flush()

    chosen = settings(state_dir, receiver_port)
    log.configure(chosen.log)
    gateway = Gateway(chosen, bring_up(FakeEngine()), probe=probe)
    await gateway.run(on_ready)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
