from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from config.delivery import STORED_TYPES, Endpoint
from gateway.delivery.recipients import (
    LONGEST_URL,
    Recipient,
    check_brought,
    choose,
    name_of,
    secret_parameters,
    wants,
)
from gateway.events import Event
from tests.sites import SECRETS

CRM = Endpoint(name="crm", url="https://crm.example/hook", secrets=SECRETS)
THEIRS = Endpoint(
    name="theirs",
    url_parameter="webhook",
    allowed_hosts=("hooks.example.com", "*.customers.example", "203.0.113.7", "[2001:db8::7]"),
    secrets=SECRETS,
)
PLAIN = Endpoint(
    name="plain", url_parameter="webhook", allowed_hosts=("hooks.example.com",), secrets=SECRETS, allow_plain_http=True
)


@pytest.mark.parametrize(
    ("recipient", "queue"),
    [
        (Recipient("crm"), "crm"),
        (Recipient("theirs", "https://hooks.example.com/a?token=1"), "theirs@hooks.example.com:443"),
        (Recipient("theirs", "https://HOOKS.Example.com/b"), "theirs@hooks.example.com:443"),
        (Recipient("theirs", "https://hooks.example.com:8443/"), "theirs@hooks.example.com:8443"),
        (Recipient("plain", "http://hooks.example.com/"), "plain@hooks.example.com:80"),
        (Recipient("theirs", "https://[2001:db8::7]/"), "theirs@2001:db8::7:443"),
    ],
)
def test_under_which_name_deliveries_wait(recipient: Recipient, queue: str) -> None:
    assert recipient.queue == queue
    assert name_of(queue) == recipient.endpoint


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com",
        "https://hooks.example.com/a/b?c=d#e",
        "https://hooks.example.com:8443/",
        "https://Hooks.Example.COM/",
        "https://hooks.example.com./",
        "https://one.customers.example/",
        "https://a.b.customers.example/",
        "https://203.0.113.7/",
        "https://[2001:db8::7]/",
    ],
)
def test_urls_that_calls_may_bring(url: str) -> None:
    check_brought(THEIRS, url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://hooks.example.com/", "expected an https:// URL"),
        ("https://evil.example/", "'evil.example' is not among allowed_hosts"),
        ("https://customers.example/", "is not among"),
        ("https://xcustomers.example/", "is not among"),
        ("https://hooks.example.com.evil.example/", "is not among"),
        ("https://evil.example/?x=https://hooks.example.com/", "is not among"),
        ("https://evil.example#@hooks.example.com/", "is not among"),
        ("https://evil.example\\@hooks.example.com/", "expected a URL of at most"),
        ("https://user:pass@hooks.example.com/", "without user name"),
        ("https://hooks.example.com@evil.example/", "without user name"),
        ("https://169.254.169.254/latest", "is not among"),
        ("https://hooks.example.com:99999/", "expected a URL such as"),
        ("ftp://hooks.example.com/", "expected a URL such as"),
        ("file:///etc/passwd", "expected a URL such as"),
        ("hooks.example.com", "expected a URL such as"),
        ("https:///path", "expected a URL such as"),
        ("https://hooks.example.com/ x", "without blanks"),
        ("https://hooks.example.com/\n", "without blanks"),
        ("https://h\u00f6\u00f6ks.example.com/", "ASCII"),
        ("https://hooks%2eexample.com/", "host is written plainly|is not among|URL such as"),
        ("https://hooks.example.com/" + "x" * LONGEST_URL, "at most"),
    ],
)
def test_urls_that_they_may_not(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        check_brought(THEIRS, url)
    assert "/latest" not in str(caught.value), "neither path nor query is told"


def test_plain_http_is_for_those_who_accept_it() -> None:
    check_brought(PLAIN, "http://hooks.example.com/")


@given(st.text(max_size=80) | st.from_regex(r"\Ahttps?://[ -~]{0,60}\Z"))
@example("https://hooks.example.com:8443@evil/")
@example("https://[hooks.example.com]/")
def test_whatever_is_let_in_goes_to_a_host_on_the_list(url: str) -> None:
    try:
        check_brought(THEIRS, url)
    except ValueError:
        return
    host = (URL(url).raw_host or "").rstrip(".")
    assert host in {"hooks.example.com", "203.0.113.7", "2001:db8::7"} or host.endswith(".customers.example")
    assert URL(url).user is None


def test_who_is_sent_the_events_of_a_call() -> None:
    url = "https://hooks.example.com/1"
    both = [CRM, THEIRS]
    assert choose(both, ["crm", "theirs"], {"webhook": url}) == ((Recipient("crm"), Recipient("theirs", url)), ())
    assert choose(both, ["crm", "theirs"], {}) == ((Recipient("crm"),), ()), "this call has brought none"
    assert choose(both, ["crm"], {"webhook": url}) == ((Recipient("crm"),), ()), "its route does not say so"
    chosen, problems = choose(both, ["crm", "theirs"], {"webhook": "https://evil.example/secret"})
    assert chosen == (Recipient("crm"),)
    assert problems == ("webhook of endpoint theirs: 'evil.example' is not among allowed_hosts",)


def test_parameters_that_hold_urls_are_secret() -> None:
    assert secret_parameters([CRM, THEIRS, PLAIN]) == {"webhook"}
    assert secret_parameters([CRM]) == frozenset()


def test_the_settings_know_every_type_that_is_stored() -> None:
    there = {each.type for each in _leaves(Event)}
    assert there - {"transcript.interim"} == set(STORED_TYPES)


def _leaves(kind: type[Event]) -> list[type[Event]]:
    below = [leaf for sub in kind.__subclasses__() for leaf in _leaves(sub)]
    return below + [kind] * ("type" in vars(kind))


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        (("*",), set(STORED_TYPES)),
        (("transcript.final",), {"transcript.final"}),
        (("call.*",), {kind for kind in STORED_TYPES if kind.startswith("call.")}),
        (("transcript.*", "call.ended"), {"transcript.final", "transcript.failed", "call.ended"}),
    ],
)
def test_an_endpoint_is_sent_what_it_wants(patterns: tuple[str, ...], wanted: set[str]) -> None:
    endpoint = Endpoint(name="crm", url="https://crm.example/", secrets=SECRETS, events=patterns)
    assert {kind for kind in STORED_TYPES if wants(endpoint, kind)} == wanted
