"""From a file and the environment to `Settings`, with errors that say what to mend, and where."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from config.errors import ConfigError
from config.secret import MASK, Secret, read_secret
from config.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PREFIX = "LINESCRIBE_"
RESERVED = frozenset(
    {
        "LINESCRIBE_CONFIG",
        "LINESCRIBE_RECEIVE_SECRET",
        "LINESCRIBE_CALL_TOKEN",
        "LINESCRIBE_CALL_PASSWORD",
        "LINESCRIBE_TOP_TOKEN",
    }
)
"""Variables with the prefix that are no settings."""

KeyPath = tuple[str | int, ...]

UNREADABLE = (yaml.YAMLError, RecursionError, TypeError, ValueError)
"""What PyYAML raises on bad input: keys that are no keys and dates that are no dates among it."""


@dataclass(frozen=True)
class _Origin:
    """Where each value came from, so that an error can say so."""

    file: Path | None
    lines: Mapping[KeyPath, int]
    variables: Mapping[KeyPath, str]

    def name(self, path: KeyPath) -> str:
        """Name the source of the value at `path`, or of the nearest thing around it."""
        for length in range(len(path), -1, -1):
            around = path[:length]
            if around in self.variables:
                return f"environment variable {self.variables[around]}"
            if around in self.lines:
                return f"{self.file}:{self.lines[around]}"
            within = [name for place, name in self.variables.items() if around and place[:length] == around]
            if within:
                return f"environment variable {within[0]}"
        return str(self.file or "settings")


def load(file: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings: defaults, then `file`, then `environ` (the process's own when None).

    Raises ConfigError.
    """
    environ = os.environ if environ is None else environ
    document, lines = _read(file) if file else ({}, {})
    variables = _variables(environ)
    merged = _merge(_builtins(Settings()), document)
    for path, name in variables.items():
        _assign(merged, path, name, environ[name])
    return _convert(merged, _Origin(file, lines, variables))


def dump(settings: Settings) -> str:
    """Print settings as YAML with every secret masked."""
    return yaml.safe_dump(_builtins(settings), sort_keys=False, allow_unicode=True, width=110)


def _builtins(settings: Settings) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(settings, enc_hook=lambda _secret: MASK))
    return plain


