"""What Telnyx tells of a call and its streams by webhook. Pure.

The Voice API posts JSON (Telnyx, Callbacks: `streaming.stopped`, `streaming.failed`, `call.hangup`); TeXML's `<Stream>`
posts a form to its statusCallback (Telnyx, Callbacks: TeXML stream). `streaming.stopped` is documented without the
name of a stream, though a call may have several, to others too; and webhooks come late, in any order, and twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from adapters.twilio.reports import without_urls
from adapters.twilio.signature import read_form
from adapters.wire.parameters import named, part, read_object

if TYPE_CHECKING:
    from collections.abc import Mapping

STOPPED = "streaming.stopped"
FAILED = "streaming.failed"
HANGUP = "call.hangup"

OF_TEXML = {"stream-stopped": STOPPED, "stream-error": FAILED}


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What one webhook tells; None where it does not say it."""

    event: str | None
    stream_id: str | None = None
    call_id: str | None = None
    reason: str = ""
    """Why a stream could not be, in Telnyx's words, and without the URLs in it: a secret may stand there."""

    @property
    def tells_of_an_end(self) -> bool:
        """Whether something is over."""
        return self.event in {STOPPED, FAILED, HANGUP}

    @property
    def is_sure(self) -> bool:
        """Whether all that it can mean is over, rather than one of several."""
        return self.event == HANGUP or self.stream_id is not None

    def means(self, stream_id: str | None, call_id: str | None) -> bool:
        """Tell whether a stream may be what it tells of."""
        if self.stream_id is not None and self.event != HANGUP:
            return stream_id == self.stream_id
        return self.call_id is not None and call_id == self.call_id


def read_notice(body: bytes) -> Notice:
    """Read a webhook. One that nobody knows tells of no event; never raises."""
    content = read_object(body.decode(errors="replace"))
    return _of_texml(dict(read_form(body) or ())) if content is None else _of_voice_api(content)


def _of_voice_api(content: Mapping[str, Any]) -> Notice:
    data = part(content, "data")
    payload = part(data, "payload")
    return Notice(
        event=named(data.get("event_type")),
        stream_id=named(payload.get("stream_id")),
        call_id=named(payload.get("call_control_id")),
        reason=_reason(payload.get("failure_reason")),
    )


def _of_texml(form: Mapping[str, str]) -> Notice:
    return Notice(
        event=OF_TEXML.get(form.get("StreamEvent", "")),
        stream_id=named(form.get("StreamSid")),
        call_id=named(form.get("CallSid")),
        reason=_reason(form.get("StreamError")),
    )


def _reason(given: object) -> str:
    return without_urls(given) if isinstance(given, str) else ""
