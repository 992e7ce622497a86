"""Ports that others can reach ask who they are, or somebody has said that they need not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from config.errors import ConfigError
from config.load import load

if TYPE_CHECKING:
    from config.settings import Settings

TOKEN = "0123456789abcdef" * 2
EVERYWHERE = "0.0.0.0"  # noqa: S104  that is what is asked about


def read(**changes: object) -> Settings:
    return load(None, {f"LINESCRIBE_{name}": msgspec.json.encode(value).decode() for name, value in changes.items()})


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "10.1.0.20", "gateway.example"])
@pytest.mark.parametrize("section", ["http", "audiosocket"])
def test_a_port_that_asks_nobody_is_not_opened_to_others(section: str, host: str) -> None:
    changes: dict[str, object] = {"AUDIOSOCKET": [{"host": host}]} if section == "audiosocket" else {"HTTP__HOST": host}
    with pytest.raises(ConfigError, match=f"(?s){host}.*accept_anybody: true"):
        read(**changes)


@pytest.mark.parametrize(
    "asks",
    [
        {"allowed_peers": ["10.1.0.5"]},
        {"registration": "required"},
        {"tls": {"certificate": "/a", "key": "/b", "client_ca": "/c"}},
        {"accept_anybody": True},
    ],
    ids=str,
)
def test_an_audiosocket_port_that_asks_is_opened(asks: dict[str, Any]) -> None:
    settings = read(AUDIOSOCKET=[{"host": EVERYWHERE} | asks], HTTP__TOKENS=[{"name": "pbx", "secret": TOKEN}])
    assert settings.audiosocket[0].host == EVERYWHERE


def test_tls_alone_asks_nobody() -> None:
    with pytest.raises(ConfigError, match=r"tls\.client_ca"):
        read(AUDIOSOCKET=[{"host": EVERYWHERE, "tls": {"certificate": "/a", "key": "/b"}}])


@pytest.mark.parametrize(
    "changes",
    [
        {"HTTP__TOKENS": [{"name": "pbx", "secret": TOKEN}]},
        {"HTTP__MONITORS": ["10.1.0.9"]},
        {"HTTP__TLS": {"certificate": "/a", "key": "/b", "client_ca": "/c"}},
        {"HTTP__ACCEPT_ANYBODY": True},
        {"FREESWITCH": [{"credentials": [{"name": "switch", "secret": TOKEN}]}]},
        {"FREESWITCH": [{"allowed_peers": ["10.1.0.5"]}]},
        {"FREESWITCH": [{"accept_anybody": True}]},
        {"TWILIO": [{"accounts": [{"sid": "AC1", "auth_tokens": [TOKEN]}]}]},
        {"PLIVO": [{"auth_tokens": [TOKEN]}]},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_http_port_that_asks_is_opened(changes: dict[str, object]) -> None:
    assert read(HTTP__HOST=EVERYWHERE, **changes).http.host == EVERYWHERE


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine_alone_need_not_be_asked(host: str) -> None:
    assert read(HTTP__HOST=host, AUDIOSOCKET=[{"host": host}]).http.host == host


def test_no_port_is_open_to_nobody() -> None:
    read(HTTP__PORT=None, HTTP__HOST=EVERYWHERE, FREESWITCH=[], TWILIO=[], ASTERISK_WEBSOCKET=[])


def test_the_operators_port_is_for_this_machine_alone() -> None:
    with pytest.raises(ConfigError, match="ssh -L"):
        read(ADMIN={"host": EVERYWHERE, "tokens": [{"name": "me", "secret": TOKEN}]})


def test_the_operators_port_wants_a_place_of_its_own() -> None:
    with pytest.raises(ConfigError, match="8080"):
        read(ADMIN={"port": 8080, "tokens": [{"name": "me", "secret": TOKEN}]})
    read(ADMIN={"port": 8080})  # it is closed
