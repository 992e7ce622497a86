"""Which calls are live: who is admitted and to which, who owns their tasks, and how they are drained."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import structlog

from adapters.stream import RefusalReason, StreamEnd
from adapters.twilio.prospect import Prospect
from gateway.door import Door
from gateway.expected import Expected
from gateway.finding import find_call
from gateway.ids import uuid7
from gateway.joining import announced, facts, join_key, voucher_of
from gateway.registrations import RegistrationsFullError
from gateway.session import CallSession
from gateway.settling import settings_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.stream import Listener, Peer, StreamOffer
    from adapters.twilio.prospect import Inquiry
    from config.settings import Settings
    from gateway.joining import JoinKey
    from gateway.means import Means
    from gateway.registrations import Registration
    from gateway.routes import CallSettings, Routes
    from gateway.streams import CallStream
    from gateway.tallies import Heard, Tallies

log = structlog.get_logger()

MOST_TRACKS = 200
"""So many tracks a call may have in its life; streams that end and come again are in trouble, or mean it."""

EXPIRE_SECONDS = 1.0


class Registry:
    """The host of every stream. `run` must be running before the first one is offered."""

    def __init__(self, means: Means, routes: Routes, random_bytes: Callable[[int], bytes]) -> None:
        self.door = Door(means.settings.calls, means.decoder)
        self._expected = Expected(means.settings.calls.max_registrations)
        self.adopt(means, routes)
        self._random_bytes = random_bytes
        self._calls: dict[str, CallSession] = {}
        self._joinable: dict[JoinKey, CallSession] = {}
        self._group: asyncio.TaskGroup | None = None
        self._draining = False
        self._changed = asyncio.Event()
        self._expire_at = 0.0

    def adopt(self, means: Means, routes: Routes) -> None:
        """Take calls by other settings from here on; those in progress keep theirs."""
        self.means = means
        self._routes = routes
        self._limits = means.settings.calls
        self._expected.coming.limit = self._limits.max_registrations
        self.door.adopt(self._limits)

    @property
    def settings(self) -> Settings:
        """What applies to calls to come."""
        return self.means.settings

    @property
    def calls(self) -> int:
        """Calls that have not been published to their end."""
        return len(self._calls)

    @property
    def streams(self) -> int:
        """Streams that have not ended."""
        return sum(len(session.streams) for session in self._calls.values())

    @property
    def tallies(self) -> Tallies:
        """What all calls came to."""
        return self.means.tallies

    @property
    def heard(self) -> Heard:
        """What came in on all tracks there were."""
        heard = msgspec.structs.replace(self.means.tallies.heard)
        for session in self._calls.values():
            heard.add(track.media for track in session.tracks.values())
        return heard

    @property
    def most(self) -> int:
        """So many calls are let in at a time, by the settings."""
        return self._limits.max_calls

    @property
    def admitting(self) -> bool:
        """Whether a new call would be let in, as far as its route allows it."""
        return self._why_no_more() is None and len(self._calls) < self._limits.max_calls

    def sessions(self, account: str | None) -> list[CallSession]:
        """Give the same calls, in the order in which they began, as far as an account may see them.

        Those are its own, and those that are nobody's; the operator, None, sees all.
        """
        return [session for session in self._calls.values() if account is None or session.account in {None, account}]

    def find(self, name: str, account: str | None) -> CallSession:
        """Give the call that goes by a name: its id, or else the peer's name for it or for one of its streams.

        Raises UnknownCallError and AmbiguousCallError.
        """
        return find_call(self.sessions(account), name, account)

    # Registrations.

    def register(self, registration: Registration, expires_in_seconds: float) -> CallSession | bool:
        """Announce a stream; False when it was announced in these words before, its call when it has come already.

        Raises RegistrationConflictError, RegistrationsFullError, and Refusal when no new calls are taken.
        """
        if session := self._expected.call_of(registration):
            return session
        now = self.means.clock()
        known = self._expected.coming.find(registration.stream_id, now) is not None
        reason = None if known else self._why_no_more()
        if reason and not self._is_open((registration.account, registration.external_call_id)):
            raise self.door.refusal(reason)
        try:
            return self._expected.coming.add(registration, now, now + expires_in_seconds)
        except RegistrationsFullError:
            self.door.refusal(RefusalReason.FULL)
            raise

    def registered(self, name: str, account: str) -> list[Registration]:
        """Give what an account has announced and has not come yet, by a stream's name or its call's."""
        return self._expected.coming.named(name, account, self.means.clock())

    def forget(self, registration: Registration) -> None:
        """Take an announcement back."""
        self._expected.coming.forget(registration.stream_id)

    def _is_open(self, key: JoinKey) -> bool:
        session = self._joinable.get(key)
        return session is not None and session.open

    # Streams.

    def prospect(self, inquiry: Inquiry, now: float) -> Prospect:
        """Tell what a call goes on with by its route, and why its stream would be refused."""
        settings = self._routes.choose(facts(inquiry.listener, inquiry.parameters))
        reason = self._why_no_more() or (RefusalReason.FULL if self._full(settings) else None)
        if reason and self._may_join(inquiry.listener, inquiry.external_call_id, now, inquiry.vouched_by):
            reason = None
        return Prospect(voice=settings.voice, refused=self.door.refusal(reason).reason if reason else None)

    def foresee(
        self, listener: Listener, external_call_id: str | None, now: float, vouched_by: str | None = None
    ) -> None:
        """Look at a stream of which no more is known. Raises Refusal where it could not be admitted."""
        full = RefusalReason.FULL if len(self._calls) >= self._limits.max_calls else None
        reason = self._why_no_more() or full
        if reason and not self._may_join(listener, external_call_id, now, vouched_by):
            raise self.door.refusal(reason)

    def _may_join(self, listener: Listener, external_call_id: str | None, now: float, vouched_by: str | None) -> bool:
        """Tell whether a stream may turn out to be of a call in progress."""
        announced = self._expected.find(external_call_id, listener, now)
        if announced is not None:
            return self._is_open((announced.account, announced.external_call_id))
        voucher = voucher_of(listener, vouched_by)
        if voucher is None:
            return False
        if external_call_id is not None:
            return self._is_open((voucher, external_call_id))
        return any(f"{key[0]}/".startswith(f"{voucher.rstrip('/')}/") and self._is_open(key) for key in self._joinable)

    def admit(self, offer: StreamOffer, peer: Peer, arrived_at: float) -> CallStream:
        """Take a stream into its call, or open one for it. Raises Refusal."""
        registration = self._expected.find(offer.started.stream_id, offer.listener, arrived_at)
        if registration is None and offer.listener.registered_only:
            raise self.door.refusal(RefusalReason.UNREGISTERED)
        if registration is not None:
            offer = announced(offer, registration)
        settings = settings_for(offer, registration, self._routes, self.means.settings.models)
        key = join_key(offer)
        session = self._joinable[key] if key and self._is_open(key) else None
        if session is None:
            session = self._begin(offer, settings, key, arrived_at)
        elif len(session.streams) >= self._limits.max_streams or len(session.tracks) >= MOST_TRACKS:
            raise self.door.refusal(RefusalReason.FULL)
        if registration is not None:
            self._expected.has_come(registration, session)
        return session.join(offer, peer, settings, arrived_at)

    def _begin(self, offer: StreamOffer, settings: CallSettings, key: JoinKey | None, arrived_at: float) -> CallSession:
        reason = self._why_no_more() or (RefusalReason.FULL if self._full(settings) else None)
        if reason or self._group is None:
            raise self.door.refusal(reason or RefusalReason.DRAINING)
        call_id = uuid7(self.means.wall(), self._random_bytes(10))
        session = CallSession(call_id, offer, settings, self.means, arrived_at)
        self._calls[call_id] = session
        if key:
            self._joinable[key] = session
        self._group.create_task(self._run(session, key))
        return session

    def _why_no_more(self) -> RefusalReason | None:
        """Tell why no new call is let in, be there room or not; None when there is no such reason."""
        if self._draining:
            return RefusalReason.DRAINING
        if not self.means.storable():
            return RefusalReason.UNSTORABLE
        return None if self.door.open else RefusalReason.OVERLOADED

    def _full(self, settings: CallSettings) -> bool:
        """Tell whether there is no room for another call, of all or by its route."""
        by_route = sum(session.settings.route == settings.route for session in self._calls.values())
        if settings.max_calls is not None and by_route >= settings.max_calls:
            log.warning("route takes no more calls", route=settings.route, max_calls=settings.max_calls)
            return True
        return len(self._calls) >= self._limits.max_calls

    def tick(self, now: float) -> None:
        """Let time pass for every call, for those that are expected, and for those that may not come in."""
        self._tick_door(now)
        for session in tuple(self._calls.values()):
            try:
                session.tick(now)
            except Exception:  # one call's fault, ours, must not stop the others' clock
                log.exception("call failed", call_id=session.call_id)
                session.end(StreamEnd.ERROR)
        if now >= self._expire_at:
            self._expire_at = now + EXPIRE_SECONDS
            for late in self._expected.coming.expire(now):
                log.warning("registered stream never came", stream_id=late.stream_id, account=late.account)

    def _tick_door(self, now: float) -> None:
        try:
            self.door.tick(now, sum(bool(session.streams) for session in self._calls.values()))
        except Exception:  # ours; it must not stop the calls' clock
            log.exception("it cannot be told whether finals are in time")

    async def run(self) -> None:
        """Own the calls' tasks until drained and empty."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            while not (self._draining and not self._calls):
                self._changed.clear()
                await self._changed.wait()

    def drain(self) -> None:
        """Open no new calls from now on; `run` returns when the last one has ended."""
        self._draining = True
        self._changed.set()

    def end_all(self, reason: StreamEnd, finish_seconds: float) -> None:
        """End every call; what was heard is decoded within `finish_seconds` or reported as failed."""
        for session in tuple(self._calls.values()):
            session.end(reason, finish_seconds)

    async def _run(self, session: CallSession, key: JoinKey | None) -> None:
        try:
            await session.run()
        except Exception:  # the store is closed or broken; the next start gives this call its end
            log.exception("call without an end", call_id=session.call_id)
        finally:
            self._forget(session, key)
            self._changed.set()

    def _forget(self, session: CallSession, key: JoinKey | None) -> None:
        del self._calls[session.call_id]
        self.means.tallies.heard.add(track.media for track in session.tracks.values())
        if key and self._joinable.get(key) is session:
            del self._joinable[key]
        self._expected.forget_call(session)
