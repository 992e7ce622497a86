"""A function of the operator's own that writes finals as they like them: loaded at the start, never the loss of a text.

It runs on a thread of its own and in the gateway's process: what it waits for holds up no call, what it computes shares
one interpreter with all of them.
"""

from __future__ import annotations

import asyncio
import inspect
from importlib import import_module
from threading import Event
from typing import TYPE_CHECKING

from asr.errands import Errands
from config.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    Function = Callable[[str, str | None], object]

KEY = "transcripts.normalizer"

LIMIT_SECONDS = 0.5
"""A final waits for it no longer."""

LONGEST_CHARS = 20_000
"""Nobody says more in thirty seconds; what is longer is a fault."""


class NormalizerError(Exception):
    """A text that stays as it is. The message says why, and nothing of the text."""


def load_function(name: str) -> Function:
    """Import what a setting names, `package.module:function`. Raises ConfigError."""
    module, _, attribute = name.partition(":")
    try:
        function: Function = getattr(import_module(module), attribute)
    except (Exception, SystemExit) as error:  # a module may raise whatever it likes
        remedy = "is its directory in PYTHONPATH, or the package installed beside linescribe?"
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(f"{KEY}: {name} cannot be imported: {why}; {remedy}") from error
    if not callable(function) or any(map(_gives_no_text, (function, getattr(function, "__call__", None)))):  # noqa: B004
        raise ConfigError(f"{KEY}: expected {name} to be a plain function")
    try:
        inspect.signature(function).bind("text", "en")
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{KEY}: expected {name} to take a text and a language: {error}") from error
    return function


def _gives_no_text(function: object) -> bool:
    """Tell whether a function gives something to be waited for or gone through."""
    kinds = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    return any(is_such(function) for is_such in kinds)


class Normalizer:
    """Calls a function, for one text after the other."""

    def __init__(self, function: Function, *, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._function = function
        self._limit_seconds = limit_seconds
        self._errands = Errands("normalizer")
        self._late: asyncio.Future[str | NormalizerError] | None = None

    async def normalize(self, text: str, language: str | None) -> str:
        """Have a text rewritten. Raises NormalizerError when it is not, or not in time.

        While the function hangs, further texts do not wait for it.
        """
        if self._late is not None and not self._late.done():
            raise NormalizerError("it has not come back from an earlier text")
        if not self._errands.start():
            raise NormalizerError("there is no thread for it")
        begun = Event()
        asked = self._errands.ask(self._attempt, begun, text, language)
        await asyncio.wait({asked}, timeout=self._limit_seconds)
        if not asked.done():
            if not begun.is_set():
                asked.cancel()
                raise NormalizerError("it is busy with other texts")
            self._late = asked
            raise NormalizerError(f"it took more than {self._limit_seconds:g} s")
        if isinstance(result := asked.result(), NormalizerError):
            raise result
        return result

    def _attempt(self, begun: Event, text: str, language: str | None) -> str | NormalizerError:
        """Call the function, on its thread."""
        begun.set()
        try:
            return checked(self._function(text, language))
        except NormalizerError as error:
            return error
        except BaseException as error:  # noqa: BLE001  an exit, too, is no reason to lose a text
            return NormalizerError(f"it raised {type(error).__name__}")


def checked(result: object) -> str:
    """Give a text that can be published, without blanks around it. Raises NormalizerError."""
    if not isinstance(result, str):
        raise NormalizerError(f"it gave {type(result).__name__}, not a text")
    if len(result) > LONGEST_CHARS:
        raise NormalizerError(f"it gave more than {LONGEST_CHARS} characters")
    if not (text := str.strip(result)):
        raise NormalizerError("it gave an empty text")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise NormalizerError("it gave half a character (a surrogate)")
    return text
