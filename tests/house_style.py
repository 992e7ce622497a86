"""What an operator's normalizer may look like."""

from __future__ import annotations


def with_language(text: str, language: str | None) -> str:
    """Tell what it was given."""
    return f"{language}: {text}"
