from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from gateway.delivery.signing import SignatureError, sign, verify

KEY = b"0123456789abcdef0123456789abcdef"
OTHER_KEY = bytes(range(32))
NOW = 1_760_000_000
BODY = '{"type": "transcript.final", "data": {"text": "grüß Gott"}}'.encode()

keys = st.binary(min_size=24, max_size=64)
event_ids = st.from_regex(r"msg_[A-Za-z0-9_-]{1,60}", fullmatch=True)
texts = st.text(st.characters(codec=None), max_size=80)
"""Lone surrogates too: that is how a server hands over bytes it cannot decode."""


def oracle(key: bytes) -> Webhook:
    return Webhook("whsec_" + base64.b64encode(key).decode())


def changed(headers: dict[str, str], name: str, value: str | None) -> dict[str, str]:
    rest = {key: kept for key, kept in headers.items() if key != name}
    return rest if value is None else rest | {name: value}


@given(keys, event_ids, st.text(max_size=200))
def test_signs_as_the_reference_does(key: bytes, event_id: str, body: str) -> None:
    headers = sign([key], event_id, NOW, body.encode())
    expected = oracle(key).sign(event_id, datetime.fromtimestamp(NOW, UTC), body)
    assert headers == {"webhook-id": event_id, "webhook-timestamp": str(NOW), "webhook-signature": expected}


@given(st.lists(keys, min_size=1, max_size=4, unique=True), event_ids, st.binary(max_size=200))
def test_any_key_of_either_side_is_enough(signing_keys: list[bytes], event_id: str, body: bytes) -> None:
    headers = sign(signing_keys, event_id, NOW, body)
    assert len(headers["webhook-signature"].split(" ")) == len(signing_keys)
    for key in signing_keys:
        verify([key], headers, body, NOW)
    verify([OTHER_KEY + b"!", signing_keys[-1]], headers, body, NOW)


def test_the_reference_accepts_a_rotation() -> None:
    now = int(datetime.now(UTC).timestamp())
    headers = sign([OTHER_KEY, KEY], "msg_1", now, BODY)
    assert oracle(KEY).verify(BODY, headers) == oracle(OTHER_KEY).verify(BODY, headers)


@given(keys, event_ids, st.text(max_size=200))
def test_accepts_what_the_reference_signed(key: bytes, event_id: str, body: str) -> None:
    signature = oracle(key).sign(event_id, datetime.fromtimestamp(NOW, UTC), body)
    headers = {"Webhook-Id": event_id, "WEBHOOK-TIMESTAMP": str(NOW), "webhook-signature": signature}
    verify([key], headers, body.encode(), NOW)


@given(st.data())
def test_refuses_a_body_changed_anywhere(data: st.DataObject) -> None:
    headers = sign([KEY], "msg_1", NOW, BODY)
    place = data.draw(st.integers(0, len(BODY) - 1))
    bit = data.draw(st.integers(0, 7))
    forged = bytearray(BODY)
    forged[place] ^= 1 << bit
    with pytest.raises(SignatureError, match="no signature fits"):
        verify([KEY], headers, bytes(forged), NOW)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("webhook-id", None, "webhook-id is missing"),
        ("webhook-timestamp", None, "webhook-timestamp is missing"),
        ("webhook-signature", None, "webhook-signature is missing"),
        ("webhook-id", "", "webhook-id is missing"),
        ("webhook-id", "msg_2", "no signature fits"),
        ("webhook-id", "m\udcffsg", "webhook-id is malformed"),
        ("webhook-timestamp", str(NOW + 1), "no signature fits"),
        ("webhook-timestamp", str(NOW - 301), "webhook-timestamp is too far from the time here"),
        ("webhook-timestamp", str(NOW + 301), "webhook-timestamp is too far from the time here"),
        ("webhook-timestamp", f"-{NOW}", "webhook-timestamp is malformed"),
        ("webhook-timestamp", f" {NOW}", "webhook-timestamp is malformed"),
        ("webhook-timestamp", f"{NOW}.0", "webhook-timestamp is malformed"),
        ("webhook-timestamp", "1_760_000_000", "webhook-timestamp is malformed"),
        ("webhook-timestamp", "١٧٦٠٠٠٠٠٠٠", "webhook-timestamp is malformed"),
        ("webhook-timestamp", "9" * 5000, "webhook-timestamp is malformed"),
        ("webhook-timestamp", "nan", "webhook-timestamp is malformed"),
        ("webhook-signature", "v1,", "no signature fits"),
        ("webhook-signature", "v1", "no signature fits"),
        ("webhook-signature", "v1,not base64!", "no signature fits"),
        ("webhook-signature", "v1a,AAAA v2,BBBB", "no signature fits"),
        ("webhook-signature", "v1,\udcff", "webhook-signature is malformed"),
    ],
)
def test_refuses_with_a_reason(name: str, value: str | None, reason: str) -> None:
    headers = changed(sign([KEY], "msg_1", NOW, BODY), name, value)
    with pytest.raises(SignatureError) as refusal:
        verify([KEY], headers, BODY, NOW)
    assert refusal.value.reason == reason


def test_refuses_a_key_that_did_not_sign() -> None:
    headers = sign([KEY], "msg_1", NOW, BODY)
    with pytest.raises(SignatureError):
        verify([OTHER_KEY], headers, BODY, NOW)
    with pytest.raises(SignatureError):
        verify([], headers, BODY, NOW)


def test_accepts_a_good_signature_among_strange_ones() -> None:
    headers = sign([KEY], "msg_1", NOW, BODY)
    crowded = f"v1a,ed25519  v1,%%% v1,AAAA {headers['webhook-signature']} v9"
    verify([KEY], changed(headers, "webhook-signature", crowded), BODY, NOW)


@given(st.integers(-400, 400))
def test_tolerates_clocks_that_differ_by_so_much(skew: int) -> None:
    headers = sign([KEY], "msg_1", NOW, BODY)
    if abs(skew) <= 300:
        verify([KEY], headers, BODY, NOW + skew)
    else:
        with pytest.raises(SignatureError):
            verify([KEY], headers, BODY, NOW + skew)


def test_the_tolerance_is_the_callers() -> None:
    headers = sign([KEY], "msg_1", NOW, BODY)
    verify([KEY], headers, BODY, NOW + 3600, tolerance_seconds=3600)
    with pytest.raises(SignatureError):
        verify([KEY], headers, BODY, NOW + 2, tolerance_seconds=1)


@given(
    st.dictionaries(
        st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "Webhook-Id"]) | texts,
        texts | st.just(str(NOW)) | st.just("v1,") | texts.map(lambda text: f"v1,{text}"),
    ),
    st.binary(max_size=50),
)
def test_hostile_headers_are_refused_and_nothing_else(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(SignatureError):
        verify([KEY], headers, body, NOW)


@given(texts)
def test_a_hostile_signature_header_is_refused_and_nothing_else(signature: str) -> None:
    headers = changed(sign([KEY], "msg_1", NOW, BODY), "webhook-signature", signature)
    with pytest.raises(SignatureError):
        verify([KEY], headers, BODY, NOW)
