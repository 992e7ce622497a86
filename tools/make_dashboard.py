"""Write deploy/grafana/dashboard.json: Grafana's own format, of what `dashboard_rows.py` says is to be shown.

python tools/make_dashboard.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
from tools.dashboard_rows import ROWS, Panel

FILE = Path(__file__).parent.parent / "deploy" / "grafana" / "dashboard.json"


def dashboard() -> dict[str, Any]:
    """Make the whole of it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS:
        panels.append(_row(len(panels) + 1, title, y))
        y += 1
        wide = 6 if title == "Now" else 8
        high = 4 if title == "Now" else 8
        for place, panel in enumerate(row):
            per_line = 24 // wide
            at = {"x": place % per_line * wide, "y": y + place // per_line * high, "w": wide, "h": high}
            panels.append(_panel(len(panels) + 1, panel, at, "stat" if title == "Now" else "timeseries"))
        y += -(-len(row) // (24 // wide)) * high
    return {
        "title": "Linescribe",
        "uid": "linescribe",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_source(), _instances()]},
        "panels": panels,
    }


def _row(number: int, title: str, y: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": {"x": 0, "y": y, "w": 24, "h": 1},
    }


def _panel(number: int, panel: Panel, at: dict[str, int], kind: str) -> dict[str, Any]:
    title, description, unit, queries = panel
    return {
        "id": number,
        "type": kind,
        "title": title,
        "description": description,
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "gridPos": at,
        "targets": [
            {"refId": chr(ord("A") + place), "expr": query, "legendFormat": legend}
            for place, (query, legend) in enumerate(queries)
        ],
    }


def _source() -> dict[str, Any]:
    return {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}


def _instances() -> dict[str, Any]:
    return {
        "name": "instance",
        "type": "query",
        "label": "Gateway",
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "query": "label_values(linescribe_info, instance)",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(dashboard(), indent=1) + "\n")
