"""What deploy/grafana asks Prometheus for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent.parent / "deploy" / "grafana"


def dashboard_queries() -> list[str]:
    """Give the dashboard's queries, with its variables filled in as Grafana does."""
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return [each.replace("$instance", ".*").replace("$__rate_interval", "15s") for each in queries]


def rules() -> list[dict[str, Any]]:
    """Give the alert rules."""
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def without_threshold(query: str) -> str:
    """Give what a rule compares with something: that is there when nothing is wrong, too."""
    return re.sub(r"\s*(==|>=|>|<)\s*[\d.]+$", "", query)


def metrics_of(query: str) -> set[str]:
    """Name the metrics that a query reads."""
    return set(re.findall(r"\b(?:stt|linescribe|process)_[a-z_]+", re.sub(r'"[^"]*"', "", query)))
