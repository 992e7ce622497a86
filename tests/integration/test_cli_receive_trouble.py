"""`linescribe receive` as a receiver in trouble, and what a gateway makes of it."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from config import delivery as settings
from config.secret import Secret
from gateway.cli.receive_trouble import Trouble
from gateway.delivery.deliveries import Deliveries
from gateway.delivery.posting import new_sessions
from gateway.delivery.signing import sign
from gateway.events import StoredEvent
from gateway.receiver import Answer
from tests.integration.test_cli_receive import KEY, SECRET, running
from tests.recipients import to

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = 20

clock, wall = time.monotonic, time.time  # noqa: TID251  tests live in real time


@pytest.mark.parametrize(
    ("trouble", "chance", "answer"),
    [
        (Trouble(), 0.0, Answer()),
        (Trouble(slow_seconds=3), 0.0, Answer()),
        (Trouble(fail=503), 0.99, Answer(status=503, taken=False)),
        (Trouble(fail=429, retry_after_seconds=30), 0.5, Answer(status=429, taken=False, retry_after_seconds=30)),
        (Trouble(fail=500, share=0.3), 0.29, Answer(status=500, taken=False)),
        (Trouble(fail=500, share=0.3), 0.3, Answer()),
        (Trouble(lie=True), 0.0, Answer(status=503, taken=True)),
        (Trouble(lie=True, fail=500), 0.0, Answer(status=500, taken=True)),
        (Trouble(lie=True, share=0.5), 0.5, Answer()),
        (Trouble(share=0.0, fail=500), 0.0, Answer()),
        (Trouble(retry_after_seconds=30), 0.0, Answer()),
    ],
)
def test_what_an_event_is_answered_with(trouble: Trouble, chance: float, answer: Answer) -> None:
    assert trouble.answer(chance) == answer


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (Trouble(), []),
        (Trouble(fail=503), ["Every event is answered with 503, and not shown"]),
        (Trouble(fail=429, retry_after_seconds=30, share=0.25), ["25% of all events", "429 and Retry-After: 30"]),
        (Trouble(fail=410), ["linescribe outbox enable"]),
        (Trouble(lie=True, slow_seconds=3), ["answered with 503 all the same", "3 s late"]),
    ],
)
def test_what_is_wrong_is_told(trouble: Trouble, words: list[str]) -> None:
    told = "\n".join(trouble.told)
    assert all(word in told for word in words)
    assert bool(told) == bool(words)


async def deliver(directory: Path, url: str) -> Deliveries:
    """Deliver some events of several calls until there is nothing left."""
    delivery = settings.Delivery(
        endpoints=(settings.Endpoint(name="crm", url=url, secrets=(Secret(SECRET),)),),
        retry_seconds=(0.02,) * 30,
        breaker_failures=1000,
    )
    deliveries = Deliveries(delivery, directory, clock=clock, wall=wall, random=lambda: 0.5)
    await deliveries.open()
    async with new_sessions() as sessions, asyncio.TaskGroup() as group:
        running_ = group.create_task(deliveries.run(sessions))
        for number in range(EVENTS):
            body = {"type": "call.digit", "timestamp": "2025-10-09T08:53:20.000Z", "data": {"number": number}}
            event = StoredEvent(
                event_id=f"msg_{number}",
                call_id=f"call-{number % 4}",
                sequence=number // 4 + 1,
                type="call.digit",
                body=json.dumps(body).encode(),
            )
            await deliveries.publish(event, to("crm"))
        async with asyncio.timeout(20):
            while await deliveries.finish(1):
                pass
        running_.cancel()
    await deliveries.close(5)
    return deliveries


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        (["--lie"], range(EVENTS, EVENTS + 1)),
        (["--fail", "500", "--share", "0.5"], range(1, 20 * EVENTS)),
        (["--lie", "--share", "0.5", "--fail", "429"], range(1, EVENTS)),
        (["--slow", "0.05"], range(1)),
    ],
    ids=["lies", "fails now and then", "lies now and then", "slow"],
)
async def test_in_the_end_every_event_is_shown_once(tmp_path: Path, options: list[str], refused: range) -> None:
    async with running("--json", *options) as command:
        began = clock()
        deliveries = await deliver(tmp_path, command.url)
        took = clock() - began
        out, _ = await command.end()
    numbers = [json.loads(line)["data"]["number"] for line in out.splitlines()]
    assert sorted(numbers) == list(range(EVENTS))
    for call in range(4):
        assert [number for number in numbers if number % 4 == call] == list(range(call, EVENTS, 4)), "in turn"
    assert deliveries.attempts["crm", "delivered"] == EVENTS
    assert deliveries.attempts["crm", "refused"] in refused
    if "--slow" in options:
        assert took >= EVENTS / 4 * 0.05, "those of a call come one after the other"


async def post(url: str, number: int) -> Any:
    """Post an event as a gateway does; give the status and what was asked for."""
    body = b'{"type":"call.digit","timestamp":"2025-10-09T08:53:20.000Z","data":{}}'
    headers = sign([KEY], f"msg_{number}", int(wall()), body)
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
        return answer.status, answer.headers.get("Retry-After")


async def test_a_receiver_that_fails_shows_nothing_and_says_what_it_does() -> None:
    async with running("--json", "--fail", "429", "--retry-after", "30") as command:
        assert await post(command.url, 1) == (429, "30")
        assert await post(command.url, 1) == (429, "30"), "it was not taken"
        out, err = await command.end()
    assert out == ""
    assert "Every event is answered with 429 and Retry-After: 30" in err
