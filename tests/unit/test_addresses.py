from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.addresses import ForbiddenAddressError, PublicResolver, forbidden, public_socket

if TYPE_CHECKING:
    from collections.abc import Sequence

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001:81b::200e",
    "2001:200::1",
    "64:ff9b::8.8.8.8",
    "64:ff9b::808:808",
    "::ffff:8.8.8.8",
]

REFUSED = {
    "0.0.0.0": "this network",  # noqa: S104  nobody binds to it
    "0.1.2.3": "this network",
    "10.0.0.1": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "100.64.0.1": "shared by a provider's customers",
    "100.127.255.255": "shared by a provider's customers",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "169.254.169.254": "link-local",
    "192.0.0.8": "reserved for protocols",
    "192.88.99.1": "reserved for protocols",
    "192.0.2.1": "for documentation",
    "198.51.100.1": "for documentation",
    "203.0.113.1": "for documentation",
    "198.18.0.1": "for benchmarks",
    "198.19.255.255": "for benchmarks",
    "224.0.0.1": "multicast",
    "239.255.255.255": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "::": "unspecified",
    "::1": "loopback",
    "::7f00:1": "IPv4 of old",
    "::8.8.8.8": "IPv4 of old",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:169.254.169.254": "link-local",
    "::ffff:10.0.0.1": "private",
    "64:ff9b::7f00:1": "loopback",
    "64:ff9b::10.1.2.3": "private",
    "64:ff9b::a9fe:a9fe": "link-local",
    "64:ff9b:1::8.8.8.8": "local NAT64",
    "100::1": "discarded",
    "2001::1": "reserved for protocols",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2": "reserved for protocols",
    "2001:2::1": "reserved for protocols",
    "2001:10::1": "reserved for protocols",
    "2001:db8::1": "for documentation",
    "3fff::1": "for documentation",
    "2002:7f00:1::": "6to4",
    "2002:808:808::1": "6to4",
    "fc00::1": "private",
    "fd00:ec2::254": "private",
    "fe80::1": "link-local",
    "febf::1": "link-local",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
    "4000::1": "reserved",
    "5f00::1": "reserved",
    "fe80::1%eth0": "local to an interface",
    "2606:4700::1%1": "local to an interface",
    "localhost": "no address",
    "2130706433": "no address",
    "0x7f.1": "no address",
    "127.1": "no address",
    "": "no address",
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_connected_to(address: str) -> None:
    assert forbidden(address) is None


@pytest.mark.parametrize(("address", "why"), REFUSED.items())
def test_others_may_not(address: str, why: str) -> None:
    assert forbidden(address) == why


@given(st.ip_addresses(v=4))
def test_an_address_within_another_one_is_judged_as_itself(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    for around in ("::ffff:0:0", "64:ff9b::"):
        embedded = ipaddress.IPv6Address(int(ipaddress.IPv6Address(around)) + number)
        assert forbidden(str(embedded)) == forbidden(str(address))


@given(st.ip_addresses())
def test_what_python_thinks_private_is_never_connected_to(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    embedded = address.version == 6 and (address.ipv4_mapped or address in ipaddress.ip_network("64:ff9b::/96"))
    if not address.is_global and not embedded:
        assert forbidden(str(address)) is not None


@given(st.text(max_size=50))
def test_whatever_is_no_address_is_refused_without_an_error(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        assert forbidden(text) == "no address"


class Table(AbstractResolver):
    """Knows hosts by heart."""

    def __init__(self, **hosts: Sequence[str]) -> None:
        self.hosts = hosts

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=each, port=port, family=family, proto=0, flags=0)
            for each in self.hosts[host]
        ]

    async def close(self) -> None:
        pass


async def test_a_name_of_public_addresses_is_resolved() -> None:
    resolver = PublicResolver(Table(good=["8.8.8.8", "2606:4700::1"]))
    assert [each["host"] for each in await resolver.resolve("good", 443)] == ["8.8.8.8", "2606:4700::1"]
    await resolver.check("good")


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["8.8.8.8", "::1"], ["64:ff9b::7f00:1", "8.8.8.8"]])
async def test_one_address_that_is_not_spoils_the_name(addresses: list[str]) -> None:
    resolver = PublicResolver(Table(bad=addresses))
    for refused in (resolver.resolve("bad", 443), resolver.check("bad")):
        with pytest.raises(ForbiddenAddressError, match=r"^bad has the address \S+, which may not be sent to: "):
            await refused


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "169.254.169.254", "::ffff:10.0.0.1", "fe80::1%lo"])
async def test_an_address_as_a_host_is_looked_at_too(host: str) -> None:
    with pytest.raises(ForbiddenAddressError):
        await PublicResolver(Table()).check(host)


@pytest.mark.parametrize("host", ["localhost", "127.1", "0x7f000001", "2130706433", "017700000001"])
async def test_the_systems_own_ways_to_write_loopback_are_known(host: str) -> None:
    """These resolve without a network: the last look is at the address that comes of them."""
    with pytest.raises(OSError, match=r"has the address|not known|No address"):
        await PublicResolver().check(host)


def test_no_socket_is_made_for_other_addresses() -> None:
    with pytest.raises(ForbiddenAddressError):
        public_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 443)))
    public_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("8.8.8.8", 443))).close()
