"""One event as one line, for people."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

if TYPE_CHECKING:
    from gateway.receiver import Received


def format_event(event: Received) -> Text:
    """Put an event on one line: when, which call, who, and what happened. Any `data` will do."""
    data = event.data
    who = _field(data, "label") or _field(data, "role") or _field(data, "track")
    line = Text().append(f"{_local_time(event)}  ", style="dim")
    # The end of a UUIDv7 is random; its beginning is shared by calls of the same minute.
    line.append(f"{_field(data, 'call_id')[-8:]:8}  ", style="cyan")
    line.append(f"{who:10.10}  ", style="bold")
    line.append(f"{_span(data):19}  ")
    return line.append_text(_happening(event.type, data))


def _field(data: dict[str, Any], name: str) -> str:
    value = data.get(name)
    return "" if value is None else _printable(str(value))


def _printable(text: str) -> str:
    """Take out what could steer a terminal; the words of a caller are nobody's commands."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _local_time(event: Received) -> str:
    try:
        moment = datetime.fromisoformat(event.timestamp).astimezone()
    except (ValueError, OverflowError):
        moment = datetime.fromtimestamp(event.received_at).astimezone()
    return f"{moment:%H:%M:%S}"


def _span(data: dict[str, Any]) -> str:
    start, end = data.get("start_ms"), data.get("end_ms")
    if not isinstance(start, int) or not isinstance(end, int):
        return ""
    return f"{_clock_text(start)}-{_clock_text(end)}"


def _clock_text(milliseconds: int) -> str:
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes:02}:{rest / 1000:06.3f}"


def _happening(kind: str, data: dict[str, Any]) -> Text:
    """Say what happened."""
    match kind:
        case "transcript.final":
            return Text(_field(data, "text"))
        case "transcript.interim":
            return _so_far(_field(data, "text"), data.get("stable_chars"))
        case "transcript.failed":
            return Text(f"no text: {_field(data, 'reason')}", "red")
        case "call.digit" | "call.message":
            said = f"message: {_field(data, 'text')}" if kind == "call.message" else f"pressed {_field(data, 'digit')}"
            return Text(said, "magenta")
        case "call.ended":
            return Text(f"call ended: {_field(data, 'reason')}; {_counts(data)}", "green")
        case _:
            return Text(f"{_printable(kind)}{_origin(data)}", "green")


def _so_far(text: str, stable_chars: object) -> Text:
    """Set off what may still change."""
    stable = stable_chars if isinstance(stable_chars, int) and stable_chars > 0 else 0
    return Text.assemble((text[:stable], "dim"), (text[stable:], "dim italic"), (" …", "dim"))


def _counts(data: dict[str, Any]) -> str:
    counts = f"utterances {_field(data, 'utterances')}, failed {_field(data, 'failed')}"
    duration = data.get("duration_ms")
    return f"{_clock_text(duration)}, {counts}" if isinstance(duration, int) else counts


def _origin(data: dict[str, Any]) -> str:
    source = data.get("source")
    if not isinstance(source, dict):
        return ""
    return f" from {_field(source, 'listener')} {_field(source, 'call_id')}".rstrip()
