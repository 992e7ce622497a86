"""The operator's API (docs/operations.md): `/admin/...`, on its own port of this machine and on the control socket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import structlog
from aiohttp import hdrs, web

from adapters.tls import TlsError
from asr.types import ModelLoadError
from asr.weights import WeightsError
from config.errors import ConfigError
from config.types import ComputeType  # noqa: TC001  at run time: msgspec resolves the annotations below
from gateway.control import Level, NotServingError
from gateway.engines import ModelsBusyError
from gateway.finding import AmbiguousCallError, UnknownCallError
from gateway.http.bodies import json_answer, read_body
from gateway.http.errors import ApiError
from gateway.model_names import ModelNames, ModelNotAllowedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.control import Control
    from gateway.jobs import Jobs
    from gateway.status import Reporter

log = structlog.get_logger()

ModelName = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]

FAULTS = {
    ConfigError: (422, "invalid_settings"),
    TlsError: (422, "invalid_settings"),
    WeightsError: (422, "no_weights"),
    ModelLoadError: (422, "not_loaded"),
    ModelNotAllowedError: (403, "not_allowed"),
    ModelsBusyError: (409, "busy"),
    NotServingError: (409, "not_serving"),
    UnknownCallError: (404, "unknown_call"),
    AmbiguousCallError: (409, "ambiguous"),
}
"""What an operator may be told of."""


class LoadModels(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /admin/models/load; what is None stays as it is."""

    interim: ModelName | None = None
    final: ModelName | None = None
    compute_type: ComputeType | None = None


class UnloadModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /admin/models/unload."""

    model: ModelName


class SetLevel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /admin/loglevel."""

    level: Level


class AdminApi:
    """The handlers. Whoever comes here may do all of it: the port and the socket see to that.

    What takes long is done in `jobs`, and goes on though its client is gone.
    """

    def __init__(self, control: Control, names: ModelNames, reporter: Reporter, jobs: Jobs) -> None:
        self._control = control
        self._names = names
        self._reporter = reporter
        self._jobs = jobs

    def routes(self) -> list[web.RouteDef]:
        """List what is served."""
        return [
            web.post("/admin/reload", self._told(self._reload)),
            web.post("/admin/drain", self._told(self._drain)),
            web.post("/admin/loglevel", self._told(self._set_level)),
            web.post("/admin/calls/{name}/end", self._told(self._end_call)),
            web.get("/admin/models", self._told(self._list_models)),
            web.post("/admin/models/load", self._told(self._load)),
            web.post("/admin/models/unload", self._told(self._unload)),
            web.get("/admin/status", self._told(self._status)),
            web.get("/admin/list_models", self._told(self._list_models)),
            web.post("/admin/load_model", self._told(self._load)),
            web.post("/admin/unload_model", self._told(self._unload)),
        ]

    @staticmethod
    def _told(
        handler: Callable[[web.Request], Awaitable[web.Response]],
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Answer with what went wrong, in words."""

        async def handle(request: web.Request) -> web.Response:
            try:
                return await handler(request)
            except tuple(FAULTS) as error:
                status, code = FAULTS[type(error)]
                raise ApiError(status, code, str(error)) from error

        return handle

    async def _reload(self, _request: web.Request) -> web.Response:
        return json_answer(await self._jobs.do("reload", self._control.reload()))

    async def _drain(self, _request: web.Request) -> web.Response:
        self._control.drain()
        return json_answer(self._reporter.status(), 202)

    async def _status(self, _request: web.Request) -> web.Response:
        return json_answer(self._reporter.status())

    async def _set_level(self, request: web.Request) -> web.Response:
        asked = await read_body(request, SetLevel)
        self._control.set_level(asked.level)
        return json_answer({"level": asked.level})

    async def _end_call(self, request: web.Request) -> web.Response:
        return json_answer({"call_id": self._control.end_call(request.match_info["name"])}, 202)

    async def _list_models(self, _request: web.Request) -> web.Response:
        return json_answer(self._models())

    async def _load(self, request: web.Request) -> web.Response:
        asked = await read_body(request, LoadModels)
        names = {name: value for name, value in msgspec.structs.asdict(asked).items() if value is not None}
        if not names:
            raise ApiError(400, "invalid", "expected a model: interim, final or both")
        self._names.check([names[role] for role in ("interim", "final") if role in names])
        return await self._change(names)

    async def _unload(self, request: web.Request) -> web.Response:
        """Free the model for interims; the one for finals then makes both."""
        asked = await read_body(request, UnloadModel)
        models = self._control.settings.models
        if asked.model not in {models.interim, models.final}:
            raise ApiError(404, "unknown_model", "no such model is loaded: see GET /admin/models")
        if asked.model == models.final:
            raise ApiError(409, "in_use", "it makes the finals: load another one in its place")
        return await self._change({"interim": models.final})

    async def _change(self, names: dict[str, str]) -> web.Response:
        """Begin to load; the answer does not wait for what can take minutes."""
        self._jobs.begin("load models", self._control.load_models(**names))
        await asyncio.sleep(0)  # it has begun, and the answer tells of it
        return json_answer(self._models(), 202, {hdrs.LOCATION: "/admin/models"})

    def _models(self) -> dict[str, Any]:
        decoding = self._reporter.status().decoding
        return {
            "models": decoding.models,
            "workers": decoding.workers,
            "loading": decoding.loading,
            "error": self._jobs.failures.get("load models"),
        }
