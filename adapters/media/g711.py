"""Payload to linear PCM: 16-bit, little-endian, at the payload's own rate."""

from __future__ import annotations

import audioop
from typing import TYPE_CHECKING

from adapters.stream import Encoding

if TYPE_CHECKING:
    from collections.abc import Callable


def _mu_law(payload: bytes) -> bytes:
    return audioop.ulaw2lin(payload, 2)  # ITU-T G.711


def _a_law(payload: bytes) -> bytes:
    return audioop.alaw2lin(payload, 2)


def _linear(payload: bytes) -> bytes:
    """Drop the half sample that a broken peer may send at the end."""
    return payload if len(payload) % 2 == 0 else payload[:-1]


_DECODERS: dict[Encoding, Callable[[bytes], bytes]] = {
    Encoding.PCMU: _mu_law,
    Encoding.PCMA: _a_law,
    Encoding.L16: _linear,
}


def decoder(encoding: Encoding) -> Callable[[bytes], bytes]:
    """Choose the function that decodes one frame's payload; frames do not depend on one another."""
    return _DECODERS[encoding]
