"""Audio that waits on disk: in one file without a name, which is gone with the process, and read back once."""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
from contextlib import suppress
from typing import IO, TYPE_CHECKING

import msgspec
import structlog

from asr.errands import Errands

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

log = structlog.get_logger()

CHUNK_BYTES = 32_000
"""The file is given out in chunks of a second of audio, so that what has become free is as good as new."""

MOST_WRITING_BYTES = 4_000_000
"""What is on its way to the disk still lies in memory, and what is to be read waits behind it."""

RESERVE_BYTES = 256 << 20
"""So much of the disk is left to others: the event store may lie on it."""

REST_SECONDS = 5.0
"""So long a disk that could not be written is left alone."""


class Slip(msgspec.Struct, frozen=True, eq=False):
    """Where audio lies."""

    chunks: tuple[int, ...]
    size: int


class Spool:
    """Keeps audio in a file of its own in `directory`, at most `limit_bytes` of it.

    One thread writes and reads, in the order in which it was asked: what is freed while it is being written or read
    may be given out again at once. The directory need not exist before something is kept.
    """

    def __init__(self, directory: Callable[[], Path], limit_bytes: int) -> None:
        self._directory = directory
        self._limit = limit_bytes // CHUNK_BYTES
        self._used = 0
        """Chunks that were given out at least once: the file's length."""
        self._free: list[int] = []
        self.writing_bytes = 0
        """What is on its way to the disk."""
        self._errands = Errands("spool")
        self._file: IO[bytes] | None = None
        self._rest_until = 0.0
        """On the loop's clock: a disk that could not be written is left alone until then."""
        self._closed = False

    @property
    def kept_bytes(self) -> int:
        """What the file holds, in whole chunks."""
        return (self._used - len(self._free)) * CHUNK_BYTES

    def has_room(self, sizes: Sequence[int]) -> bool:
        """Tell whether audio of these sizes, in bytes, can be kept now."""
        if self._closed or asyncio.get_running_loop().time() < self._rest_until or not self._errands.start():
            return False
        left = self._limit - self._used + len(self._free)
        return sum(map(_chunks, sizes)) <= left and self.writing_bytes + sum(sizes) <= MOST_WRITING_BYTES

    def keep(self, audio: bytes, on_kept: Callable[[Slip, bool], None]) -> Slip:
        """Begin to write audio for which there is room; `on_kept` hears, later, whether it could be written."""
        wanted = _chunks(len(audio))
        reused = self._free[:wanted]
        del self._free[:wanted]
        fresh = range(self._used, self._used + wanted - len(reused))
        self._used = fresh.stop
        slip = Slip((*reused, *fresh), len(audio))
        self.writing_bytes += slip.size
        self._errands.ask(self._write, slip, audio).add_done_callback(lambda done: self._kept(slip, done, on_kept))
        return slip

    async def read(self, slip: Slip) -> bytes:
        """Read audio back. Raises OSError."""
        return await self._errands.ask(self._read, slip)

    def free(self, slip: Slip) -> None:
        """Let others have the room, and the disk when nothing is kept any more."""
        self._free.extend(slip.chunks)
        if len(self._free) == self._used and not self._closed:
            self._used, self._free = 0, []
            self._errands.leave(self._truncate)

    def close(self) -> None:
        """Let go of the file. Does not wait for the disk."""
        self._closed = True
        self._errands.leave(self._close)
        self._errands.close()

    def _kept(self, slip: Slip, done: asyncio.Future[None], on_kept: Callable[[Slip, bool], None]) -> None:
        self.writing_bytes -= slip.size
        if done.cancelled():
            return
        error = done.exception()
        if error is not None:
            now = asyncio.get_running_loop().time()
            if now >= self._rest_until:
                log.error("audio that waits cannot be put on disk: it stays in memory while there is room", error=error)
            self._rest_until = now + REST_SECONDS
        on_kept(slip, error is None)

    # In the thread.

    def _open(self) -> int:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._directory())  # noqa: SIM115  it is open as long as we are
        return self._file.fileno()

    def _write(self, slip: Slip, audio: bytes) -> None:
        file, view = self._open(), memoryview(audio)
        if (disk := os.fstatvfs(file)).f_bavail * disk.f_frsize < RESERVE_BYTES:
            raise OSError(errno.ENOSPC, "it is nearly full")
        for place, chunk in enumerate(slip.chunks):
            piece = view[place * CHUNK_BYTES : (place + 1) * CHUNK_BYTES]
            if os.pwrite(file, piece, chunk * CHUNK_BYTES) != len(piece):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _read(self, slip: Slip) -> bytes:
        file = self._open()
        audio = b"".join(os.pread(file, CHUNK_BYTES, chunk * CHUNK_BYTES) for chunk in slip.chunks)[: slip.size]
        if len(audio) != slip.size:
            raise OSError(errno.EIO, "it is shorter than what was written")
        return audio

    def _truncate(self) -> None:
        with suppress(OSError):  # the room on the disk is all that it costs
            os.truncate(self._open(), 0)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()


def _chunks(size: int) -> int:
    return -(-size // CHUNK_BYTES)
