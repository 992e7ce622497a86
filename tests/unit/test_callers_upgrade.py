from __future__ import annotations

import pytest

from gateway.callers.upgrade import (
    Credentials,
    Target,
    Upgrade,
    UpgradeError,
    accept_of,
    body_bytes,
    check_answer,
    parse_url,
)

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ASKED = Upgrade(request=b"", key=KEY, protocol="media")
RIGHT = (
    "HTTP/1.1 101 Switching Protocols\r\n"
    "Upgrade: websocket\r\n"
    "Connection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    "\r\n"
)


def test_an_accept_is_that_of_the_rfc() -> None:
    assert accept_of(KEY) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 1.3


def test_credentials_are_those_of_the_rfc() -> None:
    assert Credentials("Aladdin", "open sesame").basic == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="  # RFC 7617 2


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("ws://gw/x?a=1&b", Target(host="gw", port=80, authority="gw", path="/x?a=1&b", tls=False)),
        ("wss://gw:9/", Target(host="gw", port=9, authority="gw:9", path="/", tls=True)),
        ("wss://gw", Target(host="gw", port=443, authority="gw", path="/", tls=True)),
        ("ws://gw?a=1", Target(host="gw", port=80, authority="gw", path="/?a=1", tls=False)),
    ],
)
def test_a_url_leads_somewhere(url: str, target: Target) -> None:
    assert parse_url(url) == target


@pytest.mark.parametrize(
    "url", ["", "gw", "http://gw/", "ws://", "ws://u:p@gw/", "ws://gw/#x", "ws://gw:x/", "ws://gw/a b", "ws://gw/ä"]
)
def test_a_url_that_leads_nowhere_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"(is no URL such as|cannot carry)"):
        parse_url(url)


@pytest.mark.parametrize(
    "answer",
    [
        RIGHT,
        RIGHT.replace("Upgrade: websocket", "UPGRADE:WebSocket").replace(" Upgrade\r", " keep-alive, upgrade\r"),
        RIGHT.replace("\r\n\r\n", "\r\nsec-websocket-protocol: media\r\n\r\n"),
    ],
)
def test_the_answer_that_was_asked_for_is_taken(answer: str) -> None:
    check_answer(answer.encode(), ASKED)


@pytest.mark.parametrize(
    ("answer", "status", "wrong"),
    [
        ("HTTP/1.1 401 Unauthorized\r\n\r\n", 401, "answered 401 Unauthorized; give the user and the password"),
        ("HTTP/1.1 404 Not Found\r\n\r\n", 404, "answered 404 Not Found; is the path"),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", 503, "answered 503 Service Unavailable"),
        ("HTTP/1.1 200\r\n\r\n", 200, "answered 200"),
        ("HTTP/1.0 101 Switching Protocols\r\n\r\n", None, "no web server: 'HTTP/1.0 101"),
        ("\0\0\0\r\n\r\n", None, "no web server"),
        ("HTTP/1.1 OK\r\n\r\n", None, "no web server"),
        (RIGHT.replace("Upgrade: websocket\r\n", ""), None, "no upgrade to websocket"),
        (RIGHT.replace("Connection: Upgrade\r\n", ""), None, "no upgrade to websocket"),
        (RIGHT.replace("s3pP", "xxxx"), None, "does not belong to the key"),
        (RIGHT.replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: x\r\n\r\n"), None, "subprotocol x, where media"),
        (RIGHT.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: x\r\n\r\n"), None, "extension x, where none"),
    ],
)
def test_any_other_answer_is_named(answer: str, status: int | None, wrong: str) -> None:
    with pytest.raises(UpgradeError, match=wrong) as raised:
        check_answer(answer.encode(), ASKED)
    assert raised.value.status == status


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error":{"code":"not_found","message":"no such path"}}', "answered 404 Not Found: no such path$"),
        (b'{"error":"no such path"}', "answered 404 Not Found; is the path"),
        (b"<html>", "answered 404 Not Found; is the path"),
    ],
)
def test_the_reason_that_a_refusal_gives_is_told(body: bytes, text: str) -> None:
    with pytest.raises(UpgradeError, match=text):
        check_answer(b"HTTP/1.1 404 Not Found\r\n\r\n", ASKED, body)


@pytest.mark.parametrize(
    ("head", "size"),
    [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 12\r\n\r\n", 12),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 9999\r\n\r\n", 9999),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 65537\r\n\r\n", 0),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: -1\r\n\r\n", 0),
        ("HTTP/1.1 404 Not Found\r\n\r\n", 0),
        ("HTTP/1.1 101 Switching Protocols\r\nContent-Length: 12\r\n\r\n", 0),
    ],
)
def test_no_more_of_a_refusal_is_read_than_it_should_say(head: str, size: int) -> None:
    assert body_bytes(head.encode()) == size
