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
from adapters.tls import ServerTls
from adapters.twilio import server as carriers
from adapters.twilio.carriers import TELNYX, TWILIO
from adapters.wire.server import announce
from adapters.wire.server import routes as ways_in
from asr.absent import NoEngine
from asr.scheduler import Scheduler
from gateway.assembling import normalizer, observer, spool, waiting_limits
from gateway.control import Control, Parts
from gateway.delivery.deliveries import Deliveries
from gateway.delivery.interims import Interims
from gateway.delivery.posting import new_sessions
from gateway.ending import Ending
from gateway.engines import Engines
from gateway.http.calls import CallsApi
from gateway.http.server import HttpServer
from gateway.http.streaming import StreamPort
from gateway.http.tokens import Tokens
from gateway.http.twilio import TwilioApi
from gateway.means import Means
from gateway.models import in_daemon_thread
from gateway.pulse import Pulse
from gateway.recovery import end_unfinished_calls
from gateway.registry import Registry
from gateway.reloading import fingerprint
from gateway.routes import Routes
from gateway.state import state_directory
from gateway.status import Life, Stage
from gateway.surface import Surface
from gateway.systemd import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from adapters.wire.server import WebSocketServer
    from config.settings import Settings
    from gateway.engines import Load

log = structlog.get_logger()

TICK_SECONDS = 0.1
LOOKUPS = 32
TRACES_SECONDS = 2.0
"""For traces that are held back, when the gateway ends."""

clock = time.monotonic  # noqa: TID251  this is the one place that names it
wall = time.time  # noqa: TID251  the same


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway says once it takes calls."""

    ports: dict[str, int]
    """Each AudioSocket listener's port, by its name."""
    http_port: int | None
    admin_port: int | None


