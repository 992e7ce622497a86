"""What one frame of 20 ms costs on its way from the wire to 16 kHz samples, and on to voice activity.

    python -m bench.wire [--seconds S] [--rounds N]

Plays speech of 8 kHz through the product's own chain in one thread: AudioSocket's frames, 16-bit PCM and mu-law, each
as one read, and Twilio's messages, each as the text that the WebSocket gives. Every stage is timed together with those
before it, in turn, and its share is the difference; the figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import audioop
import json
import statistics
import time
import uuid
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.table import Table

from adapters.asterisk.audiosocket import AudioSocketWire, Kind, encode
from adapters.media.track import MediaTrack
from adapters.stream import AudioFrame, Encoding, Track, TrackRole
from adapters.twilio.carriers import TWILIO
from adapters.twilio.protocol import Introduction
from adapters.wire.json_media import JsonMediaWire
from asr.speech import SpeechTrack
from bench.twilio_messages import FRAME_MS, START, media
from config.settings import Speech
from gateway.demo.script import scripts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from adapters.stream import StreamEvent

    Play = Callable[[list[bytes]], tuple["AnyWire", Sequence[str | bytes]]]

FRAME_BYTES = 320
GOALS_US = {"AudioSocket slin": 10.0, "AudioSocket ulaw": 10.0, "Twilio": 14.0}
"""To 16 kHz samples."""
STAGES = ("parse", "parse to 16 kHz", "parse to utterances")


class AnyWire(Protocol):
    """What turns what comes into events."""

    def receive_data(self, data: Any, /) -> Sequence[StreamEvent]:
        """Take one read, or one message."""
        ...


def main() -> None:
    """Measure, print the table, and last the JSON object."""
    parser = argparse.ArgumentParser(description="Microseconds per frame of 20 ms, from the wire to samples.")
    parser.add_argument("--seconds", type=float, default=60.0, help="audio per round")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    frames = _frames(round(options.seconds * 1000 / FRAME_MS))
    figures = {name: _measure(play, frames, options.rounds) for name, play in _WIRES.items()}
    table = Table("µs per frame, median", *figures)
    for stage in STAGES:
        table.add_row(stage, *(f"{found[stage]:.2f}" for found in figures.values()))
    for stage, before in zip(STAGES, (None, *STAGES), strict=False):
        table.add_row(
            f"share of {stage.removeprefix('parse ')}", *(_share(each, stage, before) for each in figures.values())
        )
    Console().print(table)
    to_samples = {name: found[STAGES[1]] for name, found in figures.items()}
    print(json.dumps({"goals_us": GOALS_US, "us_per_frame": figures, "us_to_16_khz": to_samples}))


def _share(found: Mapping[str, float], stage: str, before: str | None) -> str:
    own = found[stage] - (found[before] if before else 0.0)
    return f"{own / found[STAGES[-1]]:.0%}"


def _frames(count: int) -> list[bytes]:
    speech = scripts()[0].pcm
    speech *= count * FRAME_BYTES // len(speech) + 1
    return [speech[start : start + FRAME_BYTES] for start in range(0, count * FRAME_BYTES, FRAME_BYTES)]


def _audiosocket(encoding: Encoding) -> Play:
    """Give what the socket would give, one read for each frame, the UUID with the first."""

    def play(frames: list[bytes]) -> tuple[AnyWire, list[bytes]]:
        payloads = frames if encoding is Encoding.L16 else [audioop.lin2ulaw(frame, 2) for frame in frames]
        reads = [encode(Kind.SLIN, payload) for payload in payloads]
        reads[0] = encode(Kind.UUID, uuid.UUID(int=1).bytes) + reads[0]
        return AudioSocketWire(Track(id="inbound", role=TrackRole.INBOUND), encoding), reads

    return play


def _twilio(frames: list[bytes]) -> tuple[AnyWire, list[str]]:
    """Give the texts of a stream of one track, after its `start`."""
    wire = JsonMediaWire(TWILIO.names, Introduction(TWILIO, {}).open)
    wire.receive_data(START)
    return wire, [media(number, audioop.lin2ulaw(frame, 2)) for number, frame in enumerate(frames)]


_WIRES: dict[str, Play] = {
    "AudioSocket slin": _audiosocket(Encoding.L16),
    "AudioSocket ulaw": _audiosocket(Encoding.PCMU),
    "Twilio": _twilio,
}


def _measure(play: Play, frames: list[bytes], rounds: int) -> dict[str, float]:
    found: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for _ in range(rounds):
        for stage, run in zip(STAGES, (_parse, _to_samples, _to_utterances), strict=True):
            wire, reads = play(frames)
            begin = time.perf_counter()
            run(wire, reads)
            found[stage].append((time.perf_counter() - begin) / len(reads) * 1e6)
    return {stage: round(statistics.median(values), 2) for stage, values in found.items()}


def _parse(wire: AnyWire, reads: Sequence[str | bytes]) -> None:
    for data in reads:
        wire.receive_data(data)


def _to_samples(wire: AnyWire, reads: Sequence[str | bytes]) -> None:
    track = MediaTrack(0.0)
    for number, data in enumerate(reads):
        for event in wire.receive_data(data):
            if isinstance(event, AudioFrame):
                for _ in track.push(event, number * 0.02):
                    pass


def _to_utterances(wire: AnyWire, reads: Sequence[str | bytes]) -> None:
    track, speech = MediaTrack(0.0), SpeechTrack(Speech())
    for number, data in enumerate(reads):
        for event in wire.receive_data(data):
            if isinstance(event, AudioFrame):
                for block in track.push(event, number * 0.02):
                    speech.push(block, number * 0.02)


if __name__ == "__main__":
    main()
