"""Everything between an event that was made and its receivers: the store, and a sender for each of them."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import structlog

from gateway.delivery.keeping import Keeper
from gateway.delivery.outbox import Outbox, OutboxError, Probe, no_probe
from gateway.delivery.overview import Overview, State, look
from gateway.delivery.posting import Poster
from gateway.delivery.recipients import name_of, wants
from gateway.delivery.retry import KINDS, kind_of
from gateway.delivery.sender import Sender
from gateway.delivery.writer import QUEUE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from config.delivery import Delivery
    from gateway.delivery.overview import Line
    from gateway.delivery.posting import Sessions
    from gateway.delivery.recipients import Recipient
    from gateway.delivery.retry import Decision, Outcome
    from gateway.events import StoredEvent

MOST_SENDERS = 256
"""For hosts that calls bring; what is for others waits until one of them can send nothing for a while."""

MOST_ACCEPTING = QUEUE_LIMIT // 2
"""Events that wait to be committed while new calls are let in; the other half is for those in progress."""

WATCH_SECONDS = 1.0
LOOK_SECONDS = 5.0

log = structlog.get_logger()


class Deliveries:
    """The delivery of one gateway's events; `directory` holds the store.

    `clock` is for rests, `wall` gives seconds since the epoch, `random` numbers from 0 to 1; `probe` is as in Outbox
    and Sender.
    """

    def __init__(
        self,
        settings: Delivery,
        directory: Path,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        random: Callable[[], float],
        probe: Probe = no_probe,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._clock = clock
        self._wall = wall
        self._random = random
        self._probe = probe
        self._endpoints = {endpoint.name: endpoint for endpoint in settings.endpoints}
        self._senders: dict[str, Sender] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._unknown: set[str] = set()
        self._group: asyncio.TaskGroup | None = None
        self._posters: dict[str, Poster] = {}
        """By endpoint, while something is sent."""
        self.outbox = Outbox(directory, clock=wall, probe=probe)
        self._keeper = Keeper(self.outbox, directory, settings, wall)
        self.overview = Overview()
        """As it was some seconds ago."""
        self.attempts = dict.fromkeys(product(self._endpoints, KINDS), 0)
        """By endpoint and outcome."""

    @property
    def writable(self) -> bool:
        """Whether events can be committed, as far as is known."""
        return self.outbox.writable

    @property
    def rounds(self) -> int:
        """How often the store's thread has come round, whether it could commit or not."""
        return self.outbox.rounds

    @property
    def waiting(self) -> int:
        """What waits for it, of any kind."""
        return self.outbox.waiting

    @property
    def accepting(self) -> int:
        """Events that wait in memory to be committed."""
        return self.outbox.accepting

    @property
    def lines(self) -> dict[str, Line]:
        """What the store held some seconds ago, by endpoint of the settings."""
        return self.overview.by_name(self._endpoints)

    @property
    def states(self) -> dict[str, State]:
        """How each endpoint of the settings fares."""
        return {name: self._state(name) for name in self._endpoints}

    def well(self, queue: str) -> bool:
        """Tell whether what waits under a name is sent at this time."""
        sender = self._senders.get(queue)
        return sender is None or not (sender.resting or sender.disabled)

    @property
    def storable(self) -> bool:
        """Whether there is room in memory for more events that the disk does not take for now."""
        return self.outbox.accepting < MOST_ACCEPTING

    async def open(self) -> None:
        """Open the store. Raises OutboxError."""
        await self.outbox.start()

    async def publish(self, event: StoredEvent, recipients: Sequence[Recipient]) -> None:
        """Store an event for those of a call's recipients that want it, and return when it is committed.

        While the store cannot be written to, it waits in memory, and this returns at once: the call goes on.
        Raises OutboxError.
        """
        wanted_by = [each for each in recipients if self._wants(each, event)]
        stored = await self.outbox.take(event, recipients, wanted_by)
        if await self.outbox.committed(stored):
            stored.result()
            self._wake(wanted_by)
        else:
            stored.add_done_callback(partial(self._wake_late, event, wanted_by))

    async def run(self, sessions: Sessions) -> None:
        """Deliver until cancelled. What is on its way then can be claimed again later."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group, self._sessions = group, sessions
                self._posters = self._make_posters(self._settings)
                self._start_all()
                group.create_task(self._watch())
                group.create_task(self._keeper.run())
        finally:
            self._group = None  # what is stored from here on is for the next start

    def prepare(self, settings: Delivery) -> Callable[[], None]:
        """Make ready for other settings, and give what takes them over. Raises TlsError; `run` must be running."""
        return partial(self._adopt, settings, self._make_posters(settings))

    def _adopt(self, settings: Delivery, posters: Mapping[str, Poster]) -> None:
        """Send by other settings. What waits for an endpoint that is no more stays in the store."""
        self._settings, self._posters = settings, dict(posters)
        before, self._endpoints = self._endpoints, {endpoint.name: endpoint for endpoint in settings.endpoints}
        self._unknown.clear()
        self._keeper.adopt(settings)
        for queue, sender in list(self._senders.items()):
            name = name_of(queue)
            endpoint = self._endpoints.get(name)
            if endpoint is None or (endpoint.url is None) != (before[name].url is None):
                self._stop(queue)
            else:
                sender.adopt(settings, posters[name])
        self.attempts = {key: self.attempts.get(key, 0) for key in product(self._endpoints, KINDS)}
        self._start_all()

    def _start_all(self) -> None:
        for endpoint in self._settings.endpoints:
            if endpoint.url is not None and endpoint.name not in self._senders:
                self._start(endpoint.name)

    def _make_posters(self, settings: Delivery) -> dict[str, Poster]:
        """Make what posts to each endpoint. Raises TlsError."""
        return {
            endpoint.name: Poster(
                endpoint,
                self._sessions,
                timeout_seconds=settings.timeout_seconds,
                connect_timeout_seconds=settings.connect_timeout_seconds,
                clock=self._wall,
            )
            for endpoint in settings.endpoints
        }

    async def finish(self, seconds: float) -> int | None:
        """Send what can be sent now; tell how much is left, None when the store does not answer in time."""
        await asyncio.gather(*(sender.flush(seconds) for sender in self._senders.values()))
        try:
            return await asyncio.wait_for(self.outbox.pending(), seconds)
        except (TimeoutError, OutboxError):
            return None

    async def close(self, seconds: float) -> None:
        """Close the store; what cannot be committed within that time is lost, and named in the log."""
        await self.outbox.close(seconds)

    def _wants(self, recipient: Recipient, event: StoredEvent) -> bool:
        endpoint = self._endpoints.get(recipient.endpoint)
        return endpoint is not None and wants(endpoint, event.type)

    def _wake(self, recipients: Sequence[Recipient]) -> None:
        for recipient in recipients:
            sender = self._senders.get(recipient.queue) or self._start(recipient.queue)
            if sender:
                sender.wake()

    def _wake_late(self, event: StoredEvent, recipients: Sequence[Recipient], stored: asyncio.Future[None]) -> None:
        if stored.cancelled() or stored.exception():
            log.error("an event is lost: it could not be stored", event_id=event.event_id, call_id=event.call_id)
        else:
            self._wake(recipients)

    def _start(self, queue: str) -> Sender | None:
        """Start the sender of a line; None where that has to wait."""
        endpoint = self._endpoints.get(name_of(queue))
        if self._group is None or endpoint is None:
            return None
        if len(self._senders) >= len(self._endpoints) + MOST_SENDERS and not self._make_room():
            return None
        sender = Sender(
            self.outbox,
            queue,
            self._settings,
            post=self._posters[endpoint.name],
            clock=self._clock,
            wall=self._wall,
            random=self._random,
            brought=endpoint.url is None,
            on_attempt=partial(self._count, endpoint.name),
            probe=self._probe,
        )
        self._senders[queue] = sender
        self._running[queue] = self._group.create_task(sender.run())
        return sender

    def _make_room(self) -> bool:
        """Stop a sender that can send nothing now, its host being dead for instance; it has its turn again later."""
        for queue, sender in self._senders.items():
            if queue not in self._endpoints and sender.idle:
                self._stop(queue)
                return True
        return False

    def _stop(self, queue: str) -> None:
        del self._senders[queue]
        self._running.pop(queue).cancel()

    def _state(self, name: str) -> State:
        return self.overview.state(
            name, [each.resting for queue, each in self._senders.items() if name_of(queue) == name]
        )

    def _count(self, endpoint: str, outcome: Outcome, decision: Decision) -> None:
        key = endpoint, kind_of(outcome, decision)
        if key in self.attempts:  # else it has left the settings
            self.attempts[key] += 1

    async def _watch(self) -> None:
        """Look now and then what is in the store, and whether an operator has changed something there."""
        looked_at = float("-inf")
        while True:
            try:
                changed = await self.outbox.changed_elsewhere()
                if changed or self._clock() - looked_at >= LOOK_SECONDS:
                    looked_at = self._clock()
                    await self._look()
            except OutboxError as error:
                log.warning("cannot look into the event store", error=str(error))
                await asyncio.sleep(LOOK_SECONDS)
                continue
            if changed:
                for sender in self._senders.values():
                    sender.hasten()
            await asyncio.sleep(WATCH_SECONDS)

    async def _look(self) -> None:
        self.overview = await asyncio.to_thread(look, self._directory)
        for queue, line in self.overview.lines.items():
            if line.pending and queue not in self._senders:
                self._take_up(queue, line.pending)
        for queue, sender in list(self._senders.items()):
            pending = queue in self.overview.lines and self.overview.lines[queue].pending
            if queue not in self._endpoints and sender.idle and not pending:
                self._stop(queue)

    def _take_up(self, queue: str, pending: int) -> None:
        """Start a sender for what waits, or tell that the settings know nobody to send it to."""
        if name_of(queue) in self._endpoints:
            self._start(queue)
        elif queue not in self._unknown:
            self._unknown.add(queue)
            log.warning(
                "events wait for an endpoint that is not in the settings: put it there, or linescribe outbox discard",
                endpoint=queue,
                deliveries=pending,
            )
