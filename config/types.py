"""The kinds of values that settings hold."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

A_YEAR = 31_536_000

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=A_YEAR)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=A_YEAR)]
Count = Annotated[int, msgspec.Meta(ge=1)]
DeviceIndex = Annotated[int, msgspec.Meta(ge=0, le=63)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
Host = Annotated[str, msgspec.Meta(min_length=1)]
Codes = Annotated[tuple[str, ...], msgspec.Meta(max_length=100)]
"""Codes of languages, such as en."""
FunctionName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")]
"""`package.module:function`."""
Role = Literal["inbound", "outbound", "mixed", "other"]
Rate = Literal[8000, 12000, 16000, 22050, 24000, 32000, 44100, 48000]
"""Samples a second that can be taken where the wire leaves them to the settings."""
ComputeType = Literal["auto", "int8", "int8_float16", "float16", "float32"]
Endpointing = Literal["continue", "auto_end"]
"""Whether a stream goes on after an utterance, or is ended by the gateway after the first that holds words."""


class Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A section of the settings file."""
