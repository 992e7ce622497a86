"""Who a client is and how it reached us, as told by its peer, its headers and the settings."""

from __future__ import annotations

import ipaddress
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from adapters.sockets import networks
from gateway.http.proxies import MOST_HOPS, NOBODY, Seen, seen

TRUSTED = ("10.0.0.0/8", "2001:db8::/32", "127.0.0.1")
PROXY = "10.0.0.1"
STRANGER = "198.51.100.9"


def look(
    *lines: tuple[str, str],
    peer: str | None = PROXY,
    secure: bool = False,
    trusted: tuple[str, ...] = TRUSTED,
    public_url: str | None = None,
) -> Seen:
    headers = CIMultiDict(lines)
    return seen(headers, peer, secure=secure, trusted=networks(trusted), public_url=public_url)


def client(*forwarded_for: str, peer: str | None = PROXY, trusted: tuple[str, ...] = TRUSTED) -> str:
    return look(*(("X-Forwarded-For", line) for line in forwarded_for), peer=peer, trusted=trusted).client


@pytest.mark.parametrize(
    ("forwarded_for", "expected"),
    [
        ((), PROXY),
        (("",), PROXY),
        (("203.0.113.7",), "203.0.113.7"),
        ((" 203.0.113.7\t",), "203.0.113.7"),
        # Whatever stands left of the first untrusted hop was said by a stranger.
        (("1.2.3.4, 203.0.113.7",), "203.0.113.7"),
        (("1.2.3.4, 203.0.113.7, 10.1.1.1, 10.2.2.2",), "203.0.113.7"),
        (("10.9.9.9, 10.1.1.1",), "10.9.9.9"),
        # Some proxies add a line, where others add to one.
        (("1.2.3.4", "203.0.113.7"), "203.0.113.7"),
        (("203.0.113.7", "10.1.1.1"), "203.0.113.7"),
        # With ports, brackets and quotes.
        (("1.2.3.4:567",), "1.2.3.4"),
        (("[2001:db9::1]:5",), "2001:db9::1"),
        (("[2001:db9::1]",), "2001:db9::1"),
        (("2001:DB9:0::1",), "2001:db9::1"),
        (('"[2001:db9::1]:5"',), "2001:db9::1"),
        (("203.0.113.7, [2001:db8::5]:443",), "203.0.113.7"),
        # IPv4 in the dress of IPv6.
        (("::ffff:203.0.113.7",), "203.0.113.7"),
        (("203.0.113.7, ::ffff:10.1.1.1",), "203.0.113.7"),
        # At garbage the walk stops.
        (("unknown",), PROXY),
        (("203.0.113.7, unknown, 10.1.1.1",), "10.1.1.1"),
        (("203.0.113.7,",), PROXY),
        (("1.2.3.4.5",), PROXY),
        (("1.2.3.4:x",), PROXY),
        (("1.2.3.4:1234567",), PROXY),
        (("[::1",), PROXY),
        (("[]:5",), PROXY),
        (("fe80::1%eth0\nclient=root",), PROXY),
        (("1.2.3.4%eth0",), PROXY),
        (("\N{FULLWIDTH DIGIT ONE}.2.3.4",), PROXY),
        (("1.2.3.4 5.6.7.8",), PROXY),
    ],
)
def test_walks_from_hop_to_hop(forwarded_for: tuple[str, ...], expected: str) -> None:
    assert client(*forwarded_for) == expected


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        (STRANGER, STRANGER),
        ("::ffff:198.51.100.9", STRANGER),
        ("2001:db9::9", "2001:db9::9"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:10.0.0.1", "1.2.3.4"),  # it is a trusted proxy's
        ("2001:db8::1", "1.2.3.4"),
        ("127.0.0.1", "1.2.3.4"),
        ("127.0.0.2", "127.0.0.2"),
        (None, NOBODY),
        ("", NOBODY),
        ("/run/socket", NOBODY),
    ],
)
def test_believes_trusted_peers_alone(peer: str | None, expected: str) -> None:
    assert client("1.2.3.4", peer=peer) == expected


