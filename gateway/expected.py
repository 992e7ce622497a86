"""Streams that were announced: those that are to come, and those of calls in progress that have come already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from gateway.registrations import RegistrationConflictError, Registrations

if TYPE_CHECKING:
    from adapters.stream import Listener
    from gateway.registrations import Registration
    from gateway.session import CallSession

log = structlog.get_logger()


class Expected:
    """Remembers both."""

    def __init__(self, limit: int) -> None:
        self.coming = Registrations(limit)
        self._came: dict[str, tuple[CallSession, Registration]] = {}
        """By stream id."""

    def call_of(self, registration: Registration) -> CallSession | None:
        """Give the call of a stream that has come, while it is open.

        Raises RegistrationConflictError where it was announced in other words.
        """
        came = self._came.get(registration.stream_id)
        if came is None or not came[0].open:
            return None
        if came[1] != registration:
            raise RegistrationConflictError(registration.stream_id)
        return came[0]

    def find(self, stream_id: str | None, listener: Listener, now: float) -> Registration | None:
        """Find what was announced of a stream, also when it breaks off and comes again while its call is open."""
        if stream_id is None or not listener.takes_announced:
            return None
        found = self.coming.find(stream_id, now)
        came = self._came.get(stream_id)
        if found is None and came is not None and came[0].open:
            found = came[1]
        if found is not None and listener.account not in {None, found.account}:
            log.warning(
                "stream registered for another account than its listener's",
                listener=listener.name,
                account=found.account,
                wanted=listener.account,
            )
            return None
        return found

    def has_come(self, registration: Registration, session: CallSession) -> None:
        """Note that a stream has come, and into which call."""
        self.coming.forget(registration.stream_id)
        self._came[registration.stream_id] = (session, registration)

    def forget_call(self, session: CallSession) -> None:
        """Forget the streams of a call that is over."""
        for stream_id in [name for name, (other, _) in self._came.items() if other is session]:
            del self._came[stream_id]
