"""What an audio file gives to whoever reads it, whatever its format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from adapters.media.resample import BLOCKS_PER_SECOND, OUTPUT_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK_BYTES = OUTPUT_RATE_HZ // BLOCKS_PER_SECOND * 2


class MediaFileError(Exception):
    """A file of which nothing can be read, or not all; the text says why."""


class UnknownFormatError(MediaFileError):
    """A file that is in no known format, or damaged where that is told."""


class AudioFile(Protocol):
    """An open file, to be read once, from its beginning, and to be closed; from any thread, one at a time."""

    @property
    def tracks(self) -> int:
        """How many blocks there are of each 20 ms."""
        ...

    @property
    def duration_seconds(self) -> float | None:
        """How long the file says it is; None where it does not."""
        ...

    @property
    def gap_seconds(self) -> float:
        """What was missing so far between the first sound and the last; silence stands in its place."""
        ...

    def blocks(self) -> Iterator[tuple[bytes, ...]]:
        """Give the audio as it is decoded: for each track a block of 20 ms of mono 16 kHz PCM, 16-bit little-endian.

        Raises MediaFileError, after everything that could be decoded was given, when that is not all.
        """
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...
