"""An audio file of any kind, opened: raw telephone audio by its encoding, everything else by FFmpeg."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.media.audio_file import MediaFileError
from adapters.media.ffmpeg import MediaFile
from adapters.media.track import MediaTrack
from adapters.stream import AudioFormat, AudioFrame, Encoding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from adapters.media.audio_file import AudioFile

_MU_LAW, _A_LAW = AudioFormat(Encoding.PCMU, 8_000), AudioFormat(Encoding.PCMA, 8_000)

RAW_SUFFIXES = {
    **dict.fromkeys((".ulaw", ".ul", ".ulw", ".mulaw", ".pcmu"), _MU_LAW),
    **dict.fromkeys((".alaw", ".al", ".alw", ".pcma"), _A_LAW),
    ".sln": AudioFormat(Encoding.L16, 8_000),
    **{f".sln{khz}": AudioFormat(Encoding.L16, khz * 1_000) for khz in (12, 16, 24, 32, 48, 96, 192)},
    ".sln44": AudioFormat(Encoding.L16, 44_100),
}
"""What Asterisk calls its files without a header (`format_pcm.c`, `format_sln.c`), and some others; not `.pcm` and
`.raw`, which may be anything."""


def open_audio(path: Path, *, raw: AudioFormat | None = None, split: bool = False) -> AudioFile:
    """Open a file; `raw` is what it holds if it has no header, None goes by its name.

    `split` makes a track of each channel, where there are several. Raises MediaFileError.
    """
    form = raw or RAW_SUFFIXES.get(path.suffix.lower())
    return RawFile(path, form) if form else MediaFile(path, split=split)


class RawFile:
    """An AudioFile of mono samples without a header. Raises MediaFileError."""

    tracks = 1
    gap_seconds = 0.0

    def __init__(self, path: Path, form: AudioFormat) -> None:
        self._form = form
        self._second = form.rate_hz * form.encoding.bytes_per_sample
        try:
            self._file = path.open("rb")
            size = path.stat().st_size if path.is_file() else None
        except OSError as error:
            raise MediaFileError(error.strerror) from error
        self.duration_seconds = None if size is None else size / self._second

    def blocks(self) -> Iterator[tuple[bytes, ...]]:
        """Give the audio as it is read."""
        media, heard = MediaTrack(0.0), False
        try:
            while payload := self._file.read(self._second):
                heard = True
                for block in media.push(AudioFrame("file", self._form, payload), 0.0):
                    yield (block,)
        except OSError as error:
            raise MediaFileError(error.strerror) from error
        for block in media.finish():
            yield (block,)
        if not heard:
            raise MediaFileError("it is empty")

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
