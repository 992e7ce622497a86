"""What `linescribe top` shows of a status. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.status import Status
    from gateway.tallies import Quantiles

BUSY_PERCENT = 80.0
LEVELS = {"normal": "green", "elevated": "yellow", "critical": "red"}
STATES = {"well": "green", "resting": "yellow", "disabled": "red"}


def view(status: Status, trouble: str | None) -> RenderableType:
    """Draw it; `trouble` tells why it is not of this moment."""
    parts = [_head(status, trouble), _calls(status), _models(status), _delivery(status)]
    return Group(*parts)


def _head(status: Status, trouble: str | None) -> RenderableType:
    up = str(timedelta(seconds=int(status.uptime_seconds)))
    text = Text.assemble(
        ("Linescribe ", "bold"),
        f"{status.version}  {status.stage}",
        f" ({status.doing})" if status.doing else "",
        f"  up {up}  settings {status.settings}",
    )
    for reason in status.unready:
        text.append(f"\nnot ready: {reason}", "yellow")
    if trouble:
        text.append(f"\n{trouble}", "red")
    return text


def _calls(status: Status) -> RenderableType:
    calls, queue, decoding = status.calls, status.queue, status.decoding
    most = min(calls.capacity or calls.most, calls.most)
    load = ProgressBar(total=100, completed=min(calls.load_percent, 100), width=30)
    style = "red" if calls.load_percent >= 100 else "yellow" if calls.load_percent > BUSY_PERCENT else "green"  # noqa: PLR2004
    table = _table()
    table.add_row("calls", Text(f"{calls.live} of {most}", style), load)
    table.add_row("streams", str(calls.streams), "" if calls.admitting else Text("no new calls", "yellow"))
    table.add_row("ended", _counts(calls.ended), "")
    table.add_row("turned away", _counts(calls.refused), "")
    table.add_row("backpressure", Text(queue.backpressure, LEVELS[queue.backpressure]), _waiting(status))
    table.add_row("final", _delay(decoding.finals), f"last {decoding.seconds / 60:.0f} minutes")
    table.add_row("first interim", _delay(decoding.first_interims), "")
    table.add_row("decoded", _share(decoding.utterances.success), f"of {decoding.utterances.count} utterances")
    return Panel(table, title="calls", title_align="left")


def _models(status: Status) -> RenderableType:
    table = _table()
    for model in status.decoding.models:
        table.add_row(model.name, " and ".join(model.roles), f"{model.device}, {model.source}")
    if status.decoding.loading:
        table.add_row("loading", status.decoding.loading, "")
    factors = {kind: factor for kind, factor in status.decoding.real_time_factor.items() if factor is not None}
    table.add_row("real-time factor", ", ".join(f"{kind} {factor:.2f}" for kind, factor in factors.items()) or "-", "")
    return Panel(table, title="models", title_align="left")


def _delivery(status: Status) -> RenderableType:
    delivery = status.delivery
    table = _table()
    store = Text("can be written to", "green") if delivery.writable else Text("cannot be written to", "red")
    waiting = f"{delivery.waiting_events} events wait in memory" if delivery.waiting_events else ""
    table.add_row("store", store, f"{decimal(delivery.store_bytes)} {waiting}")
    for name, endpoint in delivery.endpoints.items():
        oldest = "" if endpoint.oldest_seconds is None else f", oldest {endpoint.oldest_seconds:.0f} s"
        dead = f", {endpoint.dead_letters} given up" if endpoint.dead_letters else ""
        state = Text(endpoint.state, STATES[endpoint.state])
        table.add_row(name, state, f"{endpoint.pending} to be delivered{oldest}{dead}")
    return Panel(table, title="delivery", title_align="left")


def _table() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", min_width=16)
    table.add_column(min_width=20)
    table.add_column()
    return table


def _waiting(status: Status) -> str:
    waiting = _counts({kind: count for kind, count in status.queue.waiting.items() if count})
    return f"a final waits {status.queue.final_wait_seconds:.2f} s; waiting: {waiting}"


def _counts(counts: Mapping[str, int]) -> str:
    return _joined(f"{name} {count}" for name, count in counts.items())


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(parts) or "-"


def _delay(delay: Quantiles) -> str:
    return "-" if delay.p50_ms is None else f"{delay.p50_ms} ms, p95 {delay.p95_ms} ms"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
