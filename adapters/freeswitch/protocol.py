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
ODD_RATE = (
    "the metadata names a rate that cannot be taken, and it is left aside: fork with 8k or 16k, and say the same"
    " (docs/freeswitch.md)"
)
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
        self._url = read({access.masked(name): access.masked(value) for name, value in query.items()}, strict=True)
        self._access = access
        self._shown = shown

    @property
    def call(self) -> str | None:
        """What the URL calls the call."""
        return self._url.call

    def open(self, metadata: str | None) -> Opening:
        """Make of everything what the stream is. Raises WireError where a token is owed."""
        if not self._shown and not self._access.knows(_token(metadata) or ""):
            raise WireError(NO_TOKEN)
        text = self._access.masked(metadata or "")
        content = read_object(text) if text else {}
        said = read(content or {})
        opaque = [("metadata", text[:LONGEST_VALUE])] if content is None else []
        parameters, all_kept = bounded((*self._url.parameters, *said.parameters, *opaque))
        crossed = None not in (said.call, self._url.call) and said.call != self._url.call
        remarks = {
            NO_JSON: content is None,
            ODD_RATE: said.odd_rate,
            TOO_MUCH: not all_kept,
            CROSSED: crossed,
        }
        call = said.call or self._url.call
        tracks = self._tracks(said)
        started = StreamStarted(
            stream_id=call,
            external_call_id=call,
            tracks=tracks,
            parameters=parameters,
            wishes=self._url.wishes | said.wishes | self._label(said, tracks),
            remarks=tuple(remark for remark, holds in remarks.items() if holds),
        )
        rate_hz = said.rate_hz or self._url.rate_hz or self._settings.rate_hz
        return Opening(started=started, format=AudioFormat(Encoding.L16, rate_hz))

    def _label(self, said: Said, tracks: tuple[Track, ...]) -> dict[str, str]:
        """Give the word that a fork has for its one speaker: it goes before a route's."""
        label = said.label or self._url.label
        return {"label": label} if label is not None and len(tracks) == 1 else {}

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


def _token(metadata: str | None) -> str | None:
    return read(read_object(metadata or "") or {}).token
