"""What calls of every kind share."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio


class OnProgress(Protocol):
    """Told about every frame that was sent."""

    def __call__(self, frames: int, total: int) -> None:
        """Take the count so far."""
        ...


def will_reset(writer: asyncio.StreamWriter) -> None:
    """Let the close of the socket be a reset (socket(7), SO_LINGER)."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
