"""The model process: what it does, and the messages it and its parent exchange.

It ends by itself, at once, when the pipe does: its main thread does nothing but wait for the parent's next
word, so that neither loading nor decoding delays it, and a parent that is killed closes the pipe as well.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import threading
import traceback
from itertools import count, islice
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from asr.loading import explained, is_out_of_memory

# These, too, are needed at run time: msgspec resolves the annotations below.
from asr.types import BYTES_PER_MS, DecodeRequest, Hypothesis, ModelLoadError
from asr.weights import Weights  # noqa: TC001
from config.settings import LONGEST_DECODE_MS, Models

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from multiprocessing.connection import Connection

PLACE_BYTES = LONGEST_DECODE_MS * BYTES_PER_MS
"""The room of one request in its lane's shared memory; a batch lies in consecutive places."""

ERROR_CHARACTERS = 200

THREADING = {"OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
"""What the libraries are told when they are loaded, unless the operator has told them otherwise. Numpy's own threads
would spend more on waiting for one another than the features of an utterance cost. Those of the decoder wait by
spinning, and when something else wants the cores, for the very thread that they keep from running: for seconds."""

GIVE_WAY = 3
"""So much nicer are the threads of the interim model, where it has its own: while both want a core, finals have two
thirds of it."""

NO_MEMORY = 12
"""The exit status of a process that had no memory for a single utterance (errno's ENOMEM)."""


class Model(Protocol):
    """What a loader returns for (Weights, Models, workers), to be used by so many threads. It raises ModelLoadError."""

    name: str
    compute_type: str
    device: str

    def warm_up(self) -> None:
        """Make the next decode as fast as all later ones."""
        ...

    def decode(self, requests: Sequence[DecodeRequest]) -> Iterable[tuple[int, Hypothesis]]:
        """Decode a batch; give each answer as it is settled, with its place in the batch."""
        ...


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The first message to the process."""

    loader: str
    """`module:name` of what is called for each model."""
    settings: Models
    weights: tuple[Weights, ...]
    """One per model."""
    workers: tuple[int, ...]
    """How many lanes each model has; they are numbered through, model by model."""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Every further message to the process. The audio of the requests lies in the lane's shared memory."""

    number: int
    lane: int
    requests: tuple[DecodeRequest, ...]
    audio_bytes: tuple[int, ...]


class Loading(msgspec.Struct, frozen=True, tag=True):
    """A model is about to be loaded."""

    name: str


class Loaded(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A model is ready, with all of its lanes."""

    model: int
    name: str
    compute_type: str
    device: str


class LoadFailed(msgspec.Struct, frozen=True, tag=True):
    """A model cannot be loaded, and why."""

    message: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one request: one of the two."""

    hypothesis: Hypothesis | None = None
    error: str | None = None


class Answered(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """What became of a request of a batch."""

    number: int
    place: int
    answer: Answer


class Shrunk(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """There was no memory for a larger batch."""

    lane: int
    largest_batch: int


Report = Loading | Loaded | LoadFailed | Answered | Shrunk


def encode(message: Plan | Batch | Report) -> bytes:
    """Make bytes for the pipe."""
    return msgspec.msgpack.encode(message, enc_hook=str)


def _path(kind: type, value: Any) -> Any:
    return kind(value)


read_plan = msgspec.msgpack.Decoder(Plan, dec_hook=_path).decode
read_batch = msgspec.msgpack.Decoder(Batch).decode
read_report: Callable[[bytes], Report] = msgspec.msgpack.Decoder(Report).decode


def main(pipe: Connection, slots: Sequence[Any]) -> None:
    """Be the model process. `slots` holds each lane's shared memory. Does not return."""
    logging.disable()  # the libraries' own; some name what was said
    os.environ |= THREADING | os.environ
    try:
        plan = read_plan(pipe.recv_bytes())
        inboxes = [_Inbox() for _ in range(sum(plan.workers))]
        _start(_load, plan, inboxes, _Post(pipe))
        while True:
            batch = read_batch(pipe.recv_bytes())
            inboxes[batch.lane].put((batch.number, _with_audio(batch, slots[batch.lane])))
    except (EOFError, OSError):
        os._exit(0)  # the interpreter's own way out may stumble over threads inside a decode


class _Inbox(SimpleQueue[tuple[int, list[DecodeRequest]]]):
    """What one lane has yet to do."""


class _Post:
    """The way back, for any thread."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def send(self, report: Report) -> None:
        with self._lock, contextlib.suppress(OSError):  # the main thread sees the same end of the pipe
            self._pipe.send_bytes(encode(report))


def _start(work: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=_run, args=(work, *arguments), daemon=True).start()


def _run(work: Callable[..., None], *arguments: object) -> None:
    """Do a thread's work. Its failure ends the process: the parent mends a death, but not a lane gone silent."""
    try:
        work(*arguments)
    except BaseException:  # noqa: BLE001  whatever it is
        traceback.print_exc()
        os._exit(os.EX_SOFTWARE)


def _with_audio(batch: Batch, slot: Any) -> list[DecodeRequest]:
    """Copy the audio out, so that the slot is free again at once."""
    view = memoryview(slot).cast("B")
    return [
        msgspec.structs.replace(request, audio=bytes(view[at : at + size]))
        for request, size, at in zip(batch.requests, batch.audio_bytes, count(step=PLACE_BYTES), strict=False)
    ]


def _load(plan: Plan, inboxes: Sequence[_Inbox], post: _Post) -> None:
    """Load one model after the other, each with its lanes."""
    try:
        module, _, name = plan.loader.partition(":")
        loader = getattr(importlib.import_module(module), name)
        lanes = iter(enumerate(inboxes))
        for number, (weights, workers) in enumerate(zip(plan.weights, plan.workers, strict=True)):
            post.send(Loading(weights.name))
            if number:  # the interim model's; the decoder's threads and the lane's have the priority of who made them
                _give_way()
            model: Model = loader(weights, plan.settings, workers)
            _warm_up(model, weights, plan.settings)
            for lane, inbox in islice(lanes, workers):
                _start(_serve, lane, model, inbox, post)
            post.send(Loaded(model=number, name=model.name, compute_type=model.compute_type, device=model.device))
    except ModelLoadError as error:
        post.send(LoadFailed(str(error)))
    except Exception as error:  # noqa: BLE001  whatever keeps a model from loading is for the parent to tell
        post.send(LoadFailed(_describe(error)))


def _give_way() -> None:
    """Let this thread, and those that it makes, have the cores when others do not want them."""
    if sys.platform == "linux":  # elsewhere it would be the whole process
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + GIVE_WAY)


def _warm_up(model: Model, weights: Weights, settings: Models) -> None:
    """Decode for the first time, which is when a missing cuBLAS and most want of memory show."""
    try:
        model.warm_up()
    except Exception as error:
        raise ModelLoadError(explained(weights, settings, error)) from error


def _serve(lane: int, model: Model, inbox: _Inbox, post: _Post) -> None:
    def shrink(requests: int) -> None:
        """Remember that so many were too many; a single one has all the memory there is, in a new process."""
        if requests == 1:
            os._exit(NO_MEMORY)
        post.send(Shrunk(lane=lane, largest_batch=requests // 2))

    while True:
        number, requests = inbox.get()
        for place, answer in answers(model, dict(enumerate(requests)), shrink):
            post.send(Answered(number=number, place=place, answer=answer))


def answers(
    model: Model, requests: Mapping[int, DecodeRequest], shrink: Callable[[int], None]
) -> Iterator[tuple[int, Answer]]:
    """Decode requests; when that fails, decode those left in halves, so that a bad one takes nobody else with it.

    `shrink` hears how many there was no memory for.
    """
    left = dict(requests)
    try:
        places = list(requests)
        for number, hypothesis in model.decode(list(requests.values())):
            del left[places[number]]
            yield places[number], Answer(hypothesis=hypothesis)
    except Exception as error:  # noqa: BLE001  whatever the model raises is the answer
        if is_out_of_memory(error) and len(left) == len(requests):
            shrink(len(requests))
        if len(requests) == 1:
            yield from ((place, Answer(error=_describe(error))) for place in left)
            return
        again = list(left.items())
        middle = (len(again) + 1) // 2
        for half in (again[:middle], again[middle:]):
            if half:
                yield from answers(model, dict(half), shrink)


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS]
