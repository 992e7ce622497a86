"""The receivers that are shown to others, as processes, held against two ways to sign."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from standardwebhooks import Webhook

from config.checks import decode_webhook_secret
from gateway.delivery.signing import sign
from tests.sites import SECRETS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

EXAMPLES = Path(__file__).parents[2] / "examples"
NODE = shutil.which("node")
COMMANDS = {"receiver.py": sys.executable, "receiver.mjs": NODE or "node"}
SECRET, OTHER = (secret.reveal() for secret in SECRETS)
BODY = json.dumps({"type": "transcript.final", "data": {"text": "Gr\u00fc\u00df Gott"}}).encode()


class Example:
    """A receiver, running."""

    def __init__(self, process: asyncio.subprocess.Process, session: aiohttp.ClientSession) -> None:
        self.process = process
        self.session = session
        self.url = ""

    async def line(self) -> str:
        assert self.process.stdout
        async with asyncio.timeout(10):
            return (await self.process.stdout.readline()).decode().strip()

    async def post(self, headers: Mapping[str, str], body: bytes = BODY) -> int:
        async with self.session.post(self.url, data=io.BytesIO(body), headers=headers) as answer:
            return answer.status


@contextlib.asynccontextmanager
async def running(name: str) -> AsyncIterator[Example]:
    process = await asyncio.create_subprocess_exec(
        *(COMMANDS[name], str(EXAMPLES / name)),
        env=os.environ | {"WEBHOOK_SECRET": SECRET, "PORT": "0"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession() as session:
            example = Example(process, session)
            told, _, port = (await example.line()).rpartition(" ")
            assert told == "listening on"
            example.url = f"http://127.0.0.1:{port}/"
            yield example
            assert process.returncode is None, "it lives on"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def now() -> int:
    return int(time.time())  # noqa: TID251  the process has the same clock


def signed(*secrets: str, event_id: str = "msg_1", at: int | None = None) -> dict[str, str]:
    keys = [decode_webhook_secret(secret) for secret in SECRETS if secret.reveal() in secrets]
    return sign(keys, event_id, now() if at is None else at, BODY)


def signed_by_others(event_id: str = "msg_1") -> dict[str, str]:
    at = datetime.fromtimestamp(now(), UTC)
    signature = Webhook(SECRET).sign(event_id, at, BODY.decode())
    return {"webhook-id": event_id, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


example = pytest.mark.parametrize(
    "name",
    [
        "receiver.py",
        pytest.param("receiver.mjs", marks=pytest.mark.skipif(NODE is None, reason="Node is not installed")),
    ],
)


@example
async def test_genuine_events_are_taken_once(name: str) -> None:
    async with running(name) as receiver:
        assert await receiver.post(signed(SECRET)) == 204
        assert await receiver.line() == "transcript.final Gr\u00fc\u00df Gott"
        assert await receiver.post(signed(SECRET)) == 204, "it is there already"
        assert await receiver.post(signed_by_others("msg_2")) == 204
        assert await receiver.post(signed(OTHER, SECRET, event_id="msg_3")) == 204, "secrets are being rotated"
        assert [await receiver.line() for _ in range(2)] == ["transcript.final Gr\u00fc\u00df Gott"] * 2


@example
async def test_others_are_refused_and_harm_nobody(name: str) -> None:
    good = signed(SECRET)
    signature = good["webhook-signature"]
    bad = [
        {},
        signed(OTHER),
        signed(SECRET, at=now() - 301),
        signed(SECRET, at=now() + 330),  # the receiver takes its time to start
        good | {"webhook-id": "msg_2"},
        good | {"webhook-timestamp": "soon"},
        good | {"webhook-timestamp": ""},
        good | {"webhook-timestamp": "9" * 400},
        good | {"webhook-timestamp": "-1"},
        good | {"webhook-signature": ""},
        good | {"webhook-signature": signature.replace("v1,", "v2,")},
        good | {"webhook-signature": signature[:-1]},
        good | {"webhook-signature": "v1,\u00ff\u00fe v1, ,"},
        {name: value for name, value in good.items() if name != "webhook-id"},
    ]
    async with running(name) as receiver:
        assert [await receiver.post(headers) for headers in bad] == [401] * len(bad)
        assert await receiver.post(good, BODY.replace(b"transcript", b"transcribe")) == 401
        with contextlib.suppress(aiohttp.ClientError):  # it may hang up on so much
            assert await receiver.post(good, bytes(2_000_000)) == 401
        reader, writer = await asyncio.open_connection("127.0.0.1", int(receiver.url.rsplit(":", 1)[1].strip("/")))
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf a bo")
        writer.close()
        await writer.wait_closed()
        del reader
        assert await receiver.post(good) == 204
        assert await receiver.line() == "transcript.final Gr\u00fc\u00df Gott"
