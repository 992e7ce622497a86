"""What all calls came to, counted as it happens, for metrics and status pages. Pure; time is an argument."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

import msgspec

from adapters.stream import StreamEnd
from asr.histogram import SECONDS, Histogram
from asr.tally import Phase
from asr.types import ModelErrorCode, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from adapters.media.track import MediaTrack

LATENCIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""Seconds: what people feel lies in between."""

LAGS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)

RECENT_SECONDS = 300.0
MOST_RECENT = 5000
TIMEOUTS = frozenset({ModelErrorCode.DEADLINE})


class Heard(msgspec.Struct, kw_only=True):
    """What came in on tracks."""

    frames: int = 0
    late_frames: int = 0
    audio_ms: int = 0
    gap_ms: int = 0
    late_ms: int = 0

    def add(self, tracks: Iterable[MediaTrack]) -> None:
        """Add what came on some."""
        for track in tracks:
            self.frames += track.frames
            self.late_frames += track.late_frames
            self.audio_ms += track.audio_ms
            self.gap_ms += track.gap_ms
            self.late_ms += track.late_ms


class Quantiles(msgspec.Struct, frozen=True, kw_only=True):
    """How long something took."""

    count: int
    p50_ms: int | None
    p95_ms: int | None


class Ratios(msgspec.Struct, frozen=True, kw_only=True):
    """What became of utterances, of so many in the last five minutes; None without any."""

    count: int
    success: float | None
    timeout: float | None


class Recent:
    """Values of the last five minutes, each with its moment; of very many the newest."""

    def __init__(self) -> None:
        self._values: deque[tuple[float, float]] = deque(maxlen=MOST_RECENT)

    def add(self, now: float, value: float) -> None:
        """Note one."""
        self._values.append((now, value))

    def since(self, now: float) -> Sequence[float]:
        """Give those that are not too old, sorted."""
        while self._values and now - self._values[0][0] > RECENT_SECONDS:
            self._values.popleft()
        return sorted(value for _, value in self._values)

    def quantiles(self, now: float) -> Quantiles:
        """Sum them up, taken as seconds."""
        values = self.since(now)
        return Quantiles(count=len(values), p50_ms=_quantile_ms(values, 0.5), p95_ms=_quantile_ms(values, 0.95))


def _quantile_ms(values: Sequence[float], share: float) -> int | None:
    return round(values[min(int(len(values) * share), len(values) - 1)] * 1000) if values else None


class Tallies:
    """All of it, of one gateway."""

    def __init__(self) -> None:
        self.suppressed = dict.fromkeys(Reason, 0)
        """Utterances without words, by reason."""
        self.failed = dict.fromkeys(ModelErrorCode, 0)
        """Utterances that were not decoded, by code."""
        self.ended: Counter[StreamEnd] = Counter(dict.fromkeys(StreamEnd, 0))
        """Calls that are over, by reason."""
        self.heard = Heard()
        """What came in on the tracks of calls that are over."""
        self.interims_shed = 0
        self.finals = Histogram(LATENCIES)
        """Seconds from the last sound until the final was made."""
        self.first_interims = Histogram(LATENCIES)
        """Seconds from the first sound until something was shown."""
        self.phases = {phase: Histogram(SECONDS) for phase in (Phase.BUFFER, Phase.EMIT)}
        """Of finals."""
        self.lags = Histogram(LAGS)
        """By how many seconds the timer of all calls came late."""
        self._finals, self._first_interims, self._outcomes = Recent(), Recent(), Recent()

    def final(self, now: float, seconds: float) -> None:
        """Count a final, that many seconds after the last sound."""
        self.finals.add(seconds)
        self._finals.add(now, seconds)
        self._outcomes.add(now, 1.0)

    def first_interim(self, now: float, seconds: float) -> None:
        """Count what was shown of an utterance first, that many seconds after its beginning."""
        self.first_interims.add(seconds)
        self._first_interims.add(now, seconds)

    def suppress(self, now: float, reason: Reason) -> None:
        """Count an utterance without words; it was decoded all the same."""
        self.suppressed[reason] += 1
        self._outcomes.add(now, 1.0)

    def fail(self, now: float, code: ModelErrorCode) -> None:
        """Count an utterance that was not decoded."""
        self.failed[code] += 1
        self._outcomes.add(now, -1.0 if code in TIMEOUTS else 0.0)

    def recent_finals(self, now: float) -> Quantiles:
        """Tell of the delays of the last five minutes' finals."""
        return self._finals.quantiles(now)

    def recent_first_interims(self, now: float) -> Quantiles:
        """Tell of the delays of what was shown first."""
        return self._first_interims.quantiles(now)

    def ratios(self, now: float) -> Ratios:
        """Tell what became of the last five minutes' utterances."""
        values = self._outcomes.since(now)
        if not values:
            return Ratios(count=0, success=None, timeout=None)
        share = 1 / len(values)
        return Ratios(
            count=len(values),
            success=sum(value > 0 for value in values) * share,
            timeout=sum(value < 0 for value in values) * share,
        )
