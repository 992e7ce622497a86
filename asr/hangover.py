"""How long a silence ends an utterance, by what was said before it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config.settings import Speech

SENTENCE_ENDS = (".", "?", "!", "。", "？", "！", "।", "؟")  # noqa: RUF001  of other scripts
UNFINISHED_ENDS = ("...", "…")


def hangover_ms(text: str, settings: Speech) -> int:
    """Give the hangover after a text: shorter where a sentence has ended, longer in the middle of one."""
    said = text.rstrip("\"'”’») ")  # noqa: RUF001  what may stand behind the end of a sentence
    if not said:
        return settings.hangover_ms
    if said.endswith(SENTENCE_ENDS) and not said.endswith(UNFINISHED_ENDS):
        return min(settings.hangover_shortest_ms, settings.hangover_ms)
    return max(settings.hangover_longest_ms, settings.hangover_ms)
