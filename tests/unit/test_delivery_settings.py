from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from config.errors import ConfigError
from config.load import dump, load

if TYPE_CHECKING:
    from config.delivery import Delivery

WHSEC = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
CRM = {"name": "crm", "url": "https://crm.example/", "secrets": [WHSEC]}
THEIRS = {"name": "theirs", "url_parameter": "webhook", "allowed_hosts": ["*.customers.example"], "secrets": [WHSEC]}


def delivery(*endpoints: dict[str, Any], **changes: Any) -> Delivery:
    environ = {"LINESCRIBE_DELIVERY__ENDPOINTS": msgspec.json.encode(endpoints).decode()}
    return load(
        None, environ | {f"LINESCRIBE_DELIVERY__{name}": str(value) for name, value in changes.items()}
    ).delivery


def test_an_endpoint_may_say_much() -> None:
    (crm,) = delivery(
        CRM
        | {
            "events": ["transcript.final", "call.*"],
            "headers": {"Authorization": "Bearer abc", "X-Tenant": "7"},
            "tls": {"ca": "/etc/ca.pem", "certificate": "/etc/me.pem", "key": "/etc/me.key"},
        }
    ).endpoints
    assert crm.headers["Authorization"].reveal() == "Bearer abc"
    assert crm.tls is not None
    assert not crm.guarded


def test_headers_are_kept_as_secrets_are(tmp_path: Any) -> None:
    file = tmp_path / "header"
    file.write_text("Bearer from-a-file\n")
    environ = {
        "LINESCRIBE_DELIVERY__ENDPOINTS": msgspec.json.encode(
            [CRM | {"headers": {"Authorization": {"file": str(file)}}}]
        ).decode()
    }
    settings = load(None, environ)
    assert settings.delivery.endpoints[0].headers["Authorization"].reveal() == "Bearer from-a-file"
    assert "from-a-file" not in dump(settings)
    assert "Authorization" in dump(settings)


@pytest.mark.parametrize(
    ("endpoint", "guarded"),
    [
        (CRM, False),
        (CRM | {"addresses": "public"}, True),
        (THEIRS, True),
        (THEIRS | {"addresses": "any"}, False),
    ],
)
def test_who_must_have_a_public_address(endpoint: dict[str, Any], guarded: bool) -> None:
    assert delivery(endpoint).endpoints[0].guarded is guarded


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"url_parameter": "webhook"}, "just one of them"),
        ({"url": None}, "just one of them"),
        ({"allowed_hosts": ["a.example"]}, "with url_parameter, and only there"),
        ({"url": "http://crm.example/"}, "https:// url"),
        ({"url": "https://me:secret@crm.example/"}, "without user name and password"),
        ({"events": ["transcript.finals"]}, "Expected events such as call.started"),
        ({"events": ["transcript.interim"]}, "Expected events such as call.started"),
        ({"headers": {"webhook-id": "x"}}, "headers of your own: webhook-id is written by the gateway"),
        ({"headers": {"Content-Type": "x"}}, "headers of your own: Content-Type"),
        ({"headers": {"Transfer-Encoding": "chunked"}}, "headers of your own"),
        ({"headers": {"X-A": "one\r\nX-B: two"}}, "printable ASCII in the header X-A"),
        ({"headers": {"X A": "one"}}, "matching regex"),
        ({"headers": {"X-A": "h\u00f6"}}, "printable ASCII"),
        ({"tls": {}}, "or no tls"),
        ({"tls": {"certificate": "/a"}}, "certificate and key together"),
        ({"tls": {"key": "/a"}}, "certificate and key together"),
        ({"addresses": "private"}, "expected one of"),
    ],
)
def test_what_cannot_be_is_told(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match="DELIVERY__ENDPOINTS") as caught:
        delivery(CRM | changes)
    assert told.lower() in str(caught.value).lower()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"allowed_hosts": []}, "with url_parameter"),
        ({"allowed_hosts": ["https://a.example/"]}, "Expected a host such as"),
        ({"allowed_hosts": ["*"]}, "Expected a host such as"),
        ({"allowed_hosts": ["a.*.example"]}, "Expected a host such as"),
    ],
)
def test_hosts_that_are_none_are_told(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        delivery(THEIRS | changes)
    assert told.lower() in str(caught.value).lower()


@pytest.mark.parametrize(
    "name", ["BREAKER_FAILURES", "KEEP_DEAD_HOURS", "CONNECT_TIMEOUT_SECONDS", "BREAKER_REST_SECONDS"]
)
def test_limits_are_more_than_nothing(name: str) -> None:
    with pytest.raises(ConfigError, match=name.lower()):
        delivery(**{name: 0})
