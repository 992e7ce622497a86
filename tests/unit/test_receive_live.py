from __future__ import annotations

import io
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from gateway.cli.receive_live import MOST_OPEN, LinePrinter, OpenUtterances
from gateway.cli.receive_output import format_event
from gateway.receiver import Received


def event(kind: str, **data: Any) -> Received:
    return Received(event_id="msg", type=kind, timestamp="2025-10-09T08:53:20.000Z", data=data, received_at=1.76e9)


def interim(utterance: str, revision: int = 1, *, start_ms: int = 0, **data: Any) -> Received:
    """Make an interim; an utterance's name begins with its call's and its track's."""
    names = {"call_id": utterance[0], "track": utterance[:2], "utterance_id": utterance}
    said = {"revision": revision, "start_ms": start_ms, "end_ms": start_ms + 500, "text": f"{utterance} so {revision}"}
    return event("transcript.interim", **names | said | data)


def settled(utterance: str, kind: str = "transcript.final", *, start_ms: int = 0) -> Received:
    said = interim(utterance, start_ms=start_ms).data | {"text": f"{utterance} in the end", "reason": "deadline"}
    return event(kind, **said)


def shown(*events: Received) -> list[str]:
    """Tell which interims are shown after these events."""
    utterances = OpenUtterances()
    for each in events:
        utterances.take(each)
    return [each.data["text"] for each in utterances.newest]


@pytest.mark.parametrize(
    ("events", "left"),
    [
        ([interim("ai1"), interim("ai1", 2)], ["ai1 so 2"]),
        ([interim("ai1", 2), interim("ai1"), interim("ai1", 2, text="again")], ["ai1 so 2"]),
        ([interim("ai1"), interim("bi1"), interim("ao1"), interim("ai1", 2)], ["ai1 so 2", "bi1 so 1", "ao1 so 1"]),
        ([interim("ai1"), settled("ai1")], []),
        ([interim("ai1"), settled("ai1", "transcript.failed")], []),
        ([interim("ai1"), settled("ai1"), interim("ai1", 2)], []),
        # The speech of an interim may begin elsewhere than that of its final.
        ([interim("ai1", start_ms=100), settled("ai1", start_ms=80)], []),
        # Of an utterance without words there is no final; the next one of its track tells.
        ([interim("ai1"), interim("ao1"), settled("ai2", start_ms=2000)], ["ao1 so 1"]),
        ([interim("ai1"), interim("ai2", start_ms=2000), settled("ai1")], ["ai2 so 1"]),
        ([interim("ai1"), interim("bi1"), event("call.ended", call_id="a")], ["bi1 so 1"]),
        ([event("call.ended", call_id="a"), interim("ai1")], []),
        ([interim("ai1"), event("call.digit", call_id="a", track="ai")], ["ai1 so 1"]),
    ],
)
def test_what_is_shown_of_open_utterances(events: list[Received], left: list[str]) -> None:
    assert shown(*events) == left


def test_only_so_many_are_shown() -> None:
    texts = shown(*(interim(f"ai{number}") for number in range(MOST_OPEN + 2)))
    assert texts == [f"ai{number} so 1" for number in range(2, MOST_OPEN + 2)]


values = st.none() | st.integers(-2, 2) | st.sampled_from(["a", "b"]) | st.lists(st.integers(), max_size=1)
names = st.sampled_from(["call_id", "track", "utterance_id", "revision", "start_ms", "stable_chars", "text"])
kinds = st.sampled_from(["transcript.interim", "transcript.final", "transcript.failed", "call.ended", "call.digit"])


@given(st.lists(st.builds(lambda kind, data: event(kind, **data), kinds, st.dictionaries(names, values))))
def test_whatever_a_gateway_may_send_is_shown(events: list[Received]) -> None:
    printer = LinePrinter(console(terminal=True))
    for each in events:
        printer.show(each)
    printer.close()


@pytest.mark.parametrize(("stable", "parts"), [(6, ["Please", " enter"]), (0, ["", "Please enter"]), ("x", None)])
def test_what_may_still_change_is_set_off(stable: object, parts: list[str] | None) -> None:
    line = format_event(interim("ai1", text="Please enter", stable_chars=stable))
    assert line.plain.endswith("Please enter …")
    spans = [line.plain[span.start : span.end] for span in line.spans if "italic" in str(span.style)]
    assert spans == [(parts or ["", "Please enter"])[1]]


def console(*, terminal: bool) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=terminal, width=80, height=25, soft_wrap=True, highlight=False, _environ={}
    )


def screen(output: str) -> list[str]:
    """Do what a terminal does with what rich writes, and give the lines that are left."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", output):
        match part:
            case "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            case "\x1b[2K":
                lines[row] = ""
            case "\x1b[1A":
                row -= 1
            case "\r":
                pass  # what follows is a line erased, or one that is empty
            case _ if not part.startswith("\x1b"):
                lines[row] += part
    return [line.rstrip() for line in lines if line.strip()]


def printed(printer: LinePrinter, target: Console, *events: Received) -> list[str]:
    for each in events:
        printer.show(each)
    assert isinstance(target.file, io.StringIO)
    return screen(target.file.getvalue())


def test_on_a_terminal_a_final_takes_the_place_of_its_interims() -> None:
    target = console(terminal=True)
    printer = LinePrinter(target)
    lines = printed(printer, target, interim("ai1"), interim("bi1"), interim("ai1", 2), interim("ai1", 3))
    assert [line.split("  ")[-1] for line in lines] == ["ai1 so 3 …", "bi1 so 1 …"]
    lines = printed(printer, target, settled("ai1"))
    assert [line.split("  ")[-1] for line in lines] == ["ai1 in the end", "bi1 so 1 …"]
    lines = printed(printer, target, event("call.ended", call_id="b", reason="hangup"), interim("ai2", start_ms=900))
    assert lines[0].endswith("ai1 in the end")
    assert "call ended: hangup" in lines[1]
    assert lines[2].endswith("ai2 so 1 …")
    printer.close()
    assert len(printed(printer, target)) == 2


def test_on_a_terminal_long_interims_leave_nothing_behind() -> None:
    target = console(terminal=True)
    printer = LinePrinter(target)
    lines = printed(printer, target, interim("ai1", text="words and words " * 20))
    assert len(lines) > 3
    assert max(map(len, lines)) <= 80
    assert len(printed(printer, target, settled("ai1"))) == 1


def test_elsewhere_every_interim_is_a_line_and_nothing_moves() -> None:
    target = console(terminal=False)
    printer = LinePrinter(target)
    lines = printed(printer, target, interim("ai1"), interim("ai1", 2), settled("ai1"))
    printer.close()
    assert [line.split("  ")[-1] for line in lines] == ["ai1 so 1 …", "ai1 so 2 …", "ai1 in the end"]
    assert isinstance(target.file, io.StringIO)
    assert "\x1b" not in target.file.getvalue()
