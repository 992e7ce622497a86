"""The composition root: builds every part, wires them to one another, starts and stops them in order.

Only this file names a clock and a source of randomness, and only this file knows the adapters' servers.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import msgspec
import structlog

from adapters.asterisk import websocket_server as asterisk_websocket
from adapters.asterisk.server import AudioSocketServer
from adapters.freeswitch import server as freeswitch
from adapters.stream import StreamEnd
from adapters.tls import ServerTls
from adapters.twilio import server as carriers
from adapters.twilio.carriers import TELNYX, TWILIO
from adapters.wire.server import announce
from adapters.wire.server import routes as ways_in
from asr.scheduler import Scheduler
from gateway.assembling import normalizer, spool, waiting_limits
from gateway.delivery.deliveries import Deliveries
from gateway.delivery.interims import Interims
from gateway.delivery.posting import new_sessions
from gateway.http.calls import CallsApi
from gateway.http.health import HealthPage
from gateway.http.metrics import MetricsPage
from gateway.http.server import HttpServer
from gateway.http.streaming import StreamPort
from gateway.http.twilio import TwilioApi
from gateway.means import Means
from gateway.metrics import Metrics
from gateway.recovery import end_unfinished_calls
from gateway.registry import Registry
from gateway.routes import Routes
from gateway.state import state_directory

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.wire.server import WebSocketServer
    from asr.types import Engine
    from config.settings import Settings

log = structlog.get_logger()

TICK_SECONDS = 0.1
LOOKUPS = 32

# How the time of a hurried end is spent. Beside these, connections have two seconds for their farewell.
DECODE_SHARE = 0.4
"""What is not decoded by then is given up."""
CALLS_SHARE = 0.5
"""Calls whose events are not committed by then are left to the next start."""
SEND_SHARE = 0.1
STORE_SHARE = 0.1

clock = time.monotonic  # noqa: TID251  this is the one place that names it
wall = time.time  # noqa: TID251  the same


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway says once it takes calls."""

    ports: dict[str, int]
    """Each AudioSocket listener's port, by its name."""
    http_port: int | None


