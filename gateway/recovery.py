"""After a crash: every stored call gets its end, before new calls are admitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from adapters.stream import StreamEnd
from gateway.events import CallEnded, Source, StoredEvent, store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.delivery.outbox import Outbox, UnfinishedCall
    from gateway.delivery.recipients import Recipient

log = structlog.get_logger()


class _Started(msgspec.Struct):
    """What is read back of a stored `call.started`."""

    source: Source
    parameters: dict[str, str]


class _Body(msgspec.Struct):
    data: _Started


_decoder = msgspec.json.Decoder(_Body)


async def end_unfinished_calls(
    outbox: Outbox,
    publish: Callable[[StoredEvent, Sequence[Recipient]], Awaitable[None]],
    wall: Callable[[], float],
) -> int:
    """Publish `call.ended`, reason `gateway_restart`, for every stored call without one; tell how many.

    Each goes to whom its call's other events were for.
    """
    calls = await outbox.unfinished_calls()
    for call in calls:
        await publish(store(_ended(call), wall()), call.recipients)
        log.warning("call ended by a restart", call_id=call.call_id, events=call.last_sequence + 1)
    return len(calls)


def _ended(call: UnfinishedCall) -> CallEnded:
    started = _decoder.decode(call.started_body).data if call.started_body else None
    unknown: dict[str, Any] = {"duration_ms": None, "audio_ms": None, "gap_ms": None, "error": None}
    return CallEnded(
        call_id=call.call_id,
        sequence=call.last_sequence + 1,
        source=started.source if started else Source(kind="unknown", listener="unknown"),
        parameters=started.parameters if started else {},
        reason=StreamEnd.GATEWAY_RESTART,
        utterances=call.finals + call.failed,
        interims_shed=0,
        failed=call.failed,
        suppressed={},
        last_sequence=call.last_sequence + 1,
        **unknown,
    )
