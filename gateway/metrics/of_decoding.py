"""Metrics of the models: what waits for them, and what they have done."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeVar

from asr.tally import JOB_PHASES, Phase
from asr.types import DecodeKind
from gateway.metrics.families import counters, gauge, gauges, histograms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from asr.histogram import Histogram
    from asr.tally import Done
    from gateway.metrics.sources import Live, Loaded, Queue

T = TypeVar("T")


def of_queue(queue: Queue, now: float) -> Iterator[Metric]:
    """Tell what waits."""
    yield gauges("stt_queue_depth", "Requests that wait for the models.", "queue_type", queue.backlog.waiting)
    yield gauge("stt_backpressure_level", "0: normal, 1: interims come less often, 2: none come.", queue.level)
    yield gauge(
        "linescribe_final_wait_seconds",
        "How long a final that came now would wait for its turn.",
        queue.predicted_wait(now),
    )
    yield gauges("linescribe_waiting_audio_seconds", "Audio that waits for them.", "place", queue.backlog.places)


def of_decoding(queue: Queue, live: Live) -> Iterator[Metric]:
    """Tell what was done."""
    done, name = queue.done, "job_type"

    def by_kind(of: Callable[[Done], T]) -> dict[DecodeKind, T]:
        return {kind: of(each) for kind, each in done.items()}

    statuses = {(kind, status): count for kind, each in done.items() for status, count in each.statuses.items()}
    yield counters("stt_jobs_processed", "Requests that have come to an end.", "job_type status", statuses)
    decodes = by_kind(lambda each: each.phases[Phase.INFERENCE])
    yield histograms("stt_decode_duration_seconds", "How long the models had a request.", name, decodes)
    yield histograms("linescribe_phase_seconds", "What a request goes through.", "job_type phase", _phases(done, live))
    sizes, windows = by_kind(lambda each: each.batches), by_kind(lambda each: each.windows)
    yield histograms("linescribe_batch_size", "Requests decoded together.", name, sizes)
    yield histograms("linescribe_window_seconds", "The window that is looked at first.", name, windows)
    retries = by_kind(lambda each: float(each.retries))
    yield counters("linescribe_retries", "Texts that were looked at again.", name, retries)
    audio, busy = by_kind(lambda each: each.audio_seconds), by_kind(lambda each: each.seconds)
    yield counters("linescribe_decoded_audio_seconds", "Audio that was decoded.", name, audio)
    yield counters("linescribe_decode_busy_seconds", "That lanes of the models were at it.", name, busy)
    factors = {kind: each for kind, each in by_kind(lambda each: each.real_time_factor).items() if each is not None}
    yield gauges("linescribe_real_time_factor", "Seconds of a lane for a second of audio, so far.", name, factors)


def of_models(loaded: Loaded) -> Iterator[Metric]:
    """Tell of the models themselves."""
    models = Counter(
        (model.name, role, model.device, model.compute_type) for model in loaded.models for role in model.roles
    )
    yield gauges("linescribe_models", "Models that are loaded.", "model role device compute_type", models)
    yield gauge("linescribe_model_processes", "Model processes that are there.", len(loaded.pids))


def _phases(done: Mapping[DecodeKind, Done], live: Live) -> dict[tuple[str, str], Histogram]:
    jobs = {(str(kind), str(phase)): each.phases[phase] for kind, each in done.items() for phase in JOB_PHASES}
    return jobs | {(str(DecodeKind.FINAL), str(phase)): each for phase, each in live.tallies.phases.items()}
