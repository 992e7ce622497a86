"""Nothing of ours tells anybody but its operator how it is used."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

HEAR = "import asr.silero; asr.silero.Silero().probabilities(bytes(32_000))"


def test_onnx_runtime_keeps_no_records_to_be_sent(tmp_path: Path) -> None:
    """It would make itself an id and a queue of events in the home of whoever runs it, but not where CI is set."""
    inherited = {name: value for name, value in os.environ.items() if name not in {"CI", "ORT_DISABLE_TELEMETRY"}}
    home = inherited | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", HEAR], env=home, check=True, timeout=60)
    assert list(tmp_path.rglob("*")) == []
