"""Who a client is, and how it reached us, when proxies may stand between.

What a header says of that is believed from a trusted proxy alone: anybody can send one.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

import msgspec
from aiohttp import hdrs, web

from adapters.sockets import Address, Network, is_within
from config.checks import http_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multidict import MultiMapping

FORWARDED_FOR = hdrs.X_FORWARDED_FOR
FORWARDED_HOST = hdrs.X_FORWARDED_HOST
FORWARDED_PROTO = hdrs.X_FORWARDED_PROTO

NOBODY = "0.0.0.0"  # noqa: S104  nothing is bound to it: a peer that is already gone has no address
NO_HOST = "localhost"
"""HTTP/1.0 may come without a Host."""
MOST_HOPS = 32
LONGEST_HOST = 261
"""A name of 253, and a port."""

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?\.?)(?::([0-9]{1,5}))?")
_WITH_PORT = re.compile(r"(?:\[([^\[\]]*)\]|([0-9.]+))(?::[0-9]{1,5})?")
_HIGHEST_PORT = 65535


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """How the gateway looked to whoever sent a request."""

    client: str
    """An address, without port and zone."""
    scheme: str
    host: str
    """With its port, where it was named."""
    base_url: str
    """Scheme, host and any path before the gateway's own; no slash at its end."""


SEEN = web.RequestKey("seen", Seen)


def seen_of(request: web.BaseRequest) -> Seen:
    """Tell who sent a request, and which address it was sent to."""
    return request[SEEN]


def seen(
    headers: MultiMapping[str],
    peer_address: str | None,
    *,
    secure: bool,
    trusted: Sequence[Network],
    public_url: str | None,
) -> Seen:
    """Judge a request by its peer and its headers. Never raises.

    `secure` says that the peer itself spoke TLS. `public_url`, where it is set, decides scheme, host and base.
    """
    peer = _address((peer_address or "").partition("%")[0])
    believed = peer is not None and is_within(peer, trusted)
    client = _walk(peer, headers.getall(FORWARDED_FOR, ()), trusted) if peer is not None and believed else peer
    scheme, host, base_url = _reached(headers, secure=secure, believed=believed, public_url=public_url)
    return Seen(client=str(client or NOBODY), scheme=scheme, host=host, base_url=base_url)


def _walk(peer: Address, lines: Sequence[str], trusted: Sequence[Network]) -> Address:
    """Go from hop to hop as long as the one that names the next is trusted, and names one.

    Several lines are one list (RFC 9110 5.3); each proxy adds at its end.
    """
    client = peer
    hops = ",".join(lines).rsplit(",", MOST_HOPS)[-MOST_HOPS:]
    for hop in reversed(hops):
        named = _address(_without_port(hop.strip(' \t"')))
        if named is None or not is_within(client, trusted):
            break
        client = named
    return client


def _reached(
    headers: MultiMapping[str], *, secure: bool, believed: bool, public_url: str | None
) -> tuple[str, str, str]:
    if public_url is not None:
        parts = http_url(public_url)
        return parts.scheme, parts.netloc, f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    scheme = "https" if secure else "http"
    host = _host(headers.get(hdrs.HOST, "")) or NO_HOST
    if believed:
        proto = _first(headers, FORWARDED_PROTO).lower()
        scheme = proto if proto in {"http", "https"} else scheme
        host = _host(_first(headers, FORWARDED_HOST)) or host
    return scheme, host, f"{scheme}://{host}"


def _first(headers: MultiMapping[str], name: str) -> str:
    return headers.get(name, "").partition(",")[0].strip(" \t")


def _host(text: str) -> str | None:
    """Let through a host that can stand in a URL: nothing else may end up in what we send out."""
    found = _HOST.fullmatch(text) if len(text) <= LONGEST_HOST else None
    if found is None or int(found[2] or 0) > _HIGHEST_PORT:
        return None
    return text if found[1] is None or (":" in found[1] and _address(found[1]) is not None) else None


def _without_port(hop: str) -> str:
    """Take the port from an address, and the brackets; IPv6 without brackets has no port."""
    found = _WITH_PORT.fullmatch(hop) if len(hop) <= LONGEST_HOST else None
    return (found[1] or found[2] or "") if found else hop


def _address(text: str) -> Address | None:
    """Read an address; IPv4 within IPv6 is IPv4. A zone means nothing to us, and could hold anything."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if "%" in text:
        return None
    return getattr(address, "ipv4_mapped", None) or address
