"""How each carrier spells a media stream, and what it can send. Pure."""

from __future__ import annotations

import re

import msgspec

from adapters.stream import AudioFormat, Encoding, WireError
from adapters.wire.json_media import Beginning, Names
from adapters.wire.said import RATES_HZ

TELEPHONE_HZ = 8_000

ENCODINGS = {
    "pcmu": Encoding.PCMU,
    "mulaw": Encoding.PCMU,
    "ulaw": Encoding.PCMU,
    "pcma": Encoding.PCMA,
    "alaw": Encoding.PCMA,
    "l16": Encoding.L16,
    "raw": Encoding.L16,
    "base64": Encoding.L16,
}
"""What carriers write, without `audio/` and `x-`; the last two are Exotel's words. All L16 here is little-endian."""

_ENCODING = re.compile(r"(?:audio/)?(?:x-)?([a-z0-9]+)(;.*)?", re.ASCII)
_RATE = re.compile(r"; *rate=([0-9]{1,6})(?![0-9])", re.ASCII)

LONGEST_QUOTE = 40


class Carrier(msgspec.Struct, frozen=True, kw_only=True):
    """One carrier. `kind` is its name in events, in the settings, and in the path."""

    kind: str
    title: str
    names: Names
    usual: Encoding
    """What it sends at 8 kHz where `start` does not say what is sent."""
    choice: str
    """The setting at the carrier that chooses another encoding."""

    @property
    def path(self) -> str:
        """Where its streams come in."""
        return f"/{self.kind}"

    def knows(self, said: Beginning) -> bool:
        """Tell whether `start` is spelled as this carrier spells it."""
        return said.stream_id is not None or said.call_id is not None

    def format(self, said: Beginning) -> AudioFormat:
        """Choose what the audio of a stream is. Raises WireError where it cannot be taken."""
        written = self.usual.value if said.encoding is None else said.encoding
        found = _ENCODING.fullmatch(written.lower())
        encoding = ENCODINGS.get(found[1]) if found else None
        behind = _RATE.search(found[2] or "") if found else None
        written_hz = int(behind[1]) if behind else TELEPHONE_HZ
        rate_hz = written_hz if said.rate_hz is None else said.rate_hz
        if encoding is None or rate_hz not in RATES_HZ or said.channels not in {None, 1}:
            what = f"{written[:LONGEST_QUOTE]!r} at {rate_hz} Hz on {said.channels or 1} channel(s)"
            raise WireError(f"{self.title} sends {what}, which cannot be taken: {self.choice}")
        return AudioFormat(encoding, rate_hz)


TWILIO = Carrier(
    kind="twilio",
    title="Twilio",
    names=Names(stream="streamSid", call="callSid", account="accountSid"),
    usual=Encoding.PCMU,
    choice="Media Streams have no other setting; is it Twilio's?",
)
TELNYX = Carrier(
    kind="telnyx",
    title="Telnyx",
    names=Names(
        stream="stream_id",
        call="call_control_id",
        account="user_id",
        sequence="sequence_number",
        format="media_format",
        rate="sample_rate",
        parameters="custom_parameters",
        ordered=False,
    ),
    usual=Encoding.PCMU,
    choice="set stream_codec to PCMU, PCMA or L16, or codec of TeXML's <Stream> to PCMU or PCMA",
)
SIGNALWIRE = Carrier(
    kind="signalwire",
    title="SignalWire",
    names=TWILIO.names,
    usual=Encoding.PCMU,
    choice="set codec of <Stream> to PCMU@8000h, L16@16000h or L16@24000h",
)
PLIVO = Carrier(
    kind="plivo",
    title="Plivo",
    names=Names(stream="streamId", call="callId", account="accountId", parameters="extra_headers"),
    usual=Encoding.L16,
    choice="set contentType of <Stream> to audio/x-mulaw;rate=8000 or audio/x-l16;rate=16000",
)
EXOTEL = Carrier(
    kind="exotel",
    title="Exotel",
    names=Names(
        stream="stream_sid",
        call="call_sid",
        account="account_sid",
        sequence="sequence_number",
        format="media_format",
        rate="sample_rate",
        parameters="custom_parameters",
    ),
    usual=Encoding.L16,
    choice="set the sample rate of its Stream applet to 8000, 16000 or 24000",
)

OTHERS = (TELNYX, SIGNALWIRE, PLIVO, EXOTEL)
CARRIERS = (TWILIO, *OTHERS)
