from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from adapters.wire.alike import Alike
from tests.sound import prompt

if TYPE_CHECKING:
    from numpy.typing import NDArray

CALLER = np.frombuffer(prompt("agent-pass") + prompt("vm-sorry"), "<i2")
AGENT = np.frombuffer(prompt("conf-invalid") + prompt("vm-whichbox"), "<i2")
SILENCE = np.zeros(len(CALLER), np.int16)


def pairs(left: NDArray[np.int16], right: NDArray[np.int16]) -> NDArray[np.int16]:
    length = min(len(left), len(right))
    return np.stack([left[:length], right[:length]], axis=1).reshape(-1)


def echo(loud: float) -> NDArray[np.int16]:
    return (AGENT[: len(CALLER)] + loud * CALLER[: len(AGENT)]).clip(-32768, 32767).astype(np.int16)


@pytest.mark.parametrize(
    ("samples", "same"),
    [
        (pairs(CALLER, CALLER), True),
        (pairs(CALLER, (CALLER * 0.3).astype(np.int16)), True),
        (np.repeat(CALLER, 2), True),  # one channel at 16 kHz that is taken for two at 8
        (pairs(CALLER, AGENT), False),
        (pairs(CALLER, SILENCE), False),
        (pairs(SILENCE, CALLER), False),
        (pairs(SILENCE, SILENCE), False),
        (pairs(CALLER, echo(0.5)), False),
        (pairs(CALLER, -CALLER), False),
    ],
)
def test_cases(samples: NDArray[np.int16], same: bool) -> None:
    alike = Alike(8_000)
    pieces = (samples[start : start + 320] for start in range(0, len(samples), 320))
    assert any([alike.push(piece) for piece in pieces if not alike.decided]) == same  # noqa: C419  all are pushed
    assert alike.decided == bool(np.any(samples))


def test_nothing_is_decided_before_enough_was_heard() -> None:
    alike = Alike(8_000)
    assert not alike.push(pairs(CALLER, CALLER)[: 2 * 8_000])
    assert not alike.decided
