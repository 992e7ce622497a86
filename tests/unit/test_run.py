from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from asr.weights import Weights, WeightsError
from config.settings import Models
from gateway.cli.run import _Debounced, _Progress
from gateway.models import cache_dir, in_daemon_thread

FOUND = Weights(name="base", directory=Path("/somewhere"), source="path")


def test_a_signal_that_comes_twice_within_a_second_counts_once() -> None:
    now, acted = 0.0, []
    signal = _Debounced(lambda: acted.append(now), lambda: now)
    for now in (5.0, 5.1, 5.9, 6.0, 6.5, 7.1):  # noqa: B007  the clock that the lambdas read
        signal()
    assert acted == [5.0, 6.0, 7.1]


async def test_blocking_work_gives_its_result_or_its_error() -> None:
    assert await in_daemon_thread(lambda: FOUND) is FOUND

    def fail() -> Weights:
        raise WeightsError("no weights")

    with pytest.raises(WeightsError, match="no weights"):
        await in_daemon_thread(fail)


async def test_blocking_work_that_is_given_up_harms_nobody() -> None:
    begun, let_go, done = threading.Event(), threading.Event(), threading.Event()

    def work() -> Weights:
        begun.set()
        let_go.wait(20)
        done.set()
        return FOUND

    task = asyncio.ensure_future(in_daemon_thread(work))  # noqa: TID251  cancelled below
    while not begun.is_set():  # noqa: ASYNC110  another thread's event
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    let_go.set()
    assert await asyncio.to_thread(done.wait, 20)


def test_progress_is_told_by_tenths_and_not_where_the_whole_is_unknown() -> None:
    progress = _Progress()
    with capture_logs() as logs:
        for done_bytes in range(0, 1001, 10):
            progress("base", done_bytes, 1000)
            progress("other", done_bytes, None)
    assert [(line["model"], line["percent"]) for line in logs] == [("base", 10 * tenth) for tenth in range(11)]


def test_the_cache_is_where_a_setting_or_the_system_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("CACHE_DIRECTORY", raising=False)
    assert cache_dir(Models(cache_dir="~/models")) == tmp_path / "models"
    assert cache_dir(Models()) == tmp_path / ".cache" / "linescribe"
    monkeypatch.setenv("CACHE_DIRECTORY", "/var/cache/linescribe")
    assert cache_dir(Models()) == Path("/var/cache/linescribe")