class Gateway:
    """One running gateway. `load` brings up the models that its settings name, `read` reads the settings anew.

    Raises ConfigError when the settings name a function that cannot be had.
    """

    def __init__(
        self,
        settings: Settings,
        load: Load,
        *,
        read: Callable[[], Settings] | None = None,
        probe: Callable[[str], None] = lambda _point: None,
    ) -> None:
        self._settings = settings
        self._life = Life(started_wall=wall(), fingerprint=fingerprint(settings))
        self._supervisor = Supervisor(os.environ, pid=os.getpid(), clock=clock)
        self._deliveries = Deliveries(
            settings.delivery, state_directory(settings), clock=clock, wall=wall, random=random.random, probe=probe
        )
        self._scheduler = Scheduler(
            NoEngine(),
            clock=clock,
            limits=waiting_limits(settings.models),
            spool=spool(settings, partial(state_directory, settings)),
            interims=settings.interims,
        )
        self._observer = observer(settings.tracing, clock=clock, wall=wall)
        self._engines = Engines(self._scheduler, load)
        self._interims = Interims(settings.delivery, clock=clock, wall=wall, well=self._deliveries.well)
        means = Means(
            settings=settings,
            decoder=self._scheduler,
            publish=self._deliveries.publish,
            storable=lambda: self._deliveries.storable,
            interims=self._interims,
            normalizer=normalizer(settings),
            observer=self._observer,
            clock=clock,
            wall=wall,
        )
        self._registry = Registry(means, Routes(settings), os.urandom)
        self._ending = Ending(self._registry, self._deliveries, lambda: self._registry.settings.calls)
        self._pulse = Pulse(
            self._scheduler, self._deliveries, lambda: self._registry.settings.models.decode_limit_seconds
        )
        self._tokens = Tokens(settings.http.tokens)
        self._build_operation(read or (lambda: settings))
        self._build_servers()

    def _build_operation(self, read: Callable[[], Settings]) -> None:
        """Build what an operator sees of the gateway, and reaches it by."""
        parts = Parts(
            registry=self._registry,
            scheduler=self._scheduler,
            engines=self._engines,
            deliveries=self._deliveries,
            interims=self._interims,
            tokens=self._tokens,
            life=self._life,
            supervisor=self._supervisor,
        )
        self.control = Control(self._settings, parts, read=read, drain=self.stop, wall=wall)
        self._surface = Surface(
            parts, self.control, stuck=lambda: self._pulse.stuck(clock()), unready=self._unready, clock=clock, wall=wall
        )

    def _build_servers(self) -> None:
        settings, registry = self._settings, self._registry
        http = settings.http
        self._tls = ServerTls(http.tls, "http") if http.tls and http.port is not None else None
        self._audiosockets = [AudioSocketServer(each, registry, clock) for each in settings.audiosocket]
        port = StreamPort(proxied=bool(http.public_url or http.trusted_proxies))
        self._twilio = carriers.Twilio(settings.twilio, registry, clock, port, os.urandom)
        self._websockets = {
            freeswitch.PATH: freeswitch.servers(settings.freeswitch, registry, clock, port),
            asterisk_websocket.PATH: asterisk_websocket.servers(settings.asterisk_websocket, registry, clock, port),
            TWILIO.path: self._twilio.servers,
            **carriers.servers(settings, registry, clock, port),
        }
        telnyx = carriers.telnyx_routes(settings.telnyx, self._websockets[TELNYX.path], port, wall)
        self._webhooks = [*self._twilio.routes, *telnyx]
        self._servers: list[AudioSocketServer | WebSocketServer] = [*self._audiosockets]
        self._servers += chain.from_iterable(self._websockets.values())

    def stop(self) -> None:
        """Drain: no new calls, those in progress run on. A second time: end them, quickly."""
        self._life.stage = Stage.DRAINING
        self._supervisor.stopping()
        self._registry.drain()
        self._ending.begin()

    def reload(self) -> None:
        """Read the settings anew, in the background; the log tells what came of it."""
        self._surface.reload()

    async def run(self, on_ready: Callable[[Ready], None] = lambda _ready: None) -> None:
        """Serve until stopped; return when everything is delivered or stored.

        Raises OutboxError, OSError, WeightsError or ModelLoadError when the store, a port or the models cannot be had.
        """
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._engines.close)
            # On a thread that nobody waits for but here: it must not hold up the end of the process.
            stack.push_async_callback(in_daemon_thread, partial(self._observer.close, TRACES_SECONDS))
            self._http_port = await self._open_http(stack)
            stack.push_async_callback(self._ending.close_store)
            if not await self._unless_stopped(self._start()):
                log.info("stopped before it was ready")
                return
            self._admin_port = await self._surface.open(stack)
            sessions = await stack.enter_async_context(new_sessions())
            # Names are looked up on its threads: a few that nobody answers for must not keep all others waiting.
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(LOOKUPS, "lookup"))
            if not self._settings.delivery.endpoints:
                log.warning("no endpoint: events are stored and sent to nobody (delivery.endpoints)")
            async with asyncio.TaskGroup() as group:
                sending = [self._deliveries.run(sessions), self._interims.run(sessions)]
                tasks = [group.create_task(each) for each in (*sending, self._scheduler.run(), self._tick())]
                await self._serve(group, on_ready)
                await self._ending.finish_sending()
                for task in tasks:
                    # A decode or an attempt that is still running is for nobody any more, or made again later.
                    task.cancel()

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do it; False when stopped before it was done."""
        async with asyncio.TaskGroup() as group:
            stopped = group.create_task(self._ending.begun.wait())
            working = group.create_task(work)
            await asyncio.wait({stopped, working}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            working.cancel()
        return not working.cancelled()

    async def _start(self) -> None:
        """Open the store, give every call that a crash cut off its end, and bring up the models."""
        async with asyncio.TaskGroup() as group:
            telling = group.create_task(self._tell_of_start())
            await self._deliveries.open()
            await end_unfinished_calls(self._deliveries.outbox, self._deliveries.publish, wall)
            self._life.doing = "loading the models"
            self._engines.take_over(await self._engines.load(self._settings.models))
            telling.cancel()

    async def _tell_of_start(self) -> None:
        while True:
            self._supervisor.starting(self._life.doing)
            await asyncio.sleep(1.0)

    async def _serve(self, group: asyncio.TaskGroup, on_ready: Callable[[Ready], None]) -> None:
        calls = group.create_task(self._registry.run())
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._close_servers)
            ports = {each.settings.name: await each.start() for each in self._audiosockets}
            if not self._ending.begun.is_set():
                self._life.stage = Stage.SERVING
            ready = Ready(ports=ports, http_port=self._http_port, admin_port=self._admin_port)
            log.info("ready", **msgspec.structs.asdict(ready))
            self._supervisor.ready()
            on_ready(ready)
            await self._ending.begun.wait()
            await self._ending.finish_calls(group, calls)

    async def _close_servers(self) -> None:
        await asyncio.gather(*(server.close() for server in self._servers))

    async def _open_http(self, stack: AsyncExitStack) -> int | None:
        """Open the HTTP port, first of all: that the gateway starts can be asked there."""
        settings = self._settings.http
        if settings.port is None:
            return None
        calls = CallsApi(self._registry, clock=clock, wall=wall)
        twilio = TwilioApi(self._twilio.starters.start, lambda: self._registry.settings)
        streams = chain.from_iterable(ways_in(path, servers, clock) for path, servers in self._websockets.items())
        server = HttpServer(
            settings,
            [*calls.routes(), *twilio.routes(), *self._surface.pages(), *self._webhooks, *streams],
            guarded=any(each.credentials for each in chain.from_iterable(self._settings.websockets.values())),
            tls=self._tls.context if self._tls else None,
            tokens=self._tokens,
            check=self._surface.check,
        )
        port = await server.start()
        stack.push_async_callback(server.close)
        for path, servers in self._websockets.items():
            announce(path, servers, port)
        return port

    def _unready(self) -> list[str]:
        """Tell why no new calls should be sent here."""
        reasons = {
            f"starting: {self._life.doing}": self._life.stage is Stage.STARTING,
            "draining": self._life.stage is Stage.DRAINING,
            "the event store cannot be written to": self._life.stage is not Stage.STARTING
            and not self._deliveries.writable,
            "there are no models": self._life.stage is not Stage.STARTING and not self._engines.pids,
        }
        return [reason for reason, holds in reasons.items() if holds]

    async def _tick(self) -> None:
        while True:
            begin = clock()
            await asyncio.sleep(TICK_SECONDS)
            lag = clock() - begin - TICK_SECONDS
            self._registry.tallies.lags.add(max(lag, 0.0))
            if lag > TICK_SECONDS:
                await asyncio.sleep(0)  # we were held up: what waits in the sockets comes first
            now = clock()
            self._pulse.beat(now)
            self._registry.tick(now)
            for server in self._servers:
                server.tick(now)
            if self._tls:
                self._tls.tick(now)
            self._supervisor.feed(self._pulse.stuck(now))
            self._supervisor.tell(f"{self._life.stage}: {self._registry.calls} calls")
