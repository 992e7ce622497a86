"""What a call may expect that Twilio asks about, and whom to ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from adapters.stream import ForeseeingHost

if TYPE_CHECKING:
    from adapters.stream import Listener, RefusalReason
    from config.voice import TwilioVoice


class Inquiry(msgspec.Struct, frozen=True, kw_only=True):
    """A call whose stream is yet to come."""

    listener: Listener
    external_call_id: str
    parameters: dict[str, str]
    """What is known of it: routes go by that."""
    vouched_by: str | None
    """Who vouches for its name beside the listener."""


class Prospect(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a call."""

    voice: TwilioVoice | None
    """What it goes on with; None where nothing says it."""
    refused: RefusalReason | None
    """Why its stream would not be admitted."""


class VoiceHost(ForeseeingHost, Protocol):
    """A host that knows what becomes of calls."""

    def prospect(self, inquiry: Inquiry, now: float) -> Prospect:
        """Tell what becomes of a call."""
        ...