class _Loader(yaml.SafeLoader):
    """YAML's safe subset, in which a key that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002  the base's signature
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key.value!r} stands here twice", key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def _read(file: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: expected a readable settings file: {error}") from error
    try:
        document = yaml.load(text, _Loader)  # noqa: S506  a SafeLoader
        lines = dict(_lines(yaml.compose(text, _Loader), ()))
    except UNREADABLE as error:
        raise ConfigError(f"{file}: expected YAML: {error}") from error
    if document is None:
        return {}, {}
    if not isinstance(document, dict):
        raise ConfigError(f"{file}: expected sections such as 'audiosocket:', got {type(document).__name__}")
    return document, lines


def _lines(node: yaml.Node | None, path: KeyPath) -> list[tuple[KeyPath, int]]:
    found: list[tuple[KeyPath, int]] = []
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            found += [(inner, key.start_mark.line + 1), *_lines(value, inner)]
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            inner = (*path, index)
            found += [(inner, value.start_mark.line + 1), *_lines(value, inner)]
    return found


def _variables(environ: Mapping[str, str]) -> dict[KeyPath, str]:
    """Find the variables that are settings, shallow ones first, so that deeper ones refine them."""
    found = {
        tuple(int(part) if part.isdecimal() else part.lower() for part in name.removeprefix(PREFIX).split("__")): name
        for name in environ
        if name.startswith(PREFIX) and name not in RESERVED
    }
    return dict(sorted(found.items(), key=lambda item: (len(item[0]), item[1])))


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one document over another: sections key by key, everything else, lists too, as a whole."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if value is None and isinstance(below, dict):
            continue  # a section in which everything is commented out
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _assign(document: dict[str, Any], path: KeyPath, name: str, text: str) -> None:
    try:
        value = yaml.load(text, _Loader)  # noqa: S506  a SafeLoader
    except UNREADABLE as error:
        raise ConfigError(f"environment variable {name}: expected a YAML value: {error}") from error
    place: Any = document
    for part in path[:-1]:
        place = _step(place, part, name)
    if isinstance(place, list) and path[-1] == len(place):
        place.append(value)
    else:
        below = _step(place, path[-1], name, make=True)
        place[path[-1]] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value


def _step(place: Any, part: str | int, name: str, *, make: bool = False) -> Any:
    match place:
        case dict() if isinstance(part, str):
            if not make and place.get(part) is None:
                place[part] = {}  # a section that is not there unless somebody asks for it
            return place.get(part)
        case list() if isinstance(part, int) and part < len(place):
            return place[part]
        case list() if isinstance(part, int) and part == len(place):
            place.append({})
            return place[part]
    raise ConfigError(f"environment variable {name}: there is nothing to set at {part!r}")


def _convert(document: dict[str, Any], origin: _Origin) -> Settings:
    try:
        return msgspec.convert(document, Settings, dec_hook=_decode)
    except msgspec.ValidationError as error:
        path, message = explain(error, Settings)
        where = ": ".join(part for part in (origin.name(path), dotted(path)) if part)
        raise ConfigError(f"{where}: {message}") from error


def _decode(_kind: type, given: object) -> Secret:
    """Make the one type of a setting that msgspec does not know."""
    return read_secret(given)


_AT = re.compile(r" - at (?P<key>`key` in )?`\$(?P<path>[^`]*)`$")
_PART = re.compile(r"\.(?P<key>[^.\[]+)|\[(?P<index>\d+)\]|\[\.\.\.\]")
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<key>.*)`$", re.DOTALL)


def _part(part: re.Match[str]) -> str | int:
    if part["index"] is not None:
        return int(part["index"])
    return part["key"] or "*"  # msgspec does not tell which key of a mapping


def explain(error: msgspec.ValidationError, kind: type) -> tuple[KeyPath, str]:
    """Split msgspec's sentence about a `kind` into the key it is about and what was expected there."""
    message = str(error)
    path: KeyPath = ()
    if at := _AT.search(message):
        path = tuple(_part(part) for part in _PART.finditer(at["path"]))
        message = message[: at.start()]
    if unknown := _UNKNOWN.match(message):
        key = unknown["key"]
        return (*path, key), f"unknown key; {_suggestion(path, key, kind)}"
    if message.startswith("Invalid enum value"):
        found = _type_at(path, kind)
        values = (found.key_type if at and at["key"] else found).values
        choices = ", ".join(str(value) for value in values)
        return path, f"{message[0].lower()}{message[1:]}; expected one of {choices}"
    if message.endswith("got `bool`"):
        message += " (in YAML yes, no, on and off are not text: quote them)"
    if message.startswith("Expected `str") and message.endswith("got `int`"):
        message += " (quote a number that is a name)"
    return path, message[0].lower() + message[1:]


def _suggestion(path: KeyPath, key: str, kind: type) -> str:
    known = [field.name for field in _type_at(path, kind).fields]
    sections = [name for name in known if key.startswith(f"{name}_")]
    if sections and not path:
        return (
            f"did you mean {sections[0]}.{key.removeprefix(sections[0] + '_')}? (in the environment: two underscores)"
        )
    near = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"


def _type_at(path: KeyPath, kind: type) -> Any:
    info: Any = msgspec.inspect.type_info(kind)
    for part in path:
        match info:
            case msgspec.inspect.VarTupleType():
                info = info.item_type
            case msgspec.inspect.DictType():
                info = info.value_type
            case _:
                info = next(field.type for field in info.fields if field.name == part)
        info = _bare(info)
    return info


def _bare(info: Any) -> Any:
    """Take off what stands around a type: limits, and that it may be null."""
    match info:
        case msgspec.inspect.Metadata():
            return _bare(info.type)
        case msgspec.inspect.UnionType():
            return _bare(info.types[0])
    return info


def dotted(path: KeyPath) -> str:
    """Write the way to a key as people do."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")
