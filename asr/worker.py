"""The model process, seen from the gateway: started, fed, restarted when it dies, ended.

Everything here happens on the event loop's thread, in callbacks of the pipe, and nothing waits there: the
one blocking step, reaping a process, is done in an executor. One life of the process is `worker_link.py`'s,
its inside `worker_process.py`'s.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, assert_never

import msgspec
import structlog

from asr.loading import workers
from asr.types import ModelError, ModelErrorCode, ModelLoadError, ModelRole, ignore_answer
from asr.worker_batch import Lane, LoadedModel, Reply
from asr.worker_link import Child
from asr.worker_process import NO_MEMORY, Answered, Batch, Loaded, LoadFailed, Loading, Plan, Report, Shrunk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asr.types import DecodeRequest, Hypothesis, OnAnswer
    from asr.weights import Weights
    from config.settings import Models

log = structlog.get_logger()

LOADER = "asr.transcriber:Transcriber"
RESTART_SECONDS = (0.0, 1.0, 5.0, 15.0, 30.0)
"""The waits before the process is started anew; the last repeats, a decode that succeeds begins over."""


def _ignore(_name: str) -> None:
    """Hear and forget."""


def _lanes(weights: Weights, roles: tuple[ModelRole, ...], settings: Models) -> list[Lane]:
    """Plan the lanes of a model."""
    return [Lane(weights, roles, settings) for _ in range(workers(weights, settings, finals=ModelRole.FINAL in roles))]


class ModelProcess:
    """An Engine: one operating-system process that holds the models, with one thread (a lane) or several for each.

    Roles whose weights lie in the same directory share a model and its lanes. When the process dies, what it
    was decoding fails with `model_crashed` and it is started anew; a decode that comes meanwhile waits.
    After `most_restarts` in a row it is given up, and decodes fail; None never gives up.
    `start` comes before the first `decode`, `close` at the end; all on one event loop.
    """

    def __init__(
        self,
        settings: Models,
        interim: Weights,
        final: Weights,
        *,
        loader: str = LOADER,
        restart_seconds: Sequence[float] = RESTART_SECONDS,
        most_restarts: int | None = None,
        close_seconds: float = 5.0,
    ) -> None:
        shared = interim.directory == final.directory
        self._of_model = [_lanes(final, (ModelRole.FINAL, *((ModelRole.INTERIM,) if shared else ())), settings)]
        if not shared:
            self._of_model.append(_lanes(interim, (ModelRole.INTERIM,), settings))
        self._lanes = [lane for lanes in self._of_model for lane in lanes]
        self._plan = Plan(
            loader=loader,
            settings=settings,
            weights=tuple(lanes[0].weights for lanes in self._of_model),
            workers=tuple(map(len, self._of_model)),
        )
        self._restart_seconds = restart_seconds
        self._most_restarts = most_restarts
        self._close_seconds = close_seconds
        self._limit_seconds = settings.decode_limit_seconds
        self._on_progress: Callable[[str], None] = _ignore
        self._child: Child | None = None
        self._up = asyncio.Event()
        """The models are loaded, or nothing more is to be waited for."""
        self._started: asyncio.Future[None] | None = None
        self._reaping: asyncio.Future[int | None] | None = None
        self._restart: asyncio.TimerHandle | None = None
        self._replies: dict[int, Reply] = {}
        self._numbers = count()
        self._failures = 0
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The process; None while there is none."""
        return self._child.pid if self._child else None

    @property
    def models(self) -> tuple[LoadedModel, ...]:
        """What is loaded, final first; empty before `start`."""
        return tuple(lanes[0].model for lanes in self._of_model if lanes[0].model)

    @property
    def size(self) -> int:
        """How many lanes there are."""
        return len(self._lanes)

    def lanes(self, role: ModelRole) -> tuple[int, ...]:
        """Tell which lanes serve a role."""
        return tuple(index for index, lane in enumerate(self._lanes) if role in lane.roles)

    def largest_batch(self, lane: int) -> int:
        """Tell how many requests a lane can decode together: fewer, once there was no memory for more."""
        return self._lanes[lane].largest_batch

    def window(self, lane: int, audio_ms: int) -> float:
        """Tell in what window a lane looks at so much audio, in seconds."""
        return self._lanes[lane].windows.first(audio_ms / 1000)

    async def ready(self, lane: int) -> None:  # noqa: ARG002  the models of a process are loaded together
        """Wait until the models are loaded, or nothing more is to be waited for."""
        await self._up.wait()

    async def start(self, on_progress: Callable[[str], None] = _ignore) -> None:
        """Load and warm up; `on_progress` hears the name of each model as its turn comes.

        Raises ModelLoadError, and leaves no process behind when it raises.
        """
        self._on_progress = on_progress
        self._started = asyncio.get_running_loop().create_future()
        try:
            self._spawn()
            await self._started
            self._on_progress = _ignore
        except BaseException:  # cancelled, too: no process may be left behind
            await self.close()
            raise

    async def decode(
        self, lane: int, batch: Sequence[DecodeRequest], on_answer: OnAnswer = ignore_answer
    ) -> list[Hypothesis | ModelError]:
        """Decode a batch; a request that fails gives ModelError in its place."""
        async with self._lanes[lane].free:
            while not self._up.is_set():
                await self._up.wait()
            if self._child is None:
                code = ModelErrorCode.CLOSED if self._closed else ModelErrorCode.CRASHED
                raise ModelError(code, "the model process is gone")
            reply = Reply(batch, on_answer)
            if reply.fitting:
                await self._ask(self._child, lane, reply)
        return [reply.answers[place] for place in range(len(batch))]

    async def close(self) -> None:
        """End the process: it is asked to, and killed when it does not come to it. Running decodes fail."""
        self._closed = True
        self._up.set()
        self._fail_replies(ModelErrorCode.CLOSED, "the model process was closed")
        if self._restart:
            self._restart.cancel()
        if self._child:
            self._reap(self._close_seconds)
        if self._reaping:
            await asyncio.shield(self._reaping)

    async def _ask(self, child: Child, lane: int, reply: Reply) -> None:
        number = next(self._numbers)
        self._lanes[lane].write(reply.fitting)
        self._replies[number] = reply
        try:
            child.send(
                Batch(
                    number=number,
                    lane=lane,
                    requests=tuple(msgspec.structs.replace(request, audio=b"") for request in reply.fitting),
                    audio_bytes=tuple(len(request.audio) for request in reply.fitting),
                )
            )
            _, late = await asyncio.wait({reply.whole}, timeout=self._limit_seconds)
            if late:
                log.error("model_process.overrun", pid=child.pid, limit_seconds=self._limit_seconds)
                child.kill()  # its death is then heard as any other
            await reply.whole
        finally:
            del self._replies[number]

    def _spawn(self) -> None:
        self._restart = None
        try:
            slots = [lane.slot for lane in self._lanes]
            self._child = Child(self._plan, slots, self._reported, self._died)
        except OSError as error:
            self._try_again(f"the model process cannot be started: {error}")
        else:
            log.info("model_process.started", pid=self._child.pid)

    def _reported(self, report: Report) -> None:
        match report:
            case Answered(number=number, place=place, answer=answer):
                self._failures = 0
                if reply := self._replies.get(number):
                    reply.take(place, answer)
            case Loading(name):
                self._on_progress(name)
            case Loaded():
                self._loaded(report)
            case LoadFailed(message):
                self._load_failed(message)
            case Shrunk(lane=lane, largest_batch=largest_batch):
                self._shrunk(lane, largest_batch)
            case _:
                assert_never(report)

    def _loaded(self, report: Loaded) -> None:
        lanes = self._of_model[report.model]
        model = LoadedModel(
            name=report.name,
            roles=lanes[0].roles,
            compute_type=report.compute_type,
            device=report.device,
            source=lanes[0].weights.source,
        )
        for lane in lanes:
            lane.model = model
        log.info("model_process.loaded", pid=self.pid, workers=len(lanes), **msgspec.to_builtins(model))
        if report.model == len(self._of_model) - 1:  # they are loaded in their order
            self._up.set()
            if self._started and not self._started.done():
                self._started.set_result(None)

    def _shrunk(self, number: int, largest_batch: int) -> None:
        lane = self._lanes[number]
        if largest_batch < lane.largest_batch:
            lane.largest_batch = largest_batch
            log.warning("model_process.no_memory", pid=self.pid, model=lane.weights.name, largest_batch=largest_batch)

    def _load_failed(self, message: str) -> None:
        if self._started and not self._started.done():
            self._started.set_exception(ModelLoadError(message))
        else:
            log.error("model_process.load_failed", pid=self.pid, error=message)
            self._died()

    def _died(self) -> None:
        self._up.clear()
        self._fail_replies(ModelErrorCode.CRASHED, "the model process died")
        self._reap(0.0).add_done_callback(self._reaped)

    def _reap(self, grace_seconds: float) -> asyncio.Future[int | None]:
        child, self._child = self._child, None
        if child is None:
            raise RuntimeError("no process to reap")
        child.hang_up()
        self._reaping = asyncio.get_running_loop().run_in_executor(None, child.reap, grace_seconds)
        return self._reaping

    def _reaped(self, reaping: asyncio.Future[int | None]) -> None:
        if self._closed:
            return
        exit_code = reaping.result()
        why = "it had no memory for an utterance" if exit_code == NO_MEMORY else f"exit code {exit_code}"
        self._try_again(f"the model process died, {why}")

    def _try_again(self, reason: str) -> None:
        if self._started and not self._started.done():
            self._started.set_exception(ModelLoadError(f"{reason}; is there memory enough for the models?"))
            return
        if self._failures == self._most_restarts:
            log.error("model_process.given_up", reason=reason)
            self._up.set()  # there is nothing to wait for
            return
        delay = self._restart_seconds[min(self._failures, len(self._restart_seconds) - 1)]
        self._failures += 1
        log.error("model_process.restarting", reason=reason, in_seconds=delay)
        self._restart = asyncio.get_running_loop().call_later(delay, self._spawn)

    def _fail_replies(self, code: ModelErrorCode, message: str) -> None:
        for reply in self._replies.values():
            if not reply.whole.done():
                reply.whole.set_exception(ModelError(code, message))
