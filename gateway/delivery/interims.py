"""Interims on their way to those who want them: sent once, newest first, and shed rather than waited for."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import structlog

from gateway.delivery.newest import Newest
from gateway.delivery.posting import Poster
from gateway.delivery.retry import Unanswered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from config import delivery as settings
    from gateway.delivery.posting import Sessions
    from gateway.delivery.recipients import Recipient
    from gateway.delivery.retry import Outcome
    from gateway.events import EncodedInterim

MOST_WAITING = 1000
"""Utterances of which an interim waits for one endpoint; some kilobytes each."""

MOST_BROUGHT = 256
"""Hosts that calls bring as receivers of interims, at a time; those of others are shed."""

WARNING_SECONDS = 60.0

REST_SECONDS = 1.0
"""An attempt that failed keeps its place for so long: a receiver that is down is not tried all the time."""

log = structlog.get_logger()


class Interims:
    """All senders of interims, and for each call the count of those that were shed.

    There is one for every endpoint that wants them, and for every host that calls bring as the receiver of such a one.
    `well` tells whether an endpoint, by its name in the store, can be sent anything at this time.
    """

    def __init__(
        self,
        delivery: settings.Delivery,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        well: Callable[[str], bool] = lambda _endpoint: True,
    ) -> None:
        self._settings = delivery
        self._clock = clock
        self._wall = wall
        self._well = well
        self._shed: Counter[str] = Counter()
        self._wanting = {endpoint.name: endpoint for endpoint in delivery.endpoints if endpoint.interims}
        self._senders: dict[str, InterimSender] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._sessions: Sessions | None = None
        self._group: asyncio.TaskGroup

    async def run(self, sessions: Sessions) -> None:
        """Send until cancelled; what waits then, or is on its way, is dropped."""
        async with asyncio.TaskGroup() as group:
            self._group, self._sessions = group, sessions
            for queue in self._senders:
                self._begin(queue)
            await asyncio.Event().wait()

    def adopt(self, delivery: settings.Delivery) -> None:
        """Send by other settings, whose files serve; where anything differs, what is on its way is dropped."""
        if delivery == self._settings:
            return
        self._settings = delivery
        self._wanting = {endpoint.name: endpoint for endpoint in delivery.endpoints if endpoint.interims}
        for queue in list(self._senders):
            self._stop(queue)

    def _stop(self, queue: str) -> None:
        self._senders.pop(queue).abandon()
        if task := self._running.pop(queue, None):
            task.cancel()

    def wanted(self, recipients: Iterable[Recipient], /) -> bool:
        """Tell whether any of these wants interims."""
        return any(recipient.endpoint in self._wanting for recipient in recipients)

    def show(self, interim: EncodedInterim, recipients: Sequence[Recipient], /) -> None:
        """Send an interim to those of these that want it."""
        for recipient in recipients:
            if recipient.endpoint in self._wanting:
                self._send(interim, recipient)

    def close(self, utterance_id: str, /) -> None:
        """Send no more of an utterance than what is on its way."""
        for sender in self._senders.values():
            sender.close(utterance_id)

    def end(self, call_id: str, /) -> int:
        """Send no more of a call; tell how many of its interims were shed, each counted once per endpoint."""
        for queue, sender in tuple(self._senders.items()):
            sender.end(call_id)
            if sender.brought and sender.idle:
                self._stop(queue)
        return self._shed.pop(call_id, 0)

    def _send(self, interim: EncodedInterim, recipient: Recipient) -> None:
        sender = self._senders.get(recipient.queue) or self._start(recipient)
        if sender and self._well(recipient.queue):
            sender.put(interim, recipient.url)
        else:
            self._count(interim)

    def _start(self, recipient: Recipient) -> InterimSender | None:
        """Start a sender; None where there are too many."""
        if len(self._senders) >= len(self._wanting) + MOST_BROUGHT:
            return None
        sender = InterimSender(
            self._wanting[recipient.endpoint], self._settings, clock=self._clock, wall=self._wall, on_shed=self._count
        )
        self._senders[recipient.queue] = sender
        self._begin(recipient.queue)
        return sender

    def _begin(self, queue: str) -> None:
        if self._sessions is not None:  # else as soon as there are some
            self._running[queue] = self._group.create_task(self._senders[queue].run(self._sessions))

    def _count(self, interim: EncodedInterim) -> None:
        self._shed[interim.call_id] += 1


class InterimSender:
    """Send interims to one endpoint, `delivery.interim_concurrency` at a time and each once.

    `on_shed` is told of every one that was not accepted, in the moment that is known. `clock` is for warnings,
    `wall` for signatures.
    """

    def __init__(
        self,
        endpoint: settings.Endpoint,
        delivery: settings.Delivery,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        on_shed: Callable[[EncodedInterim], None],
    ) -> None:
        self._endpoint = endpoint
        self._settings = delivery
        self._clock = clock
        self._wall = wall
        self._on_shed = on_shed
        self._newest = Newest(on_their_way=delivery.interim_concurrency, waiting=MOST_WAITING)
        self._urls: dict[str, str] = {}
        """Where the interims of a call go, if it has brought a URL."""
        self._attempts: dict[str, asyncio.Task[bool]] = {}
        """By the id of what they send."""
        self._stirred = asyncio.Event()
        self._warned_at: float | None = None
        self._failures = 0
        """Those of which no warning has told yet."""

    @property
    def brought(self) -> bool:
        """Whether calls bring its URL."""
        return self._endpoint.url is None

    @property
    def idle(self) -> bool:
        """Whether no call is in progress that has brought a URL here."""
        return not self._urls

    async def run(self, sessions: Sessions) -> None:
        """Send until cancelled."""
        poster = Poster(
            self._endpoint,
            sessions,
            timeout_seconds=self._settings.interim_timeout_seconds,
            connect_timeout_seconds=self._settings.interim_timeout_seconds,
            clock=self._wall,
        )
        async with asyncio.TaskGroup() as attempts:
            while True:
                self._stirred.clear()
                while interim := self._newest.take():
                    attempt = attempts.create_task(self._attempt(poster, interim))
                    self._attempts[interim.event_id] = attempt
                    # Not at the end of the attempt itself: one that is cancelled before it has begun never gets there.
                    attempt.add_done_callback(partial(self._settle, interim))
                await self._stirred.wait()

    def put(self, interim: EncodedInterim, url: str | None = None) -> None:
        """Send an interim as soon as may be, unless a newer one of its utterance comes first."""
        if url is not None:
            self._urls[interim.call_id] = url
        self._shed(self._newest.put(interim))
        self._stirred.set()

    def close(self, utterance_id: str) -> None:
        """Send no more of an utterance than what is on its way."""
        self._shed(self._newest.close(utterance_id))

    def end(self, call_id: str) -> None:
        """Send no more of a call, and break off what is on its way."""
        self._urls.pop(call_id, None)
        for interim in self._newest.end(call_id):
            self._shed(interim)
            if attempt := self._attempts.get(interim.event_id):
                attempt.cancel()

    def abandon(self) -> None:
        """Send no more at all."""
        for call_id in self._newest.calls:
            self.end(call_id)

    async def _attempt(self, poster: Poster, interim: EncodedInterim) -> bool:
        """Make the attempt and tell whether it was accepted; never raise, for that would end the sender."""
        outcome = await self._post(poster, interim)
        if not outcome.accepted:
            self._warn(outcome)
            await asyncio.sleep(REST_SECONDS)
        return outcome.accepted

    async def _post(self, poster: Poster, interim: EncodedInterim) -> Outcome:
        try:
            return await poster.post(interim.event_id, interim.body, self._urls.get(interim.call_id))
        except Exception as error:  # a failed attempt like any other
            log.exception(
                "an interim went wrong in a way not foreseen",
                endpoint=self._endpoint.name,
                event_id=interim.event_id,
            )
            return Unanswered(f"unexpected {type(error).__name__}")

    def _settle(self, interim: EncodedInterim, attempt: asyncio.Task[bool]) -> None:
        del self._attempts[interim.event_id]
        self._stirred.set()
        known = self._newest.settle(interim)  # not if its call has ended, and it was counted then
        if known and not attempt.cancelled() and not attempt.result():
            self._shed(interim)

    def _shed(self, interim: EncodedInterim | None) -> None:
        if interim:
            self._on_shed(interim)

    def _warn(self, outcome: Outcome) -> None:
        """Say that interims fail, at most once a minute."""
        self._failures += 1
        now = self._clock()
        if self._warned_at is None or now - self._warned_at >= WARNING_SECONDS:
            log.warning(
                "interims not accepted", endpoint=self._endpoint.name, outcome=str(outcome), interims=self._failures
            )
            self._warned_at, self._failures = now, 0
