"""What is said of a call whose audio comes as bare PCM: in the URL, in the JSON text that comes first, or not at all.

Neither rate nor channels stand on the wire. Who sends the audio writes them into the URL or into that text, the
metadata, which travel with the audio and come first; else they are the listener's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from adapters.stream import AudioFormat, Encoding, StreamStarted, Track, TrackRole, WireError
from adapters.wire.parameters import LONGEST_VALUE, bounded, read_object
from adapters.wire.preamble_pcm import Opening
from adapters.wire.said import read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from adapters.wire.access import Access
    from adapters.wire.said import Said
    from config.types import Role

NO_JSON = "metadata that is no JSON object is kept as the parameter metadata: look at its quotes"
ODD_RATE = "the metadata names a rate that cannot be taken, and it is left aside: send 8 or 16 kHz, and say the same"
TOO_MUCH = "more metadata came than is kept: 64 parameters, of 8,192 characters each, 16,000 in all"
CROSSED = "the URL names another call than the metadata, which is believed"
NO_TOKEN = "expected a token of the listener's credentials in the metadata, which comes first"  # noqa: S105  no secret


class Usual(Protocol):
    """What a stream is where nobody says it: a listener's settings."""

    @property
    def rate_hz(self) -> int:
        """Samples a second."""
        ...

    @property
    def channels(self) -> int:
        """1, or 2 that alternate."""
        ...

    @property
    def role(self) -> Role:
        """Who speaks on the only channel, or on the left one."""
        ...

    @property
    def labels(self) -> Mapping[Role, str]:
        """The operator's words for speakers."""
        ...


class Introduction:
    """Puts together what is said of one stream. Raises ValueError where its URL cannot be used.

    Where a client has not `shown` a credential, its metadata must hold a token. `translate` puts what it says into
    the words that are known here; `crossed` is what is said where URL and metadata name two calls.
    """

    def __init__(
        self,
        settings: Usual,
        query: Mapping[str, str],
        access: Access,
        *,
        shown: bool,
        translate: Callable[[dict[str, Any]], dict[str, Any]] = dict,
        crossed: str = CROSSED,
    ) -> None:
        self._settings = settings
        self._translate = translate
        self._crossed = crossed
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
        said = read(self._translate(content or {}))
        opaque = [("metadata", text[:LONGEST_VALUE])] if content is None else []
        parameters, all_kept = bounded((*self._url.parameters, *said.parameters, *opaque))
        crossed = None not in (said.call, self._url.call) and said.call != self._url.call
        remarks = {
            NO_JSON: content is None,
            ODD_RATE: said.odd_rate,
            TOO_MUCH: not all_kept,
            self._crossed: crossed,
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
