"""What all connections share below their protocols: sockets that notice who is gone, and addresses."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

VANISHED_SECONDS = 60
"""A peer whose machine is gone is noticed after about so long."""


def harden(transport: asyncio.BaseTransport) -> None:
    """Let a connection be quick, and notice when its peer has vanished."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: tcp(7)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, VANISHED_SECONDS // 2)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, VANISHED_SECONDS // 6)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, VANISHED_SECONDS * 1000)


def peer_name(transport: asyncio.BaseTransport) -> str:
    """Name a connection's far end for the log."""
    name = transport.get_extra_info("peername")
    return f"{name[0]}:{name[1]}" if name else "unknown"


def networks(cidrs: Sequence[str]) -> tuple[Network, ...]:
    """Read addresses and networks of the settings, which has checked them."""
    return tuple(ipaddress.ip_network(each) for each in cidrs)


def plain_address(host: str) -> Address:
    """Read a peer's address; one of IPv4 that came in on an IPv6 socket is one of IPv4. Raises ValueError."""
    address = ipaddress.ip_address(host.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def is_within(address: Address, among: Sequence[Network]) -> bool:
    """Tell whether one of these networks holds an address."""
    return any(address in network for network in among)
