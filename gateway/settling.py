"""Which settings apply to a stream, of all who have something to say about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from gateway.joining import facts
from gateway.wishes import read_wishes

if TYPE_CHECKING:
    from adapters.stream import StreamOffer
    from config.settings import Models
    from gateway.registrations import Registration
    from gateway.routes import CallSettings, Routes

log = structlog.get_logger()


def settings_for(offer: StreamOffer, registration: Registration | None, routes: Routes, models: Models) -> CallSettings:
    """Lay over one another what its route says of a stream, what it asks for, and what was announced of it."""
    settings = routes.choose(facts(offer.listener, offer.started.parameters))
    if offer.started.wishes:
        settings = _wished(settings, offer, models)
    if registration is None:
        return settings
    return settings.refined(
        language=registration.language,
        languages=registration.languages,
        options=registration.options,
        endpoints=registration.endpoints,
        labelled=registration.label is not None,
    )


def _wished(settings: CallSettings, offer: StreamOffer, models: Models) -> CallSettings:
    wishes, problems = read_wishes(offer.started.wishes, models)
    if problems:
        log.warning(
            "what a stream asks for cannot be had, and is left aside",
            listener=offer.listener.name,
            stream_id=offer.started.stream_id,
            peer=offer.address,
            errors=problems,
        )
    return settings.refined(
        language=wishes.language,
        languages=wishes.allowed_languages,
        options=wishes.options,
        endpoints=None,
        labelled=wishes.label is not None,
    )
