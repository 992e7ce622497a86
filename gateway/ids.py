"""Names for calls."""

from __future__ import annotations

import uuid


def uuid7(wall_time: float, random_bytes: bytes) -> str:
    """Make a UUID that sorts by time, from seconds since the epoch and ten random bytes (RFC 9562 5.7)."""
    value = round(wall_time * 1000) << 80 | int.from_bytes(random_bytes)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))
