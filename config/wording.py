"""What a word is, where words are masked: letters, digits and marks of any script, without a break. Pure."""

from __future__ import annotations

from unicodedata import category, normalize

JOINERS = "\u200c\u200d"
"""Between letters of one word, in Persian and the scripts of India."""

LONGEST_WORD = 100
MOST_WORDS = 1000


def is_part_of_word(character: str) -> bool:
    """Tell whether a character belongs to the word beside it, or parts it from the next."""
    return character.isalnum() or character in JOINERS or category(character).startswith("M")


def check_masked_words(words: tuple[str, ...]) -> None:
    """Refuse what could never be masked as one whole word."""
    if len(words) > MOST_WORDS:
        raise ValueError(f"Expected at most {MOST_WORDS} words in mask, got {len(words)}")
    for word in words:
        if not 1 < len(normalize("NFC", word)) <= LONGEST_WORD:
            raise ValueError(
                f"Expected a word of 2 to {LONGEST_WORD} characters in mask, got {word!r}: its first stays to be seen"
            )
        if not all(map(is_part_of_word, word)):
            raise ValueError(
                f"Expected single words in mask, got {word!r}: they end at blanks, hyphens, apostrophes; name each"
            )
