"""What the models of a run did, as the gateway's metrics tell it (docs/metrics.md)."""

from __future__ import annotations

import aiohttp
import msgspec
from prometheus_client.parser import text_string_to_metric_families

BATCHES = "linescribe_batch_size"
RETRIES = "linescribe_retries_total"

FINAL, SPECULATIVE, INTERIM = KINDS = ("final", "speculative", "interim")


class Decoding(msgspec.Struct, frozen=True, kw_only=True):
    """From the models' start to the end of the calls."""

    batch_finals: float | None
    """Requests decoded together, on average: finals and finals on trial; None where there were none."""
    batch_interims: float | None
    retries: int
    """How often a text was looked at again."""


async def watch_decoding(http_port: int) -> Decoding:
    """Ask a gateway on this machine."""
    timeout = aiohttp.ClientTimeout(total=10)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(f"http://127.0.0.1:{http_port}/metrics") as response,
    ):
        return decoding(await response.text())


def decoding(page: str) -> Decoding:
    """Read the page."""
    values = {
        (sample.name, sample.labels.get("job_type", "")): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if "le" not in sample.labels
    }
    return Decoding(
        batch_finals=_mean(values, FINAL, SPECULATIVE),
        batch_interims=_mean(values, INTERIM),
        retries=round(sum(values[RETRIES, kind] for kind in KINDS)),
    )


def _mean(values: dict[tuple[str, str], float], *kinds: str) -> float | None:
    batches = sum(values[f"{BATCHES}_count", kind] for kind in kinds)
    requests = sum(values[f"{BATCHES}_sum", kind] for kind in kinds)
    return round(requests / batches, 2) if batches else None
