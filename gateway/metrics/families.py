"""Metric families, made of plain mappings. `text` is the help that Prometheus is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client.metrics_core import Metric

    from asr.histogram import Histogram

    Values = Mapping[Any, float]
    """By a label's value, or by a tuple of the values of several."""

F = TypeVar("F", CounterMetricFamily, GaugeMetricFamily)


def gauge(name: str, text: str, value: float) -> Metric:
    """Make a value that goes up and down."""
    return GaugeMetricFamily(name, text, value)


def counter(name: str, text: str, value: float) -> Metric:
    """Make a value that goes up; the name is without `_total`."""
    return CounterMetricFamily(name, text, value)


def gauges(name: str, text: str, labels: str, values: Values) -> Metric:
    """Make one for each value of the labels, which are named in one string."""
    return _filled(GaugeMetricFamily(name, text, labels=labels.split()), values)


def counters(name: str, text: str, labels: str, values: Values) -> Metric:
    """Make one for each value of the labels, which are named in one string."""
    return _filled(CounterMetricFamily(name, text, labels=labels.split()), values)


def histograms(name: str, text: str, labels: str, values: Mapping[Any, Histogram]) -> Metric:
    """Make one for each value of the labels, which are named in one string; empty: for the only key, ()."""
    family = HistogramMetricFamily(name, text, labels=labels.split())
    for each, histogram in values.items():
        family.add_metric(_labels(each), histogram.buckets(), sum_value=histogram.sum)
    return family


def _filled(family: F, values: Values) -> F:
    for each, value in values.items():
        family.add_metric(_labels(each), value)
    return family


def _labels(given: Any) -> list[str]:
    return [str(each) for each in (given if isinstance(given, tuple) else (given,))]
