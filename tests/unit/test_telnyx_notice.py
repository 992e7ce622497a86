"""What Telnyx's webhooks tell. The examples are those of its reference."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.twilio.telnyx_notice import FAILED, HANGUP, STOPPED, Notice, read_notice

CALL = "v3:MdI91X4lWFEs7IgbBEOT9M4AigoY08M0WWZFISt1Yw2axZ_IiE4pqg"
STREAM = "1edb94f9-7ef0-4150-b502-e0ebadfd9491"


def webhook(event: object, **payload: object) -> bytes:
    about = {"call_control_id": CALL, "connection_id": "7267", "call_session_id": "31f19208", "client_state": "aGF2"}
    data = {"record_type": "event", "event_type": event, "id": "25dc3731", "payload": about | payload}
    return json.dumps({"data": data, "meta": {"attempt": 1}}).encode()


def form(**said: str) -> bytes:
    about = {"AccountSid": "f5586561", "CallSid": CALL, "CallSidLegacy": CALL, "StreamName": "my_stream"}
    return urlencode(about | said).encode()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            webhook(STOPPED, stream_url="wss://www.example.com/websocket"),
            Notice(event=STOPPED, call_id=CALL),
        ),
        (
            webhook(FAILED, stream_id=STREAM, failure_reason="connection_failed", stream_type="websocket"),
            Notice(event=FAILED, stream_id=STREAM, call_id=CALL, reason="connection_failed"),
        ),
        (webhook(HANGUP, hangup_cause="normal_clearing", state="hangup"), Notice(event=HANGUP, call_id=CALL)),
        (webhook("call.bridged"), Notice(event="call.bridged", call_id=CALL)),
        (
            form(StreamEvent="stream-started", StreamSid=STREAM),
            Notice(event=None, stream_id=STREAM, call_id=CALL),
        ),
        (
            form(StreamEvent="stream-stopped", StreamSid=STREAM),
            Notice(event=STOPPED, stream_id=STREAM, call_id=CALL),
        ),
        (
            form(StreamEvent="stream-error", StreamSid=STREAM, StreamError="Connection timeout"),
            Notice(event=FAILED, stream_id=STREAM, call_id=CALL, reason="Connection timeout"),
        ),
    ],
)
def test_what_is_said_is_read(body: bytes, told: Notice) -> None:
    assert read_notice(body) == told


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (webhook(None), Notice(event=None, call_id=CALL)),
        (webhook(STOPPED, call_control_id=7, stream_id=["x"]), Notice(event=STOPPED)),
        (webhook(STOPPED, call_control_id="", stream_id="x" * 201), Notice(event=STOPPED)),
        (webhook(FAILED, failure_reason={"code": 7}), Notice(event=FAILED, call_id=CALL)),
        (b'{"data": {"event_type": "call.hangup", "payload": []}}', Notice(event=HANGUP)),
        (b'{"data": "streaming.stopped"}', Notice(event=None)),
        (b'{"event_type": "streaming.stopped"}', Notice(event=None)),
        (b'["data"]', Notice(event=None)),
        (b"", Notice(event=None)),
        (b"\xff\xfe", Notice(event=None)),
        (b"[" * 60_000, Notice(event=None)),
        (b'{"a":' * 10_000, Notice(event=None)),
        (b"&" * 60_000, Notice(event=None)),
    ],
)
def test_what_is_odd_tells_no_more_than_it_does(body: bytes, told: Notice) -> None:
    assert read_notice(body) == told


def test_no_url_is_told() -> None:
    reason = "cannot reach wss://pbx:secret@calls.example.test/telnyx/telnyx/secret?token=secret today"
    for body in (webhook(FAILED, failure_reason=reason), form(StreamEvent="stream-error", StreamError=reason)):
        assert read_notice(body).reason == "cannot reach wss://... today"


@pytest.mark.parametrize(
    ("notice", "stream", "means", "sure"),
    [
        (Notice(event=STOPPED, stream_id="s", call_id="c"), ("s", "c"), True, True),
        (Notice(event=STOPPED, stream_id="s", call_id="c"), ("t", "c"), False, True),
        (Notice(event=STOPPED, call_id="c"), ("s", "c"), True, False),
        (Notice(event=STOPPED, call_id="c"), ("s", "d"), False, False),
        (Notice(event=STOPPED), (None, None), False, False),
        (Notice(event=FAILED, stream_id="s"), ("s", None), True, True),
        (Notice(event=HANGUP, call_id="c"), ("s", "c"), True, True),
        (Notice(event=HANGUP, stream_id="s", call_id="c"), ("t", "c"), True, True),
        (Notice(event=HANGUP), (None, None), False, True),
    ],
)
def test_a_stream_is_meant_by_its_name_or_by_its_calls(
    notice: Notice, stream: tuple[str | None, str | None], *, means: bool, sure: bool
) -> None:
    assert notice.means(*stream) is means
    assert notice.is_sure is sure


@pytest.mark.parametrize(
    ("event", "ends"),
    [
        (STOPPED, True),
        (FAILED, True),
        (HANGUP, True),
        ("streaming.started", False),
        ("call.bridged", False),
        (None, False),
    ],
)
def test_not_every_event_is_an_end(event: str | None, *, ends: bool) -> None:
    assert Notice(event=event).tells_of_an_end is ends


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.binary())
def test_any_bytes_are_read(body: bytes) -> None:
    assert not read_notice(body).tells_of_an_end


@given(
    st.fixed_dictionaries(
        {"data": st.fixed_dictionaries({}, optional={"event_type": json_values, "payload": json_values})}
    )
    | st.fixed_dictionaries(
        {},
        optional={
            "data": st.fixed_dictionaries(
                {"event_type": st.just(FAILED)},
                optional={
                    "payload": st.fixed_dictionaries(
                        {},
                        optional=dict.fromkeys(("stream_id", "call_control_id", "failure_reason"), json_values),
                    )
                },
            )
        },
    )
)
def test_any_json_is_read(content: dict[str, Any]) -> None:
    notice = read_notice(json.dumps(content).encode())
    for name in (notice.event, notice.stream_id, notice.call_id):
        assert name is None or 0 < len(name) <= 200
    assert isinstance(notice.reason, str)
