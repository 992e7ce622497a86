"""What a telephone line carries when nobody speaks, made from numbers: tones, noise, silence. Pure.

All are 8 kHz samples on the scale of 16 bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
from scipy import signal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    Samples = npt.NDArray[np.float64]

RATE_HZ = 8_000
LOUD = 4_000.0
"""A tone at this amplitude is 18 dB below the loudest."""

ROWS_HZ, COLUMNS_HZ = (697, 770, 852, 941), (1209, 1336, 1477)
KEYS = "123456789*0#"
"""Of a telephone, row by row (ITU-T Q.23)."""

FSK_HZ = (1300, 2100)
"""ITU-T V.23."""


class Clip(msgspec.Struct, frozen=True, eq=False):
    """Something that is not speech."""

    name: str
    samples: Samples


def noises(seconds: float) -> Iterator[Clip]:
    """Make one clip of each kind, of about so many seconds."""
    rng = np.random.default_rng(20)
    for name, cadence in CADENCES.items():
        yield Clip(name, _repeated(cadence, seconds))
    yield Clip("keys pressed", _repeated(list(_keys()), seconds))
    yield Clip("beeps", _repeated(list(_beeps()), seconds))
    yield Clip("modem", _modem(rng, seconds))
    yield Clip("mains hum", _hum(seconds))
    for name, rms in (("faint", 10), ("comfort", 40), ("loud", 400), ("very loud", 3000)):
        yield Clip(f"white noise, {name}", rng.normal(0, rms, _count(seconds)))
        yield Clip(f"pink noise, {name}", pink(rng, seconds) * rms)
    yield Clip("crackle", _crackle(rng, seconds))
    yield Clip("breath and knocks", _bursts(rng, seconds))
    yield Clip("surf", pink(rng, seconds) * 2000 * (1.2 + np.sin(2 * np.pi * 0.4 * _times(seconds))) / 2.2)
    yield Clip("silence", np.zeros(_count(seconds)))


def tone(frequencies_hz: Sequence[float], seconds: float, amplitude: float = LOUD) -> Samples:
    """Sound some frequencies at once."""
    times = _times(seconds)
    together = [np.sin(2 * np.pi * frequency * times) for frequency in frequencies_hz]
    return np.sum(together, axis=0) * amplitude / max(1, len(together)) if together else np.zeros(len(times))


def pink(rng: np.random.Generator, seconds: float) -> Samples:
    """Make noise whose power falls with its frequency, of RMS 1."""
    spectrum = np.fft.rfft(rng.normal(0, 1, _count(seconds)))
    made: Samples = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)), _count(seconds))
    return made / float(made.std())


def resampled(samples: Samples, speed: float) -> Samples:
    """Play faster or slower, and so higher or lower."""
    return np.asarray(signal.resample_poly(samples, 100, round(100 * speed)), np.float64)


CADENCES: dict[str, Sequence[tuple[tuple[float, ...], float]]] = {
    "ringback, US": (((440, 480), 2.0), ((), 4.0)),
    "ringback, UK": (((400, 450), 0.4), ((), 0.2), ((400, 450), 0.4), ((), 2.0)),
    "ringback, Europe": (((425,), 1.0), ((), 4.0)),
    "busy, US": (((480, 620), 0.5), ((), 0.5)),
    "busy, Europe": (((425,), 0.5), ((), 0.5)),
    "congestion": (((480, 620), 0.25), ((), 0.25)),
    "dial tone": (((350, 440), 8.0), ((), 2.0)),
    "number unobtainable": (((950,), 0.33), ((1400,), 0.33), ((1800,), 0.33), ((), 1.0)),
    "call waiting": (((440,), 0.3), ((), 10.0)),
    "fax calling": (((1100,), 0.5), ((), 3.0)),
    "fax answering": (((2100,), 3.3), ((), 2.0)),
}
"""What exchanges and fax machines sound (ITU-T E.180, T.30): frequencies in Hz, and for how many seconds."""


def _count(seconds: float) -> int:
    return round(seconds * RATE_HZ)


def _times(seconds: float) -> Samples:
    return np.arange(_count(seconds)) / RATE_HZ


def _repeated(parts: Sequence[tuple[tuple[float, ...], float]], seconds: float) -> Samples:
    once = np.concatenate([tone(frequencies_hz, length) for frequencies_hz, length in parts])
    return np.resize(once, _count(seconds))


def _keys() -> Iterator[tuple[tuple[float, ...], float]]:
    """Press each key for as long as people and machines do."""
    for held, between in ((0.08, 0.08), (0.1, 0.3), (0.25, 0.5), (1.0, 0.8)):
        for number in range(len(KEYS)):
            yield (ROWS_HZ[number // 3], COLUMNS_HZ[number % 3]), held
            yield (), between


def _beeps() -> Iterator[tuple[tuple[float, ...], float]]:
    for frequency_hz in (400, 440, 800, 1000, 1400, 2000):
        for held in (0.2, 0.4, 0.8):
            yield (frequency_hz,), held
            yield (), 1.5


def _modem(rng: np.random.Generator, seconds: float) -> Samples:
    """Send bits by two frequencies, 1,200 a second."""
    bits = np.repeat(rng.integers(0, 2, _count(seconds) // 6 + 6), 20)[::3][: _count(seconds)]
    hz = np.where(bits, FSK_HZ[0], FSK_HZ[1])
    return np.asarray(LOUD * np.sin(2 * np.pi * np.cumsum(hz) / RATE_HZ))


def _hum(seconds: float) -> Samples:
    """Let the mains be heard, with its harmonics, of which a telephone carries those above 200 Hz or so."""
    times = _times(seconds)
    harmonics: Samples = np.array([LOUD / n * np.sin(2 * np.pi * 60 * n * times) for n in range(2, 20)])
    return np.asarray(harmonics.sum(axis=0), np.float64)


def _crackle(rng: np.random.Generator, seconds: float) -> Samples:
    hits = np.where(rng.random(_count(seconds)) < 0.005, rng.normal(0, LOUD, _count(seconds)), 0)  # noqa: PLR2004
    made: Samples = signal.lfilter([1], [1, -0.8], hits)
    return made


def _bursts(rng: np.random.Generator, seconds: float) -> Samples:
    """Let noise begin and end, short and long, loud and not."""
    made = np.zeros(_count(seconds))
    at = 0.0
    while at + 3 < seconds:
        length, rms = rng.choice((0.05, 0.1, 0.2, 0.4, 0.8, 1.5)), rng.choice((100, 500, 2000, 6000))
        burst = pink(rng, length) if rng.random() < 0.5 else rng.normal(0, 1, _count(length))  # noqa: PLR2004
        made[_count(at) :][: len(burst)] = burst * rms * signal.windows.tukey(len(burst), 0.3)
        at += length + 1
    return made
