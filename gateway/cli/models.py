"""`linescribe models`: the models of this machine."""

from __future__ import annotations

import click

from gateway.cli import Lazy

COMMANDS = {
    "list": ("gateway.cli.models_list", "list_models", "List models, and where each lies."),
    "fetch": ("gateway.cli.models_fetch", "fetch", "Fetch models, or go on with it."),
    "verify": ("gateway.cli.models_verify", "verify", "Check that weights are as they came."),
    "warm": ("gateway.cli.models_warm", "warm", "See that the models load on this machine."),
    "bench": ("gateway.cli.models_bench", "bench", "See how fast this machine decodes."),
}


@click.group(cls=Lazy, table=COMMANDS)
def models() -> None:
    """See, fetch, check and try the models that transcribe.

    \b
    From nothing to a gateway that starts at once:
      linescribe models list              what is here, and what could be
      linescribe models fetch             fetch what the settings name
      linescribe models warm              see that it loads on this machine
      linescribe models bench             see how many people this machine can listen to
    """
