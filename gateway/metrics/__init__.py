"""What Prometheus reads (docs/metrics.md). Everything is looked up when it asks: nothing is counted for its sake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder

from gateway.metrics.of_calls import of_calls, of_transcripts
from gateway.metrics.of_decoding import of_decoding, of_models, of_queue
from gateway.metrics.of_delivery import of_endpoints, of_store
from gateway.metrics.of_machine import of_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.metrics_core import Metric

    from gateway.machine import MachineState
    from gateway.metrics.sources import Entrance, Live, Loaded, Outgoing, Queue


class Metrics:
    """Makes a page of them: in Prometheus' text format, in OpenMetrics, or as plain values."""

    def __init__(
        self,
        live: Live,
        entrance: Entrance,
        queue: Queue,
        outgoing: Outgoing,
        loaded: Loaded,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._live = live
        self._entrance = entrance
        self._queue = queue
        self._outgoing = outgoing
        self._loaded = loaded
        self._clock = clock
        self._wall = wall

    def page(self, accept: str, machine: MachineState) -> tuple[bytes, str]:
        """Write the page in what a header Accept asks for; give it with its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry(machine)), content_type

    def values(self, machine: MachineState) -> dict[str, Any]:
        """Give the same as one object: of each metric its type, its help, and its samples with their labels."""
        return {
            family.name: {
                "type": family.type,
                "help": family.documentation,
                "samples": [
                    {"name": sample.name, "labels": dict(sample.labels), "value": sample.value}
                    for sample in family.samples
                ],
            }
            for family in self._registry(machine).collect()
        }

    def _registry(self, machine: MachineState) -> CollectorRegistry:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(_Collector(lambda: self._collect(machine)))
        return registry

    def _collect(self, machine: MachineState) -> Iterator[Metric]:
        now, wall = self._clock(), self._wall()
        yield from of_calls(self._live, self._entrance)
        yield from of_transcripts(self._live)
        yield from of_queue(self._queue, now)
        yield from of_decoding(self._queue, self._live)
        yield from of_models(self._loaded)
        yield from of_store(self._outgoing, wall)
        yield from of_endpoints(self._outgoing, wall)
        yield from of_machine(machine)


class _Collector:
    """What prometheus_client wants to be given."""

    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Metric]:
        return self._collect()
