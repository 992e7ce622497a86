"""Any telephone rate to 16 kHz: a polyphase FIR, designed once per rate, its tail carried from block to block."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import signal

if TYPE_CHECKING:
    from numpy.typing import NDArray

OUTPUT_RATE_HZ = 16_000
BLOCK_MS = 20
BLOCKS_PER_SECOND = 1000 // BLOCK_MS

STOP_BAND_DB = 70.0
TRANSITION = 0.3
"""Width of the filter's slope, as a part of the lower rate's half: 3.4 to 4.6 kHz for 8 kHz telephony."""

_LOWEST, _HIGHEST = np.float32(-32768), np.float32(32767)


class Resampler:
    """Brings 20 ms blocks at one rate to 20 ms blocks at 16 kHz, as one continuous signal.

    The delay is half the filter: under 2 ms for 8 kHz. The rate must be a multiple of 50 Hz.

    Output sample `g*up + p` is the sum over `i` of `x[g*down + i] * h[p*down - i*up]`: one matrix, the same
    for every group `g` of `down` input samples, laid over a sliding view of the input (Crochiere and
    Rabiner, Multirate Digital Signal Processing, 3.3).
    """

    def __init__(self, rate_hz: int) -> None:
        matrix, tail, down = _design(rate_hz)
        block = rate_hz // BLOCKS_PER_SECOND
        self._matrix = matrix
        self._tail = tail
        self._input = np.zeros(tail + block, np.float32)
        step = self._input.itemsize
        self._windows = np.lib.stride_tricks.as_strided(
            self._input, (block // down, matrix.shape[0]), (down * step, step)
        )
        self._output = np.empty((block // down, matrix.shape[1]), np.float32)

    def push(self, block: bytes) -> bytes:
        """Resample one block of exactly 20 ms of 16-bit PCM."""
        self._input[: self._tail] = self._input[-self._tail :]
        self._input[self._tail :] = np.frombuffer(block, "<i2")
        np.matmul(self._windows, self._matrix, out=self._output)
        np.rint(self._output, out=self._output)
        np.maximum(self._output, _LOWEST, out=self._output)  # np.clip takes almost twice as long for so few samples
        np.minimum(self._output, _HIGHEST, out=self._output)
        return self._output.astype("<i2").tobytes()


@cache
def _design(rate_hz: int) -> tuple[NDArray[np.float32], int, int]:
    """Design the filter of one rate: its matrix, how many old samples it needs, and its group of input samples."""
    if rate_hz % BLOCKS_PER_SECOND:
        raise ValueError(f"Expected a rate in whole samples per {BLOCK_MS} ms, got {rate_hz} Hz")
    ratio = Fraction(OUTPUT_RATE_HZ, rate_hz)
    up, down = ratio.numerator, ratio.denominator
    cutoff_hz = min(rate_hz, OUTPUT_RATE_HZ) / 2
    filter_rate_hz = rate_hz * up
    taps, beta = signal.kaiserord(STOP_BAND_DB, TRANSITION * cutoff_hz / (filter_rate_hz / 2))
    impulse = up * signal.firwin(taps, cutoff_hz, window=("kaiser", beta), fs=filter_rate_hz)
    tail = -(-(taps - 1) // up)
    offset = np.arange(up)[None, :] * down - np.arange(-tail, down)[:, None] * up
    inside = (offset >= 0) & (offset < taps)
    matrix = np.where(inside, impulse[np.clip(offset, 0, taps - 1)], 0.0)
    return np.ascontiguousarray(matrix, np.float32), tail, down
