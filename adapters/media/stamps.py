"""Where the audio of a file stands, by the stamps of its frames. Pure."""

from __future__ import annotations

HOLE_SECONDS = 0.1
"""Stamps are uneven by less. More is audio that the file does not have; silence keeps what follows in its place."""

LONGEST_HOLE_SECONDS = 3600.0
"""Stamps that leap farther are wrong themselves; so are those that leap back by a second."""

HOLES_PER_AUDIO = 10
"""All holes together may be so many times as long as the audio before them, and an hour: a file of some bytes must not
make days of silence."""


class Stamps:
    """The clock of one file. `zero` is the stamp of its beginning; None takes the first frame's."""

    def __init__(self, zero: float | None) -> None:
        self.seconds = 0.0
        """Where the next audio stands."""
        self.gap_seconds = 0.0
        """The holes between the first sound and the last."""
        self.astray_seconds: float | None = None
        """Where they first asked for more silence than there can be."""
        self._zero = zero
        self._audio = 0.0
        self._holes = 0.0

    def hole(self, stamp: float | None) -> float:
        """Tell how many seconds of silence belong before the audio with this stamp, and count them."""
        if stamp is None:
            return 0.0
        self._zero = stamp if self._zero is None else self._zero
        hole = stamp - self._zero - self.seconds
        if -1.0 < hole <= HOLE_SECONDS:
            return 0.0
        if not 0.0 < hole < LONGEST_HOLE_SECONDS or self._too_many(hole):
            self._zero += hole
            return 0.0
        self._holes += hole
        self.gap_seconds += hole if self._audio else 0.0
        self.seconds += hole
        return hole

    def place(self, seconds: float) -> None:
        """Append audio."""
        self._audio += seconds
        self.seconds += seconds

    def _too_many(self, hole: float) -> bool:
        too_many = self._holes + hole > LONGEST_HOLE_SECONDS + HOLES_PER_AUDIO * self._audio
        if too_many and self.astray_seconds is None:
            self.astray_seconds = self.seconds
        return too_many
