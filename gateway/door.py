"""The door that new calls come in by: closed while finals have to wait for too long. Who is turned away is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from adapters.stream import Refusal, RefusalReason
from asr.types import ModelRole
from gateway.admission import Admission
from gateway.bearing import Bearing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asr.types import Decoder
    from config.settings import Calls

log = structlog.get_logger()


class Door:
    """Acts on `Admission`, and tells of it. `tick` is to be called every 100 ms or so."""

    def __init__(self, limits: Calls, decoder: Decoder) -> None:
        self._limit_seconds = limits.final_wait_seconds
        self._decoder = decoder
        self._admission = Admission(limits.final_wait_seconds, limits.final_wait_patience_seconds)
        self._bearing = Bearing()
        self._refused = dict.fromkeys(RefusalReason, 0)

    def adopt(self, limits: Calls) -> None:
        """Go by other limits from here on."""
        self._limit_seconds = limits.final_wait_seconds
        self._admission.adopt(limits.final_wait_seconds, limits.final_wait_patience_seconds)

    @property
    def open(self) -> bool:
        """Whether finals are in time, so that a new call may come in."""
        return self._admission.open

    @property
    def capacity(self) -> int | None:
        """So many calls at a time are what the machine bears, as far as is known."""
        return self._bearing.calls

    @property
    def refused(self) -> Mapping[RefusalReason, int]:
        """How often each reason was given."""
        return self._refused

    def refusal(self, reason: RefusalReason) -> Refusal:
        """Count a refusal, and give it to be raised."""
        self._refused[reason] += 1
        return Refusal(reason)

    def tick(self, now: float, calls: int) -> None:
        """Look at how the decoder keeps up with so many calls of which something is to be heard.

        Those that are over and have finals waiting are not among them: they would make a late decoder look quick.
        """
        self._bearing.update(now, calls, self._decoder.effort(ModelRole.FINAL))
        _ = self._decoder.level  # it eases as time passes, not only when a call asks for it
        wait_seconds = self._decoder.predicted_wait(now)
        if self._admission.update(now, wait_seconds):
            self._tell(wait_seconds, calls)

    def _tell(self, wait_seconds: float, calls: int) -> None:
        note, event = (
            (log.info, "finals are in time again: new calls are let in")
            if self.open
            else (log.warning, "finals would have to wait too long: new calls are refused (calls.final_wait_seconds)")
        )
        note(
            event,
            wait_seconds=round(wait_seconds, 3),
            limit_seconds=self._limit_seconds,
            calls=calls,
            capacity_calls=self.capacity,
        )
