"""Metrics of calls and of what came in on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.metrics.families import counter, counters, gauge, histograms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from gateway.metrics.sources import Entrance, Live


def of_calls(live: Live, entrance: Entrance) -> Iterator[Metric]:
    """Tell of calls, of who comes in, and of what came to be heard."""
    tallies = live.tallies
    yield gauge("stt_active_connections", "Streams that have not ended.", live.streams)
    yield gauge("linescribe_calls", "Calls in progress.", live.calls)
    yield gauge("linescribe_admitting", "1 when a new call would be let in, else 0.", live.admitting)
    yield counters("linescribe_calls_ended", "Calls that are over.", "reason", tallies.ended)
    yield counters("linescribe_refused", "Streams and announcements that were turned away.", "reason", entrance.refused)
    if entrance.capacity is not None:
        yield gauge("linescribe_capacity_calls", "Estimate of how many calls the machine bears.", entrance.capacity)
    yield from _of_audio(live)
    yield histograms("linescribe_event_loop_lag_seconds", "How late the timer of all calls is.", "", {(): tallies.lags})


def of_transcripts(live: Live) -> Iterator[Metric]:
    """Tell what calls came to, and how long that took."""
    tallies = live.tallies
    yield counters("linescribe_suppressed", "Utterances without words.", "reason", tallies.suppressed)
    yield counters("linescribe_failed", "Utterances that were not decoded.", "code", tallies.failed)
    yield counter("linescribe_interims_shed", "Interims that gave way.", tallies.interims_shed)
    yield histograms("linescribe_final_seconds", "From the last sound to the final.", "", {(): tallies.finals})
    yield histograms(
        "linescribe_first_interim_seconds",
        "From the first sound to the first interim.",
        "",
        {(): tallies.first_interims},
    )


def _of_audio(live: Live) -> Iterator[Metric]:
    heard = live.heard
    yield counter("linescribe_frames", "Frames that came in.", heard.frames)
    yield counter("linescribe_late_frames", "Frames that came too late, and were dropped.", heard.late_frames)
    yield counter("linescribe_audio_seconds", "Audio that came in.", heard.audio_ms / 1000)
    yield counter("linescribe_gap_seconds", "Holes in it that became silence.", heard.gap_ms / 1000)
    yield counter("linescribe_late_seconds", "Audio that came too late, and was dropped.", heard.late_ms / 1000)
