"""An event loop whose time passes when nobody has anything to do: hours of calls in a second, the same every time."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class _Impatient(selectors.DefaultSelector):
    """Waits for nobody, or for sockets a moment: moves the clock to where the loop would have waited."""

    def __init__(self, socket_seconds: float) -> None:
        super().__init__()
        self._socket_seconds = socket_seconds
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        waits = timeout is None or timeout > 0
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(self._socket_seconds if waits else 0)
        if timeout is None and not ready:
            raise RuntimeError("nothing will ever happen any more")
        if not ready:
            self.now += timeout or 0.0
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, socket_seconds: float) -> None:
        self._simulated = _Impatient(socket_seconds)
        super().__init__(self._simulated)

    def time(self) -> float:
        return self._simulated.now


def run_simulated(work: Coroutine[Any, Any, T], *, socket_seconds: float = 0.0) -> T:
    """Run to its end what waits for nothing but time, on a loop that lets it pass at once.

    Where sockets of this process speak to one another, what one has sent is with the other after `socket_seconds` of
    real time: time passes when nothing has come for so long. Raises RuntimeError where everybody waits for ever.
    """
    with asyncio.Runner(loop_factory=lambda: _Loop(socket_seconds)) as runner:
        return runner.run(work)