def test_a_peer_without_an_address_is_not_believed_even_if_all_are_trusted() -> None:
    assert client("1.2.3.4", peer=None, trusted=("0.0.0.0/0",)) == NOBODY


def test_nobody_is_believed_where_no_proxy_is_trusted() -> None:
    assert client("1.2.3.4", trusted=()) == PROXY


def test_goes_back_so_many_hops_and_no_further() -> None:
    hops = [f"10.0.{number // 250}.{number % 250 + 1}" for number in range(MOST_HOPS + 5)]
    assert client(", ".join(hops)) == hops[-MOST_HOPS]
    assert client(", ".join(["203.0.113.7", *hops[:MOST_HOPS]])) == hops[0]
    assert client(", ".join(["203.0.113.7", *hops[: MOST_HOPS - 1]])) == "203.0.113.7"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https", "https"),
        ("HTTPS", "https"),
        ("http", "http"),
        ("https, http", "https"),
        ("wss", "http"),
        ("", "http"),
        ("javascript", "http"),
        ("https://evil", "http"),
        (",https", "http"),
    ],
)
def test_takes_the_scheme_a_proxy_names(text: str, expected: str) -> None:
    answer = look(("Host", "gateway:8080"), ("X-Forwarded-Proto", text))
    assert (answer.scheme, answer.base_url) == (expected, f"{expected}://gateway:8080")


def test_a_connection_of_tls_is_https_unless_a_proxy_says_otherwise() -> None:
    assert look(secure=True).scheme == "https"
    assert look(("X-Forwarded-Proto", "http"), secure=True).scheme == "http"
    assert look(("X-Forwarded-Proto", "http"), secure=True, peer=STRANGER).scheme == "https"


HOSTS = [
    "calls.example",
    "calls.example:8443",
    "calls.example.",
    "CALLS.example",
    "a",
    "10.0.0.5",
    "10.0.0.5:1",
    "[2001:db8::1]",
    "[2001:db8::1]:8443",
    "pbx_1.internal",
    "a" * 253,
]

NO_HOSTS = [
    "",
    " ",
    "a b",
    "a/b",
    "a\\b",
    "user@a",
    "user:word@a",
    "a?b",
    "a#b",
    "a\r\nb",
    "a\x00",
    "a\n",
    "a:",
    "a:port",
    "a:65536",
    "a:123456",
    ":80",
    "-a",
    ".a",
    "a-",
    "2001:db8::1",
    "[2001:db8::1",
    "[::1]x",
    "[:::::]",
    "[1.2.3.4]",
    "ex\N{LATIN SMALL LETTER A WITH DIAERESIS}mple",
    "a\N{ARABIC-INDIC DIGIT ONE}",
    "a:\N{ARABIC-INDIC DIGIT ONE}",
    "a" * 262,
    '"a"',
    "<a>",
    "%61",
]


@pytest.mark.parametrize("host", HOSTS)
def test_takes_a_host(host: str) -> None:
    forwarded = look(("Host", "gateway"), ("X-Forwarded-Host", f"{host}, other"))
    assert (forwarded.host, forwarded.base_url) == (host, f"http://{host}")
    assert look(("Host", host), peer=STRANGER).host == host


@pytest.mark.parametrize("text", NO_HOSTS)
def test_passes_over_what_is_no_host(text: str) -> None:
    assert look(("Host", "gateway"), ("X-Forwarded-Host", text)).host == "gateway"
    assert look(("Host", text), peer=STRANGER).base_url == "http://localhost"


def test_the_first_of_several_hosts_counts() -> None:
    assert look(("X-Forwarded-Host", "a.example , b.example"), ("X-Forwarded-Host", "c.example")).host == "a.example"


