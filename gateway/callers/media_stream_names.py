"""What the carriers of media streams call their streams. Pure."""

from __future__ import annotations

import base64
import uuid
from typing import TYPE_CHECKING

import msgspec

from gateway.callers.media_stream_plan import Dialect

if TYPE_CHECKING:
    from collections.abc import Callable


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """One stream, as its carrier names it."""

    account_id: str
    call_id: str
    stream_id: str
    session_id: str = ""
    """Telnyx's call_session_id: the legs of a call have one in common."""
    calling: str = "+15550100"
    """Telnyx and Exotel tell it, and the next."""
    called: str = "+15550101"
    parameters: tuple[tuple[str, str], ...] = ()
    """`<Parameter>` of Twilio, SignalWire and Exotel; Plivo's extraHeaders."""
    client_state: str = ""
    """What Telnyx was told to say of a call, in place of parameters."""


def new_stream(dialect: Dialect, randbytes: Callable[[int], bytes]) -> Stream:
    """Make names that look like a carrier's."""

    def hexadecimal() -> str:
        return randbytes(16).hex()

    def unique() -> str:
        return str(uuid.UUID(bytes=randbytes(16), version=4))

    match dialect:
        case Dialect.TWILIO:
            account, call, stream = (f"{kind}{hexadecimal()}" for kind in ("AC", "CA", "MZ"))
        case Dialect.TELNYX:
            account, stream = unique(), unique()
            call = "v3:" + base64.urlsafe_b64encode(randbytes(39)).decode()
        case Dialect.SIGNALWIRE:
            account, call, stream = unique(), unique(), unique()
        case Dialect.PLIVO:
            account, call, stream = f"MA{hexadecimal()[:18].upper()}", unique(), unique()
        case Dialect.EXOTEL:
            account, call, stream = "linescribe1", hexadecimal(), hexadecimal()
    return Stream(account_id=account, call_id=call, stream_id=stream, session_id=unique())