class Gateway:
    """One running gateway. The engine is its caller's, loaded and warm.

    Raises ConfigError when the settings name a function that cannot be had.
    """

    def __init__(
        self, settings: Settings, engine: Engine, *, probe: Callable[[str], None] = lambda _point: None
    ) -> None:
        self._settings = settings
        self._deliveries = Deliveries(
            settings.delivery, state_directory(settings), clock=clock, wall=wall, random=random.random, probe=probe
        )
        self._scheduler = Scheduler(
            engine,
            clock=clock,
            limits=waiting_limits(settings.models),
            spool=spool(settings, partial(state_directory, settings)),
            interims=settings.interims,
        )
        self._interims = Interims(settings.delivery, clock=clock, wall=wall, well=self._deliveries.well)
        means = Means(
            settings=settings,
            decoder=self._scheduler,
            publish=self._deliveries.publish,
            storable=lambda: self._deliveries.storable,
            interims=self._interims,
            normalizer=normalizer(settings),
            clock=clock,
            wall=wall,
        )
        self._registry = Registry(means, Routes(settings), os.urandom)
        self._tls: ServerTls | None = None
        self._audiosockets = [AudioSocketServer(each, self._registry, clock) for each in settings.audiosocket]
        port = StreamPort(proxied=bool(settings.http.public_url or settings.http.trusted_proxies))
        self._twilio = carriers.Twilio(settings.twilio, self._registry, clock, port, os.urandom)
        self._websockets = {
            freeswitch.PATH: freeswitch.servers(settings.freeswitch, self._registry, clock, port),
            asterisk_websocket.PATH: asterisk_websocket.servers(
                settings.asterisk_websocket, self._registry, clock, port
            ),
            TWILIO.path: self._twilio.servers,
            **carriers.servers(settings, self._registry, clock, port),
        }
        telnyx = carriers.telnyx_routes(settings.telnyx, self._websockets[TELNYX.path], port, wall)
        self._webhooks = [*self._twilio.routes, *telnyx]
        self._servers: list[AudioSocketServer | WebSocketServer] = [*self._audiosockets]
        self._servers += chain.from_iterable(self._websockets.values())
        self._drain = asyncio.Event()
        self._hurry = asyncio.Event()

    def stop(self) -> None:
        """Drain: no new calls, those in progress run on. A second time: end them, quickly."""
        if self._drain.is_set():
            self._hurry.set()
            log.warning("ending all calls", calls=self._registry.calls)
        else:
            self._drain.set()
            seconds = self._settings.calls.drain_seconds
            log.info(
                "draining: no new calls; a second signal ends those in progress",
                calls=self._registry.calls,
                at_most_seconds=seconds,
            )

    async def swap_models(self, engine: Engine) -> None:
        """Let another engine decode from here on, under calls in progress; return when the one before may be closed."""
        await self._scheduler.swap(engine)
        log.info("models swapped")

    async def run(self, on_ready: Callable[[Ready], None] = lambda _ready: None) -> None:
        """Serve until stopped; return when everything is delivered or stored.

        Raises OutboxError or OSError when the store or a port cannot be had.
        """
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._deliveries.close, self._settings.calls.hurry_seconds * STORE_SHARE)
            if not await self._recover():
                return
            sessions = await stack.enter_async_context(new_sessions())
            # Names are looked up on its threads: a few that nobody answers for must not keep all others waiting.
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(LOOKUPS, "lookup"))
            if not self._settings.delivery.endpoints:
                log.warning("no endpoint: events are stored and sent to nobody (delivery.endpoints)")
            async with asyncio.TaskGroup() as group:
                sending = [self._deliveries.run(sessions), self._interims.run(sessions)]
                tasks = [group.create_task(each) for each in (*sending, self._scheduler.run(), self._tick())]
                await self._serve(group, on_ready)
                await self._finish_sending()
                for task in tasks:
                    # A decode or an attempt that is still running is for nobody any more, or made again later.
                    task.cancel()

    async def _recover(self) -> bool:
        """Open the store and give every call that a crash cut off its end; False when stopped before that was done."""
        async with asyncio.TaskGroup() as group:
            stopped = group.create_task(self._drain.wait())
            recovering = group.create_task(self._open_store())
            await asyncio.wait({stopped, recovering}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            recovering.cancel()
        return not recovering.cancelled()

    async def _open_store(self) -> None:
        await self._deliveries.open()
        await end_unfinished_calls(self._deliveries.outbox, self._deliveries.publish, wall)

    async def _serve(self, group: asyncio.TaskGroup, on_ready: Callable[[Ready], None]) -> None:
        calls = group.create_task(self._registry.run())
        async with AsyncExitStack() as stack:
            http_port = await self._open_http(stack)
            stack.push_async_callback(self._close_servers)
            ports = {each.settings.name: await each.start() for each in self._audiosockets}
            log.info("ready", ports=ports, http_port=http_port)
            on_ready(Ready(ports=ports, http_port=http_port))
            await self._drain.wait()
            self._registry.drain()
            await self._finish_calls(group, calls)

    async def _close_servers(self) -> None:
        await asyncio.gather(*(server.close() for server in self._servers))

    async def _open_http(self, stack: AsyncExitStack) -> int | None:
        """Open the HTTP port, before streams can come that are to be registered with it."""
        settings = self._settings.http
        if settings.port is None:
            return None
        self._tls = ServerTls(settings.tls, "http") if settings.tls else None
        calls = CallsApi(self._registry, self._settings, clock=clock, wall=wall)
        twilio = TwilioApi(self._twilio.starters.start, self._settings)
        page = MetricsPage(
            Metrics(self._registry, self._registry.door, self._scheduler, self._deliveries, clock=clock, wall=wall)
        )
        health = HealthPage(self._unready)
        streams = chain.from_iterable(ways_in(path, servers, clock) for path, servers in self._websockets.items())
        server = HttpServer(
            settings,
            [*calls.routes(), *twilio.routes(), *page.routes(), *health.routes(), *self._webhooks, *streams],
            guarded=any(each.credentials for each in chain.from_iterable(self._settings.websockets.values())),
            tls=self._tls.context if self._tls else None,
        )
        port = await server.start()
        stack.push_async_callback(server.close)
        for path, servers in self._websockets.items():
            announce(path, servers, port)
        return port

    async def _finish_calls(self, group: asyncio.TaskGroup, calls: asyncio.Task[None]) -> None:
        """Let the calls run out; end them when the drain's time is over or somebody is in a hurry."""
        limits = self._settings.calls
        hurry = group.create_task(self._hurry.wait())
        await asyncio.wait({calls, hurry}, timeout=limits.drain_seconds, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if calls.done():
            return
        self._registry.end_all(StreamEnd.SHUTDOWN, limits.hurry_seconds * DECODE_SHARE)
        await asyncio.wait({calls}, timeout=limits.hurry_seconds * CALLS_SHARE)
        if not calls.done():
            log.error("calls left without an end; the next start gives them one", calls=self._registry.calls)
            calls.cancel()

    async def _finish_sending(self) -> None:
        """Send what can be sent now; the rest is stored."""
        undelivered = await self._deliveries.finish(self._settings.calls.hurry_seconds * SEND_SHARE)
        log.info("stopped", undelivered=undelivered)

    def _unready(self) -> list[str]:
        """Tell why no new calls should be sent here."""
        reasons = {
            "draining": self._drain.is_set(),
            "the event store cannot be written to": not self._deliveries.writable,
        }
        return [reason for reason, holds in reasons.items() if holds]

    async def _tick(self) -> None:
        while True:
            begin = clock()
            await asyncio.sleep(TICK_SECONDS)
            if clock() - begin > 2 * TICK_SECONDS:
                await asyncio.sleep(0)  # we were held up: what waits in the sockets comes first
            now = clock()
            self._registry.tick(now)
            for server in self._servers:
                server.tick(now)
            if self._tls:
                self._tls.tick(now)