@pytest.mark.parametrize(
    ("public_url", "expected"),
    [
        ("https://calls.example", "https://calls.example"),
        ("https://calls.example/", "https://calls.example"),
        ("https://calls.example:8443/pbx/one/", "https://calls.example:8443/pbx/one"),
        ("https://calls.example/pbx?", "https://calls.example/pbx"),
        ("http://[2001:db8::1]:80//", "http://[2001:db8::1]:80"),
    ],
)
def test_the_public_url_decides(public_url: str, expected: str) -> None:
    answer = look(("Host", "gateway"), ("X-Forwarded-Host", "a"), ("X-Forwarded-For", "1.2.3.4"), public_url=public_url)
    assert answer.base_url == expected
    assert expected.startswith(f"{answer.scheme}://{answer.host}")
    assert answer.client == "1.2.3.4"  # who a client is, no setting can say


def test_a_prefix_of_the_public_url_stands_in_the_base_alone() -> None:
    answer = look(public_url="https://calls.example/pbx")
    assert (answer.scheme, answer.host) == ("https", "calls.example")


addresses = st.ip_addresses().map(str)
hops = st.one_of(
    addresses,
    addresses.map(lambda each: f"[{each}]:80"),
    st.sampled_from(
        ["10.1.1.1", "2001:db8::7", "::ffff:10.1.1.1", "unknown", "_hidden", "10.1.1.1:80", "fe80::1%\r\n"]
    ),
    st.text(alphabet=string.printable, max_size=30),
    st.text(max_size=10),
)
lists = st.lists(hops, max_size=MOST_HOPS + 8).map(",".join)
forwarded = st.lists(
    st.tuples(
        st.sampled_from(["X-Forwarded-For", "x-forwarded-for", "X-Forwarded-Proto", "X-Forwarded-Host"]),
        st.one_of(lists, st.sampled_from([*HOSTS, *NO_HOSTS, "https"])),
    ),
    max_size=6,
)
peers = st.one_of(st.none(), addresses, st.sampled_from([PROXY, "::ffff:10.0.0.1", STRANGER]), st.text(max_size=10))
some_networks = st.lists(st.sampled_from([*TRUSTED, "0.0.0.0/0", "::/0"]), max_size=3).map(tuple)


@given(forwarded, st.text(max_size=20), peers, some_networks, st.booleans())
def test_whatever_comes_there_is_an_answer_fit_to_be_shown(
    lines: list[tuple[str, str]], host: str, peer: str | None, trusted: tuple[str, ...], secure: bool
) -> None:
    answer = look(("Host", host), *lines, peer=peer, trusted=trusted, secure=secure)
    address = ipaddress.ip_address(answer.client)
    assert str(address) == answer.client
    assert getattr(address, "ipv4_mapped", None) is None
    assert answer.base_url == f"{answer.scheme}://{answer.host}"
    assert answer.scheme in {"http", "https"}
    assert answer.base_url.isascii()
    assert answer.base_url.isprintable()
    assert not set(answer.host) & set(" /\\?#@<>\"'%")


@given(forwarded, st.sampled_from(["gateway", "a/b"]), st.one_of(st.none(), addresses), st.booleans())
def test_what_a_stranger_says_of_proxies_changes_nothing(
    lines: list[tuple[str, str]], host: str, peer: str | None, secure: bool
) -> None:
    said = look(("Host", host), *lines, peer=peer, trusted=(), secure=secure)
    assert said == look(("Host", host), peer=peer, trusted=(), secure=secure)


@given(lists, st.lists(st.sampled_from(["10.1.1.1", "2001:db8::7", "::ffff:10.1.1.1", "10.1.1.1:99"]), max_size=5))
def test_what_stands_before_the_first_stranger_changes_nothing(claimed: str, proxies: list[str]) -> None:
    assert client(",".join([claimed, STRANGER, *proxies])) == STRANGER
