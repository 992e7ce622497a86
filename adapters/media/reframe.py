"""Packets of any length to blocks of one length."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Reframer:
    """Cuts a run of bytes into blocks of `block_bytes`, keeping what is over for the next time."""

    def __init__(self, block_bytes: int) -> None:
        self._block_bytes = block_bytes
        self._rest = bytearray()

    def push(self, data: bytes) -> Iterator[bytes]:
        """Take more bytes; give the blocks they complete."""
        size = self._block_bytes
        if not self._rest and len(data) == size:  # nearly every frame
            yield data
            return
        self._rest += data
        whole = len(self._rest) // size * size
        blocks = bytes(self._rest[:whole])
        del self._rest[:whole]
        for start in range(0, whole, size):
            yield blocks[start : start + size]

    @property
    def missing_bytes(self) -> int:
        """What the block that has begun lacks; zero when none has."""
        return self._block_bytes - len(self._rest) if self._rest else 0

    def finish(self) -> bytes:
        """Give what is over, filled up with silence; empty when nothing is."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest + bytes(self._block_bytes - len(rest)) if rest else b""
