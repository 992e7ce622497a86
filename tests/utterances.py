"""Utterances with their place in a call, as if somebody had spoken them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.stream import Track, TrackRole
from asr.speech import Utterance
from config.settings import Settings, Transcripts
from gateway.events import Source
from gateway.routes import Facts, Routes
from gateway.transcript import Spoken
from tests.fakes import Telephone

if TYPE_CHECKING:
    from adapters.stream import Peer

SOURCE = Source(kind="audiosocket", listener="main")


def spoken(
    *,
    call_id: str = "call",
    number: int = 2,
    start_ms: int = 2_300,
    offset_ms: int = 0,
    end_of_turn: bool = True,
    wanted: Transcripts | None = None,
    peer: Peer | None = None,
) -> Spoken:
    """Make an utterance of 600 ms, whose last speech arrived at 105 seconds."""
    utterance = Utterance(
        number=number,
        audio=bytes(32 * 1_100),
        origin_sample=(start_ms - 300) * 16,
        start_sample=start_ms * 16,
        end_sample=(start_ms + 600) * 16,
        heard_at=105.0,
        end_of_turn=end_of_turn,
    )
    track = Track(id="inbound", role=TrackRole.INBOUND, label="customer")
    return Spoken(
        utterance_id=f"{call_id}_inbound_{number}",
        track=track,
        source=SOURCE,
        peer=peer or Telephone(),
        settings=Routes(Settings(transcripts=wanted or Transcripts())).choose(Facts(adapter="test", listener="port")),
        utterance=utterance,
        offset_ms=offset_ms,
    )
