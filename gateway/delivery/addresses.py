"""Which addresses the gateway may connect to for others: those of the public internet, none of its own surroundings.

Whoever may name a URL could otherwise have the gateway speak to what only it can reach: its own machine, the network it
stands in, the metadata service of its cloud. Python's `is_global` is not enough, and differs by version; the ranges are
those of IANA's special-purpose registries (RFC 6890 and later), and addresses that hold another one are judged by it.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import AddrInfoType
    from aiohttp.abc import ResolveResult

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _ranges(named: Mapping[str, str]) -> list[tuple[Network, str]]:
    return [(ipaddress.ip_network(network), why) for why, networks in named.items() for network in networks.split()]


FORBIDDEN_4 = _ranges(
    {
        "this network": "0.0.0.0/8",
        "private": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16",
        "shared by a provider's customers": "100.64.0.0/10",
        "loopback": "127.0.0.0/8",
        "link-local": "169.254.0.0/16",
        "reserved for protocols": "192.0.0.0/24 192.88.99.0/24",
        "for documentation": "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24",
        "for benchmarks": "198.18.0.0/15",
        "multicast": "224.0.0.0/4",
        "reserved": "240.0.0.0/4",
    }
)

PUBLIC_6 = ipaddress.IPv6Network("2000::/3")
"""All that is given out of IPv6; what lies beyond is the exception that NAT64 makes."""

FORBIDDEN_6 = _ranges(
    {
        "unspecified": "::/128",
        "loopback": "::1/128",
        "IPv4 of old": "::/96",
        "local NAT64": "64:ff9b:1::/48",
        "discarded": "100::/64",
        "reserved for protocols": "2001::/23",  # Teredo, ORCHID and benchmarks among them
        "for documentation": "2001:db8::/32 3fff::/20",
        "6to4": "2002::/16",
        "private": "fc00::/7",
        "link-local": "fe80::/10",
        "site-local": "fec0::/10",
        "multicast": "ff00::/8",
    }
)

EMBEDDING = (ipaddress.IPv6Network("::ffff:0:0/96"), ipaddress.IPv6Network("64:ff9b::/96"))
"""IPv4 in its last 32 bits: mapped, and by NAT64, through which a network of IPv6 alone reaches IPv4 (RFC 6052)."""


class ForbiddenAddressError(OSError):
    """A host may not be connected to; the text says which address it has, and why not."""


def forbidden(address: str) -> str | None:
    """Tell why an address may not be connected to; None if it may be. What is no address is forbidden."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "no address"
    return _why(parsed)


def _why(address: Address) -> str | None:
    if isinstance(address, ipaddress.IPv4Address):
        return next((why for network, why in FORBIDDEN_4 if address in network), None)
    if address.scope_id is not None:
        return "local to an interface"
    if any(address in network for network in EMBEDDING):
        return _why(ipaddress.IPv4Address(address.packed[-4:]))
    found = next((why for network, why in FORBIDDEN_6 if address in network), None)
    return found or (None if address in PUBLIC_6 else "reserved")


def check_address(host: str, address: str) -> None:
    """Refuse an address of a host. Raises ForbiddenAddressError."""
    if why := forbidden(address):
        raise ForbiddenAddressError(f"{host} has the address {address}, which may not be sent to: {why}")


class PublicResolver(AbstractResolver):
    """Looks names up, and refuses those of which any address may not be connected to.

    The connection is made to what was checked here: nobody looks the name up again.
    """

    def __init__(self, inner: AbstractResolver | None = None) -> None:
        self._inner = inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Give all addresses of a host. Raises ForbiddenAddressError, and OSError when it has none."""
        found = await self._inner.resolve(host, port, family)
        for each in found:
            check_address(host, each["host"])
        return found

    async def check(self, host: str) -> None:
        """Look a host up, be it a name or an address, and refuse it just so."""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            await self.resolve(host)
        else:
            check_address(host, host)

    async def close(self) -> None:
        """Close what looks names up."""
        await self._inner.close()


def public_socket(info: AddrInfoType) -> socket.socket:
    """Make the socket of a connection; the last look at where it goes, whatever came before.

    Raises ForbiddenAddressError.
    """
    family, kind, protocol, _, address = info
    check_address(str(address[0]), str(address[0]))
    return socket.socket(family, kind, protocol)
