"""What a decoder is told before it begins: words to expect, and what was said before. Pure."""

from __future__ import annotations

MOST_BEFORE = 223
"""Tokens of hotwords and earlier text; so many Whisper was trained with (openai-whisper, `decoding.py`)."""


def as_sentence(words: str) -> str:
    """End words with a full stop where they have no end: open ones sway what follows (docs/performance.md)."""
    words = words.strip()
    return f"{words}." if words[-1:].isalnum() else words


def fitted(hotwords: list[int], earlier: list[int], *, room: int) -> list[int]:
    """Put the tokens of both together as far as there is room, which each may have half of.

    Of the words to expect the first are kept, of what was said before the last.
    """
    kept = hotwords[: max(room // 2, room - len(earlier))]
    return kept + earlier[max(0, len(earlier) - (room - len(kept))) :]
