"""What a peer says of its call in its own words, as names and values that are text, and not too much of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MOST_PARAMETERS = 64
LONGEST_NAME = 200
LONGEST_VALUE = 8_192
"""FreeSWITCH cuts metadata there, which is kept whole where it cannot be read."""
MOST_CHARACTERS = 16_000

MOST_LEVELS = 4
"""What lies deeper stays JSON."""

DEEPEST = 64
"""Objects within objects: how many Python itself can read depends on its version and on the stack below us."""

LONGEST_JSON = 64 * 1024
"""Characters of a text that are looked at as JSON: FreeSWITCH sends 8,192 at most."""


def read_object(text: str) -> dict[str, Any] | None:
    """Read a text as a JSON object; None where it is none, or one that no telephone system sends."""
    if len(text) > LONGEST_JSON:
        return None
    try:
        found = msgspec.json.decode(text)
        msgspec.json.encode(found)  # what cannot be written again, such as half a surrogate pair, is of no use
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and _no_deeper(found, DEEPEST) else None


def _no_deeper(value: object, levels: int) -> bool:
    """Tell whether a value read from JSON lies in at most so many levels; looks no deeper than that."""
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_no_deeper(one, levels - 1) for one in inner)


def part(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Give the object that stands under a name; an empty one where there is none."""
    found = content.get(name)
    return found if isinstance(found, dict) else {}


def named(given: object) -> str | None:
    """Read what a peer calls something; None where that is no name."""
    return given if isinstance(given, str) and 0 < len(given) <= LONGEST_NAME else None


def flat(content: Mapping[str, Any], levels: int = MOST_LEVELS) -> Iterator[tuple[str, str]]:
    """Give the values of a JSON object as text, those of objects within it under `outer.inner`; null is left out."""
    for name, value in content.items():
        if isinstance(value, dict) and levels > 1:
            yield from ((f"{name}.{inner}", text) for inner, text in flat(value, levels - 1))
        elif value is not None:
            yield name, value if isinstance(value, str) else msgspec.json.encode(value).decode()


def bounded(pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, str], bool]:
    """Keep as many parameters as a call may have, the later of two of one name; tell whether that was all of them."""
    kept: dict[str, str] = {}
    characters, all_kept = 0, True
    for name, value in pairs:
        characters += len(name) + len(value)
        room = characters <= MOST_CHARACTERS and (len(kept) < MOST_PARAMETERS or name in kept)
        if room and 0 < len(name) <= LONGEST_NAME and len(value) <= LONGEST_VALUE:
            kept[name] = value
        else:
            all_kept = False
    return kept, all_kept
