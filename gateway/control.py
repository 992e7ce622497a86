"""What an operator does to a running gateway: other settings, other models, no more calls, the end of one."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Literal

import msgspec
import structlog

from adapters.stream import StreamEnd
from gateway import log as logs
from gateway.assembling import normalizer, waiting_limits
from gateway.reloading import change, fingerprint
from gateway.routes import Routes
from gateway.status import Life, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asr.scheduler import Scheduler
    from config.settings import Settings
    from gateway.delivery.deliveries import Deliveries
    from gateway.delivery.interims import Interims
    from gateway.engines import Engines
    from gateway.http.tokens import Tokens
    from gateway.registry import Registry
    from gateway.systemd import Supervisor

log = structlog.get_logger()

Level = Literal["debug", "info", "warning", "error"]


class Reloaded(msgspec.Struct, frozen=True, kw_only=True):
    """What a reload came to."""

    taken: tuple[str, ...]
    """Keys that apply from now on."""
    restart: tuple[str, ...]
    """Keys that differ from what runs, and apply after a restart."""
    settings: str
    """Fingerprint of what applies."""


class NotServingError(Exception):
    """The gateway has not started yet, or is on its way out."""


class Parts(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What settings and operators reach."""

    registry: Registry
    scheduler: Scheduler
    engines: Engines
    deliveries: Deliveries
    interims: Interims
    tokens: Tokens
    life: Life
    supervisor: Supervisor


class Control:
    """The hands of the operator. `read` reads the settings anew, `drain` is the gateway's own."""

    def __init__(
        self,
        settings: Settings,
        parts: Parts,
        *,
        read: Callable[[], Settings],
        drain: Callable[[], None],
        wall: Callable[[], float],
    ) -> None:
        self.settings = settings
        """What applies."""
        self._parts = parts
        self._read = read
        self._drain = drain
        self._wall = wall
        self._reloading = asyncio.Lock()

    async def reload(self) -> Reloaded:
        """Read the settings anew, and take over what can change under calls: all of it, or nothing.

        Calls in progress keep the settings that they began with. Raises NotServingError, ConfigError, TlsError,
        WeightsError, ModelLoadError, ModelsBusyError; then nothing has changed.
        """
        self._check_serving()
        async with self._reloading:
            self._parts.supervisor.reloading()
            try:
                return await self._reload(await asyncio.to_thread(self._read))
            except Exception as error:  # of whatever kind: the log says that nothing has changed, and it goes on
                log.error("settings not taken over: nothing has changed", error=str(error))  # noqa: TRY400  for the operator
                raise
            finally:
                self._parts.supervisor.ready()

    async def load_models(self, **names: str) -> None:
        """Bring up other models and let them take over under calls in progress, until the next reload or restart.

        `names` are keys of the section `models`. Raises as `reload` does.
        """
        self._check_serving()
        async with self._reloading:
            models = msgspec.structs.replace(self.settings.models, **names)
            await self._reload(msgspec.structs.replace(self.settings, models=models), always=True)

    def drain(self) -> None:
        """Take no new calls; the gateway ends with the last one that is in progress."""
        if self._parts.life.stage is Stage.SERVING:
            self._drain()

    def set_level(self, level: Level) -> None:
        """Log more, or less, until the next reload or restart."""
        logging.getLogger().setLevel(level.upper())
        log.warning("the level of the log was changed", level=level)

    def end_call(self, name: str) -> str:
        """End a call by its id, or the peer's name for it or for one of its streams; give its id.

        Raises UnknownCallError and AmbiguousCallError.
        """
        session = self._parts.registry.find(name, None)
        session.end(StreamEnd.ADMIN)
        return session.call_id

    async def _reload(self, after: Settings, *, always: bool = False) -> Reloaded:
        parts, changing = self._parts, change(self.settings, after)
        settings = changing.settings
        # First all that may fail; none of it has changed anything yet.
        normal = (
            normalizer(settings)
            if settings.transcripts.normalizer != self.settings.transcripts.normalizer
            else parts.registry.means.normalizer
        )
        routes = Routes(settings)
        send_by_them = parts.deliveries.prepare(settings.delivery)
        pool = await parts.engines.load(settings.models) if changing.models or always else None
        if pool is not None and parts.life.stage is not Stage.SERVING:
            await pool.close()
        self._check_serving()
        # Then all that cannot, at one moment.
        means = msgspec.structs.replace(parts.registry.means, settings=settings, normalizer=normal)
        self.settings = settings
        parts.registry.adopt(means, routes)
        parts.scheduler.adjust(waiting_limits(settings.models), settings.interims)
        send_by_them()
        parts.interims.adopt(settings.delivery)
        parts.tokens.adopt(settings.http.tokens)
        logs.set_level(settings.log)
        if pool is not None:
            parts.engines.take_over(pool)
        parts.life.fingerprint, parts.life.reloaded_wall = fingerprint(settings), self._wall()
        return self._told(changing.taken, changing.left)

    def _told(self, taken: Sequence[str], left: Sequence[str]) -> Reloaded:
        told = Reloaded(taken=tuple(taken), restart=tuple(left), settings=self._parts.life.fingerprint)
        log.info("settings taken over", taken=list(taken), settings=told.settings)
        if left:
            log.warning("settings that differ and need a restart", restart=list(left))
        return told

    def _check_serving(self) -> None:
        if self._parts.life.stage is not Stage.SERVING:
            raise NotServingError(f"the gateway is {self._parts.life.stage}: try again when it serves")
