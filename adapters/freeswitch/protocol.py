"""What FreeSWITCH says of a call whose audio it forks: in the URL, in the metadata, or not at all (mod_audio_fork).

Neither module tells rate and channels by itself. The dialplan writes them into the URL or the metadata, which travel
with the audio and come first; else they are the listener's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.stream import AudioFormat, Encoding, StreamStarted, Track, TrackRole, WireError
from adapters.wire.parameters import LONGEST_VALUE, bounded, read_object
from adapters.wire.preamble_pcm import Opening
from adapters.wire.said import read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adapters.wire.access import Access
    from adapters.wire.said import Said
    from config.listeners import FreeSwitchListener

KIND = "freeswitch"

NO_JSON = "metadata that is no JSON object is kept as the parameter metadata: look at its quotes (docs/freeswitch.md)"
TOO_MUCH = "more metadata came than is kept: 64 parameters, of 8,192 characters each, 16,000 in all"
CROSSED = (
    "the URL names another call than the metadata, which is believed: FreeSWITCH mixes calls up once a handshake of its"
    " was never answered, until it is restarted (docs/freeswitch.md)"
)
NO_TOKEN = "expected a token of the listener's credentials in the metadata, which comes first"  # noqa: S105  no secret


class Introduction:
    """Puts together what is said of one stream. Raises ValueError where its URL cannot be used.

    Where a client has not `shown` a credential, its metadata must hold a token.
    """

    def __init__(self, settings: FreeSwitchListener, query: Mapping[str, str], access: Access, *, shown: bool) -> None:
        self._settings = settings
        self._url = read(query, strict=True)
        self._access = access
        self._shown = shown

    @property
    def call(self) -> str | None:
        """What the URL calls the call."""
        return self._url.call

    def open(self, metadata: str | None) -> Opening:
        """Make of everything what the stream is. Raises WireError."""
        content = read_object(metadata) if metadata else {}
        try:
            said = read(content or {})
        except ValueError as error:
            raise WireError(str(error)) from error
        if not self._shown and not self._access.knows(said.token or ""):
            raise WireError(NO_TOKEN)
        opaque = [("metadata", self._access.masked(metadata)[:LONGEST_VALUE])] if metadata and content is None else []
        parameters, all_kept = bounded((*self._url.parameters, *said.parameters, *opaque))
        crossed = None not in (said.call, self._url.call) and said.call != self._url.call
        remarks = {NO_JSON: content is None, TOO_MUCH: not all_kept, CROSSED: crossed}
        call = said.call or self._url.call
        started = StreamStarted(
            stream_id=call,
            external_call_id=call,
            tracks=self._tracks(said),
            parameters=parameters,
            wishes=self._url.wishes | said.wishes,
            remarks=tuple(remark for remark, holds in remarks.items() if holds),
        )
        rate_hz = said.rate_hz or self._url.rate_hz or self._settings.rate_hz
        return Opening(started=started, format=AudioFormat(Encoding.L16, rate_hz))

    def _tracks(self, said: Said) -> tuple[Track, ...]:
        """Name the speakers: the party on the channel that is forked, and beside it the other one."""
        settings, url = self._settings, self._url
        role = TrackRole(said.role or url.role or settings.role)
        if (said.channels or url.channels or settings.channels) == 1:
            label = said.label or url.label or settings.labels.get(role.value)
            return (Track(id=role, role=role, label=label),)
        left, right = TrackRole.INBOUND, TrackRole.OUTBOUND
        roles = (right, left) if role is TrackRole.OUTBOUND else (left, right)
        return tuple(Track(id=each, role=each, label=settings.labels.get(each.value)) for each in roles)
