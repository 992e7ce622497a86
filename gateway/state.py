"""Where a gateway keeps what it must not lose."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config.settings import Settings


def state_directory(settings: Settings) -> Path:
    """Choose where the store lies: the setting, systemd's directory, or the user's own."""
    chosen = settings.state_dir or os.environ.get("STATE_DIRECTORY")
    return Path(chosen).expanduser() if chosen else Path.home() / ".local" / "state" / "linescribe"
