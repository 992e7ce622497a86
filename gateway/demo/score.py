"""Word errors: what was heard against what was said."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def words(text: str) -> list[str]:
    """Normalise for comparing: lower case, hyphen to blank, no other punctuation."""
    return re.sub(r"[^\w\s]", "", text.lower().replace("-", " ")).split()


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Count the fewest words to be changed, left out or added (Levenshtein's distance)."""
    above = list(range(len(heard) + 1))
    for row, word in enumerate(said, 1):
        here = [row]
        for column, other in enumerate(heard, 1):
            here.append(min(above[column] + 1, here[-1] + 1, above[column - 1] + (word != other)))
        above = here
    return above[-1]
