"""By what a stream joins a call, and what is known of it once it was announced. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.events import Source
from gateway.routes import Facts

if TYPE_CHECKING:
    from adapters.stream import Listener, StreamOffer
    from gateway.registrations import Registration

JoinKey = tuple[str, str]
"""Who vouches for a stream, its account or its listener, and the external call id."""


def join_key(offer: StreamOffer) -> JoinKey | None:
    """Tell by what a stream joins others. Where nobody vouches for the name of its call, by nothing.

    A UUID alone would not do: in many a dialplan it is written down once, and the same for every caller.
    """
    voucher = voucher_of(offer.listener, offer.started.vouched_by)
    name = offer.started.external_call_id
    return None if voucher is None or name is None else (voucher, name)


def voucher_of(listener: Listener, vouched_by: str | None) -> str | None:
    """Tell who vouches for the name of a call: an account; or the listener, and whom it knows; or nobody."""
    # No account has a slash in its name.
    return listener.account or (f"{listener.kind}/{listener.name}/{vouched_by or ''}" if listener.vouched else None)


def announced(offer: StreamOffer, registration: Registration) -> StreamOffer:
    """Tell of a stream what was announced, too."""
    return msgspec.structs.replace(
        offer,
        listener=msgspec.structs.replace(offer.listener, account=registration.account),
        started=registration.applied(offer.started),
    )


def facts(listener: Listener, parameters: dict[str, str]) -> Facts:
    """Tell what a route can go by."""
    return Facts(adapter=listener.kind, listener=listener.name, account=listener.account, parameters=parameters)


def source_of(offer: StreamOffer) -> Source:
    """Give the names by which a peer knows its stream and its call."""
    return Source(
        kind=offer.listener.kind,
        listener=offer.listener.name,
        call_id=offer.started.external_call_id,
        stream_id=offer.started.stream_id,
        account_id=offer.listener.account,
    )
