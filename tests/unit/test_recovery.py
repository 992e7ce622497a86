from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from gateway.delivery.outbox import Outbox
from gateway.delivery.recipients import Recipient
from gateway.events import CallStarted, ErrorInfo, Event, Source, StoredEvent, TranscriptFailed, store
from gateway.recovery import end_unfinished_calls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

SOURCE = Source(kind="audiosocket", listener="main", call_id="c", stream_id="s")


@pytest.fixture
async def outbox(tmp_path: Path) -> AsyncIterator[Outbox]:
    opened = Outbox(tmp_path, clock=lambda: 1_700_000_000.0)
    await opened.start()
    yield opened
    await opened.close()


def started(call_id: str) -> CallStarted:
    return CallStarted(call_id=call_id, sequence=1, source=SOURCE, parameters={"queue": "support"})


def failed(call_id: str, sequence: int) -> TranscriptFailed:
    return TranscriptFailed(
        call_id=call_id,
        sequence=sequence,
        source=SOURCE,
        track="inbound",
        role="inbound",
        label=None,
        utterance_id=f"u{sequence}",
        start_ms=0,
        end_ms=1,
        reason="model_failed",
        error=ErrorInfo(code="model_failed", message="m"),
    )


async def recover(outbox: Outbox, *events: Event, recipients: Sequence[Recipient] = ()) -> list[dict[str, object]]:
    for event in events:
        await outbox.append(store(event, 0.0), recipients)
    published: list[StoredEvent] = []

    async def publish(event: StoredEvent, to: Sequence[Recipient]) -> None:
        assert tuple(to) == tuple(recipients)
        published.append(event)
        await outbox.append(event, to)

    count = await end_unfinished_calls(outbox, publish, lambda: 1_700_000_000.0)
    assert count == len(published)
    assert await end_unfinished_calls(outbox, publish, lambda: 1_700_000_000.0) == 0, "once is enough"
    return [msgspec.json.decode(event.body) for event in published]


async def test_nothing_stored_nothing_ended(outbox: Outbox) -> None:
    assert await recover(outbox) == []


async def test_a_call_that_was_cut_off_gets_its_end_under_the_next_sequence(outbox: Outbox) -> None:
    (ended,) = await recover(outbox, started("one"), failed("one", 2), failed("one", 3))
    assert ended["type"] == "call.ended"
    assert ended["timestamp"] == "2023-11-14T22:13:20.000Z"
    assert ended["data"] == {
        "schema": 1,
        "call_id": "one",
        "sequence": 4,
        "source": msgspec.to_builtins(SOURCE),
        "parameters": {"queue": "support"},
        "reason": "gateway_restart",
        "error": None,
        "duration_ms": None,
        "audio_ms": None,
        "gap_ms": None,
        "utterances": 2,
        "interims_shed": 0,
        "failed": 2,
        "suppressed": {},
        "last_sequence": 4,
    }


async def test_the_end_goes_where_the_calls_other_events_went(outbox: Outbox) -> None:
    brought = Recipient("theirs", "https://hooks.example/1")
    assert await recover(outbox, started("one"), failed("one", 2), recipients=[Recipient("crm"), brought])


async def test_each_call_gets_its_own(outbox: Outbox) -> None:
    ended = await recover(outbox, started("one"), started("two"), failed("two", 2))
    ends = {msgspec.json.encode(each["data"]) for each in ended}
    assert {(each["call_id"], each["sequence"]) for each in map(msgspec.json.decode, ends)} == {("one", 2), ("two", 3)}
