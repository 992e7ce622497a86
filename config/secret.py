"""Secrets that cannot be printed by accident."""

from __future__ import annotations

import os
from pathlib import Path

MASK = "********"


class Secret:
    """A string that shows itself only to `reveal`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def reveal(self) -> str:
        """Hand out the secret itself."""
        return self._value


def read_secret(given: object) -> Secret:
    """Make a secret of what stands in a settings file.

    That is the secret itself, or where it lies: `{file: PATH}`, or `{credential: NAME}` for a file in
    systemd's `$CREDENTIALS_DIRECTORY` (systemd.exec(5), LoadCredential). Raises ValueError saying what
    was expected, never quoting the secret.
    """
    match given:
        case str() if given.strip():
            return Secret(given.strip())
        case {"file": str(path), **rest} if not rest:
            return _from_file(Path(path))
        case {"credential": str(name), **rest} if not rest:
            return _from_file(_credential(name))
    raise ValueError("Expected a secret: text, {file: PATH} or {credential: NAME}")


def _credential(name: str) -> Path:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise ValueError(f"Expected $CREDENTIALS_DIRECTORY to be set for credential {name!r} (LoadCredential=)")
    if Path(name).name != name:
        raise ValueError(f"Expected the bare name of a credential, got {name!r}")
    return Path(directory) / name


def _from_file(path: Path) -> Secret:
    try:
        if not path.expanduser().is_absolute():
            raise ValueError(f"Expected the whole path of a secret, beginning with / or ~, got {str(path)!r}")
        value = path.expanduser().read_text().strip()
    except (OSError, UnicodeDecodeError, RuntimeError) as error:
        raise ValueError(f"Expected a readable secret in {path}: {error}") from error
    if not value:
        raise ValueError(f"Expected a secret in {path}, which is empty")
    return Secret(value)
