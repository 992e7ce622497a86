from __future__ import annotations

import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events import CallStarted, Source, TranscriptInterim, encode_interim, rfc3339, store
from gateway.ids import uuid7

SOURCE = Source(kind="audiosocket", listener="main", call_id="c")


def test_an_event_is_stored_as_standard_webhooks_wants_it() -> None:
    event = CallStarted(call_id="0198", sequence=1, source=SOURCE, parameters={"from": "100"})
    stored = store(event, 1_700_000_000.5)
    assert (stored.event_id, stored.call_id, stored.sequence, stored.type) == ("msg_0198_1", "0198", 1, "call.started")
    assert json.loads(stored.body) == {
        "type": "call.started",
        "timestamp": "2023-11-14T22:13:20.500Z",
        "data": {
            "schema": 1,
            "call_id": "0198",
            "sequence": 1,
            "source": {
                "kind": "audiosocket",
                "listener": "main",
                "call_id": "c",
                "stream_id": None,
                "account_id": None,
            },
            "parameters": {"from": "100"},
        },
    }


def test_an_interim_has_an_id_of_its_own_for_every_revision() -> None:
    event = TranscriptInterim(
        call_id="0198",
        sequence=2,
        source=SOURCE,
        track="inbound",
        role="inbound",
        label=None,
        utterance_id="0198_inbound_1",
        start_ms=60,
        end_ms=900,
        text="Please enter",
        revision=3,
        stable_chars=6,
        model="base int8",
        latency_ms=200,
    )
    encoded = encode_interim(event, 1_700_000_000.5)
    assert (encoded.event_id, encoded.call_id) == ("msg_0198_inbound_1_3", "0198")
    assert encoded.utterance_id == "0198_inbound_1"
    body = json.loads(encoded.body)
    assert (body["type"], body["timestamp"]) == ("transcript.interim", "2023-11-14T22:13:20.500Z")
    assert (body["data"]["sequence"], body["data"]["revision"], body["data"]["stable_chars"]) == (2, 3, 6)


@pytest.mark.parametrize(
    ("wall_time", "text"),
    [(0.0, "1970-01-01T00:00:00.000Z"), (1_700_000_000.0015, "2023-11-14T22:13:20.001Z")],
)
def test_times_are_utc_with_milliseconds(wall_time: float, text: str) -> None:
    assert rfc3339(wall_time) == text


@given(st.floats(0, 4e9), st.binary(min_size=10, max_size=10))
def test_a_call_id_is_a_uuid_of_version_7_that_holds_its_time(wall_time: float, random_bytes: bytes) -> None:
    name = uuid.UUID(uuid7(wall_time, random_bytes))
    assert name.variant == uuid.RFC_4122
    assert name.version == 7
    assert name.int >> 80 == round(wall_time * 1000)


def test_call_ids_sort_by_time_and_differ_by_chance() -> None:
    assert uuid7(1.0, bytes([255] * 10)) < uuid7(1.001, bytes(10))
    assert uuid7(1.0, bytes(10)) != uuid7(1.0, bytes([0] * 9 + [1]))
