"""By what a stream joins a call, and what is known of it once it was announced. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.routes import Facts

if TYPE_CHECKING:
    from adapters.stream import StreamOffer
    from gateway.registrations import Registration

JoinKey = tuple[str, str]
"""The account that vouches for a stream, and the external call id."""


def join_key(offer: StreamOffer) -> JoinKey | None:
    """Tell by what a stream joins others. Where nobody vouches for the name of its call, by nothing.

    A UUID alone would not do: in many a dialplan it is written down once, and the same for every caller.
    """
    if offer.listener.account is None or offer.started.external_call_id is None:
        return None
    return offer.listener.account, offer.started.external_call_id


def announced(offer: StreamOffer, registration: Registration) -> StreamOffer:
    """Tell of a stream what was announced, too."""
    return msgspec.structs.replace(
        offer,
        listener=msgspec.structs.replace(offer.listener, account=registration.account),
        started=registration.applied(offer.started),
    )


def facts(offer: StreamOffer) -> Facts:
    """Tell what a route can go by."""
    return Facts(
        adapter=offer.listener.kind,
        listener=offer.listener.name,
        account=offer.listener.account,
        parameters=offer.started.parameters,
    )
