"""How long a silence ends an utterance, by what was said before it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config.settings import Speech

SENTENCE_ENDS = (".", "?", "!", "。", "？", "！", "।", "؟")  # noqa: RUF001  of other scripts
UNFINISHED_ENDS = ("...", "…", ",", "、", "，", ";", ":", "-", "—", "–")  # noqa: RUF001  of other scripts


def hangover_ms(text: str, settings: Speech) -> int:
    """Give the hangover after a text: shorter where a sentence has ended, longer in the middle of one.

    Without any mark at its end it is halfway to the longest: a sentence that goes on is written so, and so is one in
    fifteen that does not.
    """
    said = text.rstrip("\"'”’») ")  # noqa: RUF001  what may stand behind the end of a sentence
    longest = max(settings.hangover_longest_ms, settings.hangover_ms)
    if not said:
        return settings.hangover_ms
    if said.endswith(UNFINISHED_ENDS):
        return longest
    if said.endswith(SENTENCE_ENDS):
        return min(settings.hangover_shortest_ms, settings.hangover_ms)
    return (settings.hangover_ms + longest) // 2
