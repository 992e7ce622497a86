"""Streams that were announced before they come: what is known of each, for a while, and once. Time is an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from adapters.stream import TrackRole
from gateway.routes import CallOptions

if TYPE_CHECKING:
    from adapters.stream import StreamStarted, Track


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """What whoever announces a stream says of it; None leaves it to the listener and the route."""

    stream_id: str
    """The name that the stream will bring; for AudioSocket its UUID, in lower case."""
    account: str
    """The name of the token that it was announced with."""
    external_call_id: str
    """Streams of one account that are announced under the same are of one call."""
    role: str | None = None
    label: str | None = None
    language: str | None = None
    languages: tuple[str, ...] | None = None
    options: CallOptions = CallOptions()
    endpoints: tuple[str, ...] | None = None
    parameters: dict[str, str] = {}

    def applied(self, started: StreamStarted) -> StreamStarted:
        """Add to what a stream tells of itself what was announced; role and label are for a stream of one track."""
        tracks = started.tracks
        if len(tracks) == 1:
            tracks = (self._track(tracks[0]),)
        return msgspec.structs.replace(
            started,
            external_call_id=self.external_call_id,
            tracks=tracks,
            parameters=started.parameters | self.parameters,
        )

    def _track(self, track: Track) -> Track:
        role = TrackRole(self.role) if self.role else track.role
        theirs = track.label if role == track.role else None  # the listener's word is for the listener's role
        return msgspec.structs.replace(track, role=role, label=self.label or theirs)


class RegistrationConflictError(Exception):
    """The stream was announced before, and otherwise."""


class RegistrationsFullError(Exception):
    """As many streams are announced and not there as the setting allows."""


class _Waiting(msgspec.Struct, frozen=True):
    registration: Registration
    expires_at: float


class Registrations:
    """The streams that are announced and have not come yet."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._waiting: dict[str, _Waiting] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, registration: Registration, now: float, expires_at: float) -> bool:
        """Remember a stream until it expires; announced again in the same words, it only lives longer.

        False when it was known. Raises RegistrationConflictError and RegistrationsFullError.
        """
        self.expire(now)
        known = self._waiting.get(registration.stream_id)
        if known is not None and known.registration != registration:
            raise RegistrationConflictError(registration.stream_id)
        if known is None and len(self._waiting) >= self.limit:
            raise RegistrationsFullError
        self._waiting[registration.stream_id] = _Waiting(registration, expires_at)
        return known is None

    def find(self, stream_id: str, now: float) -> Registration | None:
        """Tell what is known of a stream, unless it has expired."""
        known = self._waiting.get(stream_id)
        return known.registration if known is not None and now < known.expires_at else None

    def named(self, name: str, account: str, now: float) -> list[Registration]:
        """Give those of an account that go by a name: a stream's or a call's."""
        known = [each.registration for each in self._waiting.values() if now < each.expires_at]
        return [each for each in known if each.account == account and name in {each.stream_id, each.external_call_id}]

    def forget(self, stream_id: str) -> None:
        """Forget a stream that has come."""
        self._waiting.pop(stream_id, None)

    def expire(self, now: float) -> list[Registration]:
        """Forget the streams that have not come in time, and tell which."""
        late = [each.registration for each in self._waiting.values() if now >= each.expires_at]
        for registration in late:
            self.forget(registration.stream_id)
        return late
