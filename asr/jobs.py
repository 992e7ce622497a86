"""A request on its way through the scheduler, and how it fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from asr.tally import CANCELLED, SUCCESS
from asr.types import DecodeKind, Hypothesis, ModelError, ModelErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from asr.policy import Waiting
    from asr.spool import Slip
    from asr.tally import Tally
    from asr.types import DecodeRequest

_MESSAGES = {
    ModelErrorCode.OVERLOADED: "more audio waits to be decoded than the limits allow",
    ModelErrorCode.DEADLINE: "it was not decoded in time",
    ModelErrorCode.CLOSED: "the gateway shut down before it was decoded",
}


class Job:
    """A request on its way."""

    def __init__(self, entry: Waiting) -> None:
        self.entry = entry
        self.future: asyncio.Future[Hypothesis] = asyncio.get_running_loop().create_future()
        self._alarm: asyncio.TimerHandle | None = None
        self.slip: Slip | None = None
        """Where its audio lies, if not in memory alone."""
        self.taken_at = entry.since
        """When a lane took it last, ..."""
        self.window = 0.0
        """... and in what window it is looked at there first, in seconds."""

    @property
    def request(self) -> DecodeRequest:
        """What is asked for."""
        return self.entry.request

    def give_audio(self, audio: bytes) -> None:
        """Hold other audio than before: none, while it lies on disk."""
        self.entry = msgspec.structs.replace(
            self.entry, request=msgspec.structs.replace(self.entry.request, audio=audio)
        )

    @property
    def is_worth_another_try(self) -> bool:
        """Whether it is decoded again when it was lost: once; no interim, which may have brought the process down."""
        return not self.entry.lost and self.request.kind is not DecodeKind.INTERIM

    def set_alarm(self, clock: Callable[[], float], on_late: Callable[[Job], None]) -> None:
        """Fail when the deadline passes, not only when a lane comes to it; `on_late` hears of it before that."""
        if self.request.deadline is not None:
            delay = max(0.0, self.request.deadline - clock())
            self._alarm = asyncio.get_running_loop().call_later(delay, self._ring, clock, on_late)

    def silence(self) -> None:
        """Have no alarm any more."""
        if self._alarm:
            self._alarm.cancel()
            self._alarm = None

    def _ring(self, clock: Callable[[], float], on_late: Callable[[Job], None]) -> None:
        if self.entry.is_late(clock()):
            on_late(self)
            self.fail(ModelErrorCode.DEADLINE)
        else:  # the loop's clock runs a little ahead of ours
            self.set_alarm(clock, on_late)

    def refuse(self) -> None:
        """Come to an end because there is no room: an interim is dropped, and all else is told so."""
        if self.request.kind is DecodeKind.INTERIM:
            self.future.cancel()
        else:
            self.fail(ModelErrorCode.OVERLOADED)

    def answer(self, hypothesis: Hypothesis, now: float, tally: Tally) -> None:
        """Come to an end with a hypothesis, and have the way there counted."""
        tally.answer(
            self.request.kind,
            audio_ms=self.entry.audio_ms,
            window=self.window,
            queue=self.taken_at - self.entry.since,
            inference=now - self.taken_at,
        )
        self.future.set_result(hypothesis)

    @property
    def status(self) -> str:
        """How it ended: one of `asr.tally.STATUSES`."""
        if self.future.cancelled():
            return CANCELLED
        error = self.future.exception()
        if error is None:
            return SUCCESS
        return error.code if isinstance(error, ModelError) else ModelErrorCode.FAILED

    def fail(self, code: ModelErrorCode, message: str | None = None) -> None:
        """Come to an end without a hypothesis, unless there is one."""
        if not self.future.done():
            self.future.set_exception(ModelError(code, message or _MESSAGES[code]))
