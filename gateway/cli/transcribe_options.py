"""What options of `linescribe transcribe` may hold, each by itself."""

from __future__ import annotations

import click

from adapters.stream import Encoding
from gateway.file_transcript import printable

ENCODINGS = {"ulaw": Encoding.PCMU, "alaw": Encoding.PCMA, "slin": Encoding.L16}
RATES_HZ = click.IntRange(8_000, 192_000)
RATE_STEP_HZ = 50
LONGEST_LABEL = 30


def labels(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Cut names apart, which have to differ and to be printable."""
    names = tuple(label.strip() for label in value.split(",")) if value is not None else ()
    if any(not name or len(name) > LONGEST_LABEL or name != printable(name) for name in names):
        raise click.BadParameter(f"expected names of at most {LONGEST_LABEL} characters, such as customer,agent")
    if len(set(names)) < len(names):
        raise click.BadParameter("expected each channel to have a name of its own, such as customer,agent")
    return names


def rate(_ctx: click.Context, _param: click.Parameter, value: int | None) -> int | None:
    """Refuse rates that do not divide into blocks."""
    if value is not None and value % RATE_STEP_HZ:
        raise click.BadParameter(f"expected a multiple of {RATE_STEP_HZ}, such as 8000 or 44100, got {value}")
    return value


def text(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Refuse bytes that are no UTF-8; Python brings them along as surrogates."""
    try:
        (value or "").encode()
    except UnicodeEncodeError as error:
        raise click.BadParameter("expected text in UTF-8") from error
    return value
