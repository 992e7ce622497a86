"""16-bit PCM, little-endian, to what calls carry: the way back of adapters/media/g711.py."""

from __future__ import annotations

import audioop
from typing import TYPE_CHECKING

from adapters.stream import Encoding

if TYPE_CHECKING:
    from collections.abc import Callable


def _mu_law(pcm: bytes) -> bytes:
    return audioop.lin2ulaw(pcm, 2)


def _a_law(pcm: bytes) -> bytes:
    return audioop.lin2alaw(pcm, 2)


def _as_it_is(pcm: bytes) -> bytes:
    return pcm


_ENCODERS: dict[Encoding, Callable[[bytes], bytes]] = {
    Encoding.PCMU: _mu_law,
    Encoding.PCMA: _a_law,
    Encoding.L16: _as_it_is,
}


def encoder(encoding: Encoding) -> Callable[[bytes], bytes]:
    """Choose the function that makes a payload of samples."""
    return _ENCODERS[encoding]
