"""Metrics of the event store and of webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.metrics.families import counters, gauge, gauges

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from gateway.delivery.overview import Line
    from gateway.metrics.sources import Outgoing


def of_store(outgoing: Outgoing, wall: float) -> Iterator[Metric]:
    """Tell of the store."""
    yield gauge("linescribe_outbox_writable", "1 when events can be stored, else 0.", outgoing.writable)
    yield gauge("linescribe_outbox_waiting_events", "Events in memory that are to be stored.", outgoing.accepting)
    yield gauge("linescribe_outbox_bytes", "Size of the event store.", outgoing.overview.used_bytes)
    ages = [_age(line, wall) for line in outgoing.overview.lines.values()]
    yield gauge("linescribe_outbox_oldest_seconds", "Age of the oldest event to be delivered.", max(ages, default=0.0))


def of_endpoints(outgoing: Outgoing, wall: float) -> Iterator[Metric]:
    """Tell of each endpoint."""
    lines, name = outgoing.lines, "endpoint"
    yield counters(
        "linescribe_webhook_attempts", "Attempts to deliver an event.", "endpoint outcome", outgoing.attempts
    )
    pending = {endpoint: line.pending for endpoint, line in lines.items()}
    yield gauges("linescribe_webhook_pending", "Events to be delivered.", name, pending)
    ages = {endpoint: _age(line, wall) for endpoint, line in lines.items()}
    yield gauges("linescribe_webhook_oldest_seconds", "Age of the oldest of them.", name, ages)
    dead = {endpoint: line.dead for endpoint, line in lines.items()}
    yield gauges("linescribe_webhook_dead_letters", "Events that were given up.", name, dead)
    yield gauges("linescribe_webhook_endpoint_state", "0: well, 1: rests, 2: wants no more.", name, outgoing.states)


def _age(line: Line, wall: float) -> float:
    return 0.0 if line.oldest_stored_at is None else max(wall - line.oldest_stored_at, 0.0)
