"""What Prometheus reads (docs/metrics.md). Everything is looked up when it asks: nothing is counted for its sake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from adapters.stream import RefusalReason
    from asr.pressure import Level
    from asr.tally import Done
    from asr.types import DecodeKind, Reason
    from gateway.delivery.overview import Line, Overview


BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64)


class Live(Protocol):
    """What is in progress."""

    @property
    def calls(self) -> int:
        """Calls that have not been published to their end."""
        ...

    @property
    def streams(self) -> int:
        """Streams that have not ended."""
        ...

    @property
    def admitting(self) -> bool:
        """Whether a new call would be let in."""
        ...

    @property
    def suppressed(self) -> Mapping[Reason, int]:
        """Utterances without words, by reason; all of them are there."""
        ...


class Entrance(Protocol):
    """Who comes in."""

    @property
    def capacity(self) -> int | None:
        """So many calls at a time, as far as is known."""
        ...

    @property
    def refused(self) -> Mapping[RefusalReason, int]:
        """How often each reason was given; all of them are there."""
        ...


class Backlog(Protocol):
    """Where audio lies that waits."""

    @property
    def places(self) -> Mapping[str, float]:
        """Seconds of it by place; all places are there."""
        ...


class Queue(Protocol):
    """What waits for the models."""

    @property
    def waiting(self) -> Mapping[DecodeKind, int]:
        """Requests by kind; all of them are there."""
        ...

    @property
    def backlog(self) -> Backlog:
        """The same, and where its audio lies."""
        ...

    @property
    def level(self) -> Level:
        """How hard pressed the models are."""
        ...

    @property
    def done(self) -> Mapping[DecodeKind, Done]:
        """What was decoded, by kind; all of them are there."""
        ...

    def predicted_wait(self, now: float) -> float:
        """Tell for how many seconds a final that came now would wait."""
        ...


class Outgoing(Protocol):
    """What goes out to endpoints."""

    @property
    def writable(self) -> bool:
        """Whether events can be committed."""
        ...

    @property
    def accepting(self) -> int:
        """Events that wait in memory to be committed."""
        ...

    @property
    def overview(self) -> Overview:
        """The store as it was some seconds ago."""
        ...

    @property
    def lines(self) -> Mapping[str, Line]:
        """The same by endpoint; all of them are there."""
        ...

    @property
    def states(self) -> Mapping[str, int]:
        """How each fares."""
        ...

    @property
    def attempts(self) -> Mapping[tuple[str, str], int]:
        """Attempts by endpoint and outcome."""
        ...


class Metrics:
    """Makes a page of them, in Prometheus' text format or in OpenMetrics."""

    def __init__(
        self,
        live: Live,
        entrance: Entrance,
        queue: Queue,
        outgoing: Outgoing,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._live = live
        self._entrance = entrance
        self._queue = queue
        self._outgoing = outgoing
        self._clock = clock
        self._wall = wall
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def page(self, accept: str) -> tuple[bytes, str]:
        """Write the page in what a header Accept asks for; give it with its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def collect(self) -> Iterator[Metric]:
        """Give all metrics as they are now, as prometheus_client wants them."""
        yield from self._of_calls()
        yield from self._of_queue()
        yield from self._of_decoding()
        yield from self._of_store()
        yield from self._of_endpoints()

    def _of_calls(self) -> Iterator[Metric]:
        live, entrance = self._live, self._entrance
        yield GaugeMetricFamily("stt_active_connections", "Streams that have not ended.", live.streams)
        yield GaugeMetricFamily("linescribe_calls", "Calls in progress.", live.calls)
        yield GaugeMetricFamily("linescribe_admitting", "1 when a new call would be let in, else 0.", live.admitting)
        refused = CounterMetricFamily(
            "linescribe_refused", "Streams and announcements that were turned away.", labels=["reason"]
        )
        for reason, count in entrance.refused.items():
            refused.add_metric([reason], count)
        yield refused
        if entrance.capacity is not None:
            yield GaugeMetricFamily(
                "linescribe_capacity_calls", "Estimate of how many calls the machine bears.", entrance.capacity
            )

    def _of_queue(self) -> Iterator[Metric]:
        queue = self._queue
        depth = GaugeMetricFamily("stt_queue_depth", "Requests that wait for the models.", labels=["queue_type"])
        for kind, count in queue.waiting.items():
            depth.add_metric([kind], count)
        yield depth
        yield GaugeMetricFamily(
            "stt_backpressure_level", "0: normal, 1: interims come less often, 2: none come.", queue.level
        )
        yield GaugeMetricFamily(
            "linescribe_final_wait_seconds",
            "How long a final that came now would wait for its turn.",
            queue.predicted_wait(self._clock()),
        )
        audio = GaugeMetricFamily("linescribe_waiting_audio_seconds", "Audio that waits for them.", labels=["place"])
        for place, seconds in queue.backlog.places.items():
            audio.add_metric([place], seconds)
        yield audio

    def _of_decoding(self) -> Iterator[Metric]:
        suppressed = CounterMetricFamily("linescribe_suppressed", "Utterances without words.", labels=["reason"])
        for reason, count in self._live.suppressed.items():
            suppressed.add_metric([reason], count)
        yield suppressed
        sizes = HistogramMetricFamily("linescribe_batch_size", "Requests decoded together.", labels=["job_type"])
        retries = CounterMetricFamily("linescribe_retries", "Texts that were looked at again.", labels=["job_type"])
        for kind, done in self._queue.done.items():
            requests = sum(size * number for size, number in done.batches.items())
            sizes.add_metric([kind], _buckets(done.batches), sum_value=requests)
            retries.add_metric([kind], done.retries)
        yield sizes
        yield retries

    def _of_store(self) -> Iterator[Metric]:
        outgoing = self._outgoing
        yield GaugeMetricFamily("linescribe_outbox_writable", "1 when events can be stored, else 0.", outgoing.writable)
        yield GaugeMetricFamily(
            "linescribe_outbox_waiting_events", "Events in memory that are to be stored.", outgoing.accepting
        )
        yield GaugeMetricFamily("linescribe_outbox_bytes", "Size of the event store.", outgoing.overview.used_bytes)

    def _of_endpoints(self) -> Iterator[Metric]:
        labels = ["endpoint"]
        attempts = CounterMetricFamily(
            "linescribe_webhook_attempts", "Attempts to deliver an event.", labels=[*labels, "outcome"]
        )
        for (endpoint, outcome), count in self._outgoing.attempts.items():
            attempts.add_metric([endpoint, outcome], count)
        yield attempts
        pending = GaugeMetricFamily("linescribe_webhook_pending", "Events to be delivered.", labels=labels)
        oldest = GaugeMetricFamily("linescribe_webhook_oldest_seconds", "Age of the oldest of them.", labels=labels)
        dead = GaugeMetricFamily("linescribe_webhook_dead_letters", "Events that were given up.", labels=labels)
        for endpoint, line in self._outgoing.lines.items():
            since = line.oldest_stored_at
            pending.add_metric([endpoint], line.pending)
            oldest.add_metric([endpoint], 0.0 if since is None else max(self._wall() - since, 0.0))
            dead.add_metric([endpoint], line.dead)
        yield from (pending, oldest, dead)
        state = GaugeMetricFamily(
            "linescribe_webhook_endpoint_state", "0: well, 1: rests, 2: wants no more.", labels=labels
        )
        for endpoint, fares in self._outgoing.states.items():
            state.add_metric([endpoint], fares)
        yield state


def _buckets(batches: Mapping[int, int]) -> list[tuple[str, float]]:
    """Tell how many batches were no larger than each bound."""
    bounded = [(f"{bound:.1f}", sum(n for size, n in batches.items() if size <= bound)) for bound in BATCH_BOUNDS]
    return [*bounded, ("+Inf", sum(batches.values()))]
