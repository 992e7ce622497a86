"""The dashboard and the alerts read what there is."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.grafana import FOLDER, dashboard_queries, metrics_of, rules, without_threshold
from tests.unit.test_metrics import MACHINE, Sight, metrics
from tools.make_dashboard import dashboard

if TYPE_CHECKING:
    from collections.abc import Iterator


def told() -> Iterator[tuple[str, set[str]]]:
    """Name what a gateway tells, with its labels."""
    sight = Sight()
    for done in sight.done.values():
        done.seconds = done.audio_seconds = 1.0
    body = metrics(sight).page("", MACHINE)[0].decode()
    for family in text_string_to_metric_families(body):
        for sample in family.samples:
            yield sample.name, set(sample.labels)


TOLD = dict(told())
QUERIES = [*dashboard_queries(), *(rule["expr"] for rule in rules())]


def test_the_dashboard_is_the_one_that_is_made() -> None:
    assert json.loads((FOLDER / "dashboard.json").read_text()) == dashboard(), "python tools/make_dashboard.py"


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_reads_what_is_told(query: str) -> None:
    names = metrics_of(query)
    assert names or query.startswith("up{")
    assert names <= set(TOLD)


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_names_labels_that_there_are(query: str) -> None:
    labels = {"instance", "job"}.union(*(TOLD[name] for name in metrics_of(query)))
    by = {each.strip() for found in re.findall(r"by \(([^)]*)\)", query) for each in found.split(",")}
    matched = set(re.findall(r"([a-z_]+)[=!]~?\"", query))
    assert by | matched <= labels


def test_every_metric_of_ours_is_shown_somewhere() -> None:
    shown = set().union(*(metrics_of(query) for query in dashboard_queries()))
    families = {re.sub("_(bucket|sum|count)$", "", name) for name in TOLD if not name.startswith("process_")}
    unseen = {name for name in families if not any(name in each for each in shown)}
    assert unseen == set()


def test_every_alert_says_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert {"summary", "remedy"} <= set(rule["annotations"])
        assert without_threshold(rule["expr"]) != rule["expr"]
