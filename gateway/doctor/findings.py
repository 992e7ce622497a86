"""What an examination comes to."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Severity(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """It runs, and somebody will be sorry."""
    ERROR = "error"
    """It does not start, or loses something."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    check: str
    """What it was: a closed set of words, fit for scripts."""
    severity: Severity
    text: str
    remedy: str | None = None


def good(check: str, text: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(check=check, severity=Severity.OK, text=text)


def warning(check: str, text: str, remedy: str) -> Finding:
    """Say that something is not, and the gateway runs all the same."""
    return Finding(check=check, severity=Severity.WARNING, text=text, remedy=remedy)


def error(check: str, text: str, remedy: str) -> Finding:
    """Say that something is not, and the gateway does not run, or not well."""
    return Finding(check=check, severity=Severity.ERROR, text=text, remedy=remedy)
