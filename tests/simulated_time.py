"""An event loop whose time passes when nobody has anything to do: hours of calls in a second, the same every time."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class _Impatient(selectors.DefaultSelector):
    """Waits for nobody: moves the clock to where the loop would have waited."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if timeout is None and not ready:
            raise RuntimeError("nothing will ever happen any more")
        if not ready:
            self.now += timeout or 0.0
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._simulated = _Impatient()
        super().__init__(self._simulated)

    def time(self) -> float:
        return self._simulated.now


def run_simulated(work: Coroutine[Any, Any, T]) -> T:
    """Run to its end what waits for nothing but time, on a loop that lets it pass at once.

    Raises RuntimeError where everybody waits for ever.
    """
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(work)
