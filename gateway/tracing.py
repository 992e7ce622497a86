"""One OpenTelemetry trace a call, by OTLP over HTTP: the extra `otel`. It holds times and outcomes, and no words.

Spans wait in a queue of bounded length for a thread of the library's own; what does not fit is dropped there.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from gateway import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.settings import Tracing
    from gateway.events import Source
    from gateway.observing import UtteranceTold

log = structlog.get_logger()

NANOSECONDS = 1_000_000_000
EXPORT_SECONDS = 5
"""For one request; the thread waits for it, and nobody else."""


class CallTraces:
    """An Observer that makes a span of each call, and below it one of each utterance and its phases."""

    def __init__(self, settings: Tracing, *, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        if settings.endpoint is None:
            raise ValueError("Expected tracing.endpoint: without it there is nobody to tell")
        resource = Resource.create(
            {"service.name": "linescribe", "service.version": __version__, "service.instance.id": socket.gethostname()}
        )
        exporter = OTLPSpanExporter(
            endpoint=f"{settings.endpoint.rstrip('/')}/v1/traces",
            headers={name: value.reveal() for name, value in settings.headers.items()},
            timeout=EXPORT_SECONDS,
        )
        self._provider = TracerProvider(
            sampler=TraceIdRatioBased(settings.sample), resource=resource, shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("linescribe", __version__)
        self._clock = clock
        self._wall = wall
        self._calls: dict[str, trace.Span] = {}

    def call_started(self, call_id: str, source: Source, route: str) -> None:
        """Begin a trace."""
        about = {
            "linescribe.call_id": call_id,
            "linescribe.adapter": source.kind,
            "linescribe.listener": source.listener,
            "linescribe.route": route,
        }
        self._calls[call_id] = self._tracer.start_span("call", kind=trace.SpanKind.SERVER, attributes=about)

    def utterance(self, told: UtteranceTold) -> None:
        """Add an utterance to its call's trace."""
        call = self._calls.get(told.call_id)
        if call is None or not call.is_recording():
            return
        about = {
            "linescribe.utterance_id": told.utterance_id,
            "linescribe.track": told.track,
            "linescribe.role": str(told.role),
            "linescribe.outcome": told.outcome,
        }
        began = min(told.began_at, told.heard_at)
        span = self._span("utterance", call, began, about)
        if told.outcome == "failed":
            span.set_status(trace.StatusCode.ERROR)
        moments = (began, told.heard_at, told.settled_at, told.answered_at, told.published_at)
        for name, begin, end in zip(("speech", "buffer", "decode", "emit"), moments, moments[1:], strict=False):
            self._span(name, span, begin).end(self._nanoseconds(max(begin, end)))
        span.end(self._nanoseconds(told.published_at))

    def call_ended(self, call_id: str, reason: str) -> None:
        """End a trace."""
        call = self._calls.pop(call_id, None)
        if call is not None:
            call.set_attribute("linescribe.reason", reason)
            call.end()

    def close(self, seconds: float) -> None:
        """Send what is held back."""
        for call in self._calls.values():
            call.end()
        self._provider.force_flush(int(seconds * 1000))
        self._provider.shutdown()

    def _span(self, name: str, parent: trace.Span, begin: float, about: dict[str, str] | None = None) -> trace.Span:
        context = trace.set_span_in_context(parent)
        return self._tracer.start_span(name, context, attributes=about, start_time=self._nanoseconds(begin))

    def _nanoseconds(self, moment: float) -> int:
        """Put a moment of the monotonic clock on the wall."""
        return int((self._wall() - (self._clock() - moment)) * NANOSECONDS)
