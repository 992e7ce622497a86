from __future__ import annotations

import pytest

from gateway.callers.media_stream_plan import Dialect
from gateway.callers.media_stream_upgrade import media_stream_upgrade
from gateway.callers.upgrade import parse_url

TARGET = parse_url("wss://calls.example:8443/media/TOKEN")


def test_twilios_request_is_the_recorded_one() -> None:
    upgrade = media_stream_upgrade(Dialect.TWILIO, TARGET, "KEY", proof=["X-Twilio-Signature: SIGNATURE"])
    assert upgrade.request.decode().split("\r\n") == [
        "GET /media/TOKEN HTTP/1.1",
        "Host: calls.example:8443",
        "User-Agent: Twilio.TmeWs/1.0",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: KEY",
        "Sec-WebSocket-Version: 13",
        "X-Twilio-Signature: SIGNATURE",
        "Accept-Encoding: gzip",
        "",
        "",
    ]
    assert (upgrade.key, upgrade.protocol) == ("KEY", None)


@pytest.mark.parametrize("dialect", [dialect for dialect in Dialect if dialect is not Dialect.TWILIO])
def test_any_other_request_is_no_longer_than_it_has_to_be(dialect: Dialect) -> None:
    upgrade = media_stream_upgrade(dialect, TARGET, "KEY", proof=["Authorization: Bearer TOKEN"])
    assert upgrade.request.decode().split("\r\n") == [
        "GET /media/TOKEN HTTP/1.1",
        "Host: calls.example:8443",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: KEY",
        "Sec-WebSocket-Version: 13",
        "Authorization: Bearer TOKEN",
        "",
        "",
    ]


@pytest.mark.parametrize("dialect", Dialect)
def test_a_request_without_proof_has_no_header_for_it(dialect: Dialect) -> None:
    request = media_stream_upgrade(dialect, TARGET, "KEY").request.lower()
    assert b"signature" not in request
    assert b"authorization" not in request
    assert request.endswith(b"\r\n\r\n")
