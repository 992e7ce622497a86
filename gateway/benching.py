"""How fast this machine decodes: the demonstration's prompts, alone and together, as the gateway would."""

from __future__ import annotations

import asyncio
from itertools import count, cycle, islice
from typing import TYPE_CHECKING

import msgspec

from adapters.media.track import MediaTrack
from adapters.stream import AudioFormat, AudioFrame, Encoding
from asr.scheduler import Scheduler
from asr.types import DecodeKind, DecodeOptions, DecodeRequest, ModelError
from gateway.capacity import Outcome, Round, Utterance, outcome
from gateway.demo import script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from asr.types import Engine, Hypothesis


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is decoded, and how."""

    utterances: tuple[Utterance, ...]
    language: str | None
    options: DecodeOptions
    seconds: float
    """For all sizes of batches together; each is tried once, however long that takes."""


def utterances() -> tuple[Utterance, ...]:
    """Cut the demonstration's calls into what is said in them."""
    return tuple(
        Utterance(text=prompt.text, audio=_at_16_khz(call.pcm[_byte(prompt.start_ms) : _byte(prompt.end_ms)]))
        for call in script.scripts()
        for prompt in call.prompts
    )


async def measure(
    engine: Engine,
    sizes: Sequence[int],
    plan: Plan,
    *,
    clock: Callable[[], float],
    on_round: Callable[[int, float], None],
) -> list[Outcome]:
    """Decode so many at a time as each size says, until the plan's seconds are over.

    The sizes take turns, lest what else the machine does be held against one of them. `on_round` hears which
    size is next, and how many seconds are gone. Raises ModelError when the model fails.
    """
    scheduler = Scheduler(engine, clock=clock)
    rounds: dict[int, list[Round]] = {size: [] for size in sizes}
    turns = {size: cycle(plan.utterances) for size in sizes}
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(scheduler.run())
            try:
                begin = clock()
                for size in cycle(sizes):
                    gone = clock() - begin
                    if gone >= plan.seconds and all(rounds.values()):
                        break
                    on_round(size, gone)
                    rounds[size].append(await _decode(scheduler, list(islice(turns[size], size)), plan, clock))
            finally:
                scheduler.close()
    except* ModelError as errors:
        raise errors.exceptions[0] from None
    return [outcome(size, rounds[size], len(plan.utterances)) for size in sizes]


async def _decode(scheduler: Scheduler, said: Sequence[Utterance], plan: Plan, clock: Callable[[], float]) -> Round:
    begin = clock()
    futures = [scheduler.submit(request) for request in _requests(said, plan)]
    heard: list[Hypothesis] = await asyncio.gather(*futures)
    return Round(seconds=clock() - begin, said=tuple(said), heard=tuple(each.text for each in heard))


def _requests(said: Sequence[Utterance], plan: Plan) -> Iterator[DecodeRequest]:
    """Ask for a final of each, as if each were of a call of its own."""
    for each, number in zip(said, count()):
        yield DecodeRequest(
            request_id=str(number),
            stream_key=str(number),
            group_key=str(number),
            kind=DecodeKind.FINAL,
            audio=each.audio,
            origin_sample=0,
            language=plan.language,
            options=plan.options,
        )


def _at_16_khz(pcm: bytes) -> bytes:
    track = MediaTrack(0.0)
    frame = AudioFrame("prompt", AudioFormat(Encoding.L16, 8_000), pcm)
    return b"".join([*track.push(frame, 0.0), *track.finish()])


def _byte(milliseconds: int) -> int:
    return milliseconds * script.BYTES_PER_MS
