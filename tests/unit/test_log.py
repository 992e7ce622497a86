from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING

import pytest
import structlog

from config.settings import Log
from gateway.log import configure

if TYPE_CHECKING:
    from collections.abc import Iterator


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def written(monkeypatch: pytest.MonkeyPatch, settings: Log, stream: io.StringIO) -> str:
    monkeypatch.setattr("sys.stderr", stream)
    configure(settings)
    logger = structlog.get_logger("test").bind(call_id="01")
    logger.debug("detail")
    logger.info("final", end_ms=5)
    logging.getLogger("a.library").warning("careful: %s", "thing")
    return stream.getvalue()


def test_json_is_one_object_a_line_with_what_was_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = map(json.loads, written(monkeypatch, Log(), io.StringIO()).splitlines())
    assert {"event": "final", "call_id": "01", "end_ms": 5, "level": "info"}.items() <= ours.items()
    assert ours["timestamp"].endswith("Z")
    assert {"event": "careful: thing", "level": "warning", "logger": "a.library"}.items() <= theirs.items()


def test_a_terminal_gets_text_and_a_setting_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "final" in written(monkeypatch, Log(), Terminal())
    with pytest.raises(json.JSONDecodeError):
        json.loads(written(monkeypatch, Log(format="text"), io.StringIO()).splitlines()[0])
    assert json.loads(written(monkeypatch, Log(format="json"), Terminal()).splitlines()[0])["event"] == "final"


def test_the_level_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [
        json.loads(line)["event"] for line in written(monkeypatch, Log(level="debug"), io.StringIO()).splitlines()
    ]
    assert events == ["detail", "final", "careful: thing"]
    assert written(monkeypatch, Log(level="error"), io.StringIO()) == ""


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_traceback_does_not_show_what_the_variables_held(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    configure(Log(format="json" if form == "json" else "text"))
    audio = "dias ydobemos tahw"[::-1]  # nowhere whole in the source that a traceback quotes
    try:
        len(audio) / 0
    except ZeroDivisionError:
        structlog.get_logger().exception("call failed")
    assert "ZeroDivisionError" in stream.getvalue()
    assert audio not in stream.getvalue()
