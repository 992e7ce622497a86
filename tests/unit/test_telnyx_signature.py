"""Signatures of Telnyx's webhooks, made by the library that verifies them; one of a time long gone is written here."""

from __future__ import annotations

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.twilio.telnyx_signature import MOST_SIGNATURES, TOLERANCE_SECONDS, TelnyxRequest, is_signed
from tests.telnyx_signing import KEY, OTHER_KEY, PUBLIC, sign

NOW = 1_700_000_000.5
TIMESTAMP = "1700000000"
BODY = '{"data":{"event_type":"streaming.stopped","payload":{"name":"J\u00fcrgen"}}}'.encode()
LINE = sign(BODY, TIMESTAMP)
OTHER = OTHER_KEY.public_key().public_bytes_raw()

anything = st.text(st.characters(codec=None), max_size=90)
"""Lone surrogates too, if rarely: that is how a server hands over bytes it cannot decode."""


def signed(
    *lines: str,
    body: bytes = BODY,
    timestamp: str = TIMESTAMP,
    keys: tuple[bytes, ...] = (PUBLIC,),
    now: float = NOW,
) -> bool:
    return is_signed(TelnyxRequest(body=body, signatures=lines, timestamp=timestamp), keys, now)


def test_a_known_signature_is_accepted() -> None:
    line = "Blaj6OLeeMSG5B/SReMm9yV6IFaOf6Peb7PvpQDqUCmT36L+LmfSzqRr6Ute/+HwXZVw61T1cSk/mWgSCncVAg=="
    assert signed(line, body=b'{"data":{}}', timestamp="1600000000", now=1_600_000_000.0)


def test_nothing_may_be_changed() -> None:
    assert signed(LINE)
    assert not signed()
    assert not signed("")
    assert not signed(LINE.swapcase())
    assert not signed(LINE[:-4])
    assert not signed(LINE + LINE)
    assert not signed(LINE, body=BODY + b"\n")
    assert not signed(LINE, body=b"")
    assert not signed(LINE, timestamp="1700000001")
    assert not signed(sign(TIMESTAMP.encode() + b"|" + BODY, ""))
    assert not signed(sign(BODY, TIMESTAMP, OTHER_KEY))


def test_any_key_will_do_and_no_other() -> None:
    assert signed(LINE, keys=(OTHER, PUBLIC))
    assert not signed(LINE, keys=(OTHER,))
    assert not signed(LINE, keys=())


def test_any_line_will_do_but_not_any_number_of_lines() -> None:
    assert signed("garbage", LINE)
    assert signed(*["garbage"] * (MOST_SIGNATURES - 1), LINE)
    assert not signed(*["garbage"] * MOST_SIGNATURES, LINE)


@pytest.mark.parametrize(
    ("seconds", "holds"),
    [
        (0, True),
        (TOLERANCE_SECONDS, True),
        (-TOLERANCE_SECONDS, True),
        (TOLERANCE_SECONDS + 1, False),
        (-TOLERANCE_SECONDS - 1, False),
        (10**9, False),
    ],
)
def test_a_webhook_is_of_now(seconds: int, *, holds: bool) -> None:
    assert signed(LINE, now=1_700_000_000 + seconds) is holds


@pytest.mark.parametrize(
    "timestamp",
    [
        *("", " 1700000000", "1700000000 ", "1700000000\n", "1700000000.5", "+1700000000", "1_700_000_000", "1.7e9"),
        *("-1", "nan", "\uff11700000000", "0" * 12 + "1700000000", "9" * 5000),
    ],
)
def test_a_timestamp_is_whole_seconds_in_digits(timestamp: str) -> None:
    assert not signed(sign(BODY, timestamp), timestamp=timestamp)


def test_a_line_with_anything_but_base64_in_it_is_no_signature() -> None:
    assert not signed(f"{LINE[:40]} {LINE[40:]}")
    assert not signed(LINE.replace("+", "-"))
    assert not signed(LINE.rstrip("="))


@given(st.binary(max_size=300), st.integers(0, 10**12 - 1), st.floats(-300, 300))
def test_what_is_signed_in_time_is_accepted(body: bytes, at: int, apart: float) -> None:
    assert signed(sign(body, str(at)), body=body, timestamp=str(at), now=at + apart / 2)


@given(st.binary(min_size=1, max_size=300), st.data())
def test_one_bit_is_enough(body: bytes, data: st.DataObject) -> None:
    raw = KEY.sign(TIMESTAMP.encode() + b"|" + body)
    place = data.draw(st.integers(0, 8 * (len(raw) + len(body)) - 1))
    whole = bytearray(raw + body)
    whole[place // 8] ^= 1 << place % 8
    line = base64.b64encode(whole[: len(raw)]).decode()
    assert not signed(line, body=bytes(whole[len(raw) :]))


@given(
    st.lists(anything | st.binary(max_size=70).map(lambda raw: base64.b64encode(raw).decode())), anything, st.binary()
)
@example(["\udcff", "\ud800", "AA==\udcff"], TIMESTAMP, b"\xff")
@example([base64.b64encode(bytes(64)).decode()], TIMESTAMP, b"")
def test_nothing_raises_and_nothing_is_signed_by_chance(lines: list[str], timestamp: str, body: bytes) -> None:
    for each in (timestamp, TIMESTAMP):
        assert not signed(*lines, body=body, timestamp=each, keys=(PUBLIC, OTHER))
