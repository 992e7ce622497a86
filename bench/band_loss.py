"""Packets that get lost, and what can be made of the hole: silence, or what was heard before it, fading. Pure."""

from __future__ import annotations

import audioop
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

RATE_HZ = 8_000
SHORTEST_PERIOD, LONGEST_PERIOD = 40, 120
"""Of a voice, in samples: 200 Hz down to 66 Hz; ITU-T G.711 appendix I searches the same."""

COMPARED = 160
"""So many samples are held against those one period before them."""

FULL_SAMPLES = 80
"""So long a hole is filled at full loudness (10 ms) ..."""

FADED_SAMPLES = 480
"""... and after so long (60 ms) there is silence."""

HISTORY_SAMPLES = LONGEST_PERIOD + COMPARED


def lose(count: int, rate: float, burst: int, random: np.random.Generator) -> list[bool]:
    """Choose which of so many packets get lost: `rate` of them on average, always `burst` at once."""
    lost: list[bool] = []
    begins = rate / (burst - (burst - 1) * rate)  # so that bursts hold that part of all packets
    while len(lost) < count:
        lost += [True] * burst if random.random() < begins else [False]
    return lost[:count]


def conceal(packets: Sequence[bytes | None]) -> list[bytes]:
    """Fill each hole with the last pitch period before it, over and over, fading; packets of mu-law in and out."""
    heard = np.zeros(HISTORY_SAMPLES, np.float64)
    filled, hole = [], 0
    size = max((len(packet) for packet in packets if packet), default=0)
    for packet in packets:
        if packet is None:
            if hole == 0:
                period = heard[-_period(heard) :]
            payload = _mu_law(_continued(period, hole, size))
            hole += size
        else:
            payload, hole = packet, 0
            samples = np.frombuffer(audioop.ulaw2lin(packet, 2), "<i2").astype(np.float64)
            heard = np.concatenate([heard, samples])[-HISTORY_SAMPLES:]
        filled.append(payload)
    return filled


def _period(heard: NDArray[np.float64]) -> int:
    """Find after how many samples the voice repeats itself."""
    last = heard[-COMPARED:]

    def likeness(period: int) -> float:
        before = heard[-COMPARED - period : -period]
        return float(last @ before / np.sqrt(before @ before + 1.0))

    return max(range(SHORTEST_PERIOD, LONGEST_PERIOD + 1), key=likeness)


def _continued(period: NDArray[np.float64], since: int, count: int) -> NDArray[np.float64]:
    """Go on with a period for so many samples, of which the first is so far into the hole."""
    place = np.arange(since, since + count)
    loudness = np.clip((FADED_SAMPLES - place) / (FADED_SAMPLES - FULL_SAMPLES), 0.0, 1.0)
    return np.asarray(period[place % len(period)] * loudness)


def _mu_law(samples: NDArray[np.float64]) -> bytes:
    return audioop.lin2ulaw(np.rint(samples).astype("<i2").tobytes(), 2)
