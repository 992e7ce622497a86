"""A request on its way through the scheduler, and how it fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asr.types import DecodeKind, Hypothesis, ModelError, ModelErrorCode

if TYPE_CHECKING:
    from asr.policy import Waiting
    from asr.types import DecodeRequest

_MESSAGES = {
    ModelErrorCode.OVERLOADED: "more audio waits to be decoded than the limit allows",
    ModelErrorCode.DEADLINE: "it was not decoded in time",
    ModelErrorCode.CLOSED: "the gateway shut down before it was decoded",
}


class Job:
    """A request on its way."""

    def __init__(self, entry: Waiting) -> None:
        self.entry = entry
        self.future: asyncio.Future[Hypothesis] = asyncio.get_running_loop().create_future()
        self.alarm: asyncio.TimerHandle | None = None

    @property
    def request(self) -> DecodeRequest:
        """What is asked for."""
        return self.entry.request

    @property
    def is_worth_another_try(self) -> bool:
        """Whether it is decoded again when it was lost: once; no interim, which may have brought the process down."""
        return not self.entry.lost and self.request.kind is not DecodeKind.INTERIM

    def fail(self, code: ModelErrorCode, message: str | None = None) -> None:
        """Come to an end without a hypothesis, unless there is one."""
        if not self.future.done():
            self.future.set_exception(ModelError(code, message or _MESSAGES[code]))
