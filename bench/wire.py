"""What one frame of 20 ms costs on its way from socket bytes to 16 kHz samples, and on to voice activity.

    python -m bench.wire [--seconds S] [--rounds N]

Plays AudioSocket frames of 16-bit PCM at 8 kHz, each as one read, and mu-law ones, through the product's own
chain in one thread. Every stage is timed together with those before it, in turn, and its share is the
difference; the figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import audioop
import json
import statistics
import time
import uuid

from rich.console import Console
from rich.table import Table

from adapters.asterisk.audiosocket import AudioSocketWire, Kind, encode
from adapters.media.track import MediaTrack
from adapters.stream import AudioFrame, Encoding, Track, TrackRole
from asr.speech import SpeechTrack
from config.settings import Speech
from gateway.demo.script import scripts

FRAME_BYTES = 320
GOAL_US = 10.0
STAGES = ("parse", "parse to 16 kHz", "parse to utterances")


def main() -> None:
    """Measure, print the table, and last the JSON object."""
    parser = argparse.ArgumentParser(description="Microseconds per frame of 20 ms, from socket bytes to samples.")
    parser.add_argument("--seconds", type=float, default=60.0, help="audio per round")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    figures = {name: _measure(encoding, options.seconds, options.rounds) for name, encoding in _ENCODINGS.items()}
    table = Table("µs per frame, median", *_ENCODINGS)
    for stage in STAGES:
        table.add_row(stage, *(f"{figures[name][stage]:.2f}" for name in _ENCODINGS))
    Console().print(table)
    print(json.dumps({"goal_us": GOAL_US, "us_per_frame": figures, "us_to_16_khz": figures["slin"][STAGES[1]]}))


_ENCODINGS = {"slin": Encoding.L16, "ulaw": Encoding.PCMU}


def _measure(encoding: Encoding, seconds: float, rounds: int) -> dict[str, float]:
    reads = _reads(encoding, round(seconds * 50))
    found: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for _ in range(rounds):
        for stage, run in zip(STAGES, (_parse, _to_samples, _to_utterances), strict=True):
            begin = time.perf_counter()
            run(reads, encoding)
            found[stage].append((time.perf_counter() - begin) / len(reads) * 1e6)
    return {stage: round(statistics.median(values), 2) for stage, values in found.items()}


def _reads(encoding: Encoding, frames: int) -> list[bytes]:
    """Make what the socket would give, one read for each frame, the UUID with the first."""
    speech = scripts()[0].pcm
    speech *= frames * FRAME_BYTES // len(speech) + 1
    pcm = [speech[start : start + FRAME_BYTES] for start in range(0, frames * FRAME_BYTES, FRAME_BYTES)]
    payloads = pcm if encoding is Encoding.L16 else [audioop.lin2ulaw(frame, 2) for frame in pcm]
    reads = [encode(Kind.SLIN, payload) for payload in payloads]
    reads[0] = encode(Kind.UUID, uuid.UUID(int=1).bytes) + reads[0]
    return reads


def _wire(encoding: Encoding) -> AudioSocketWire:
    return AudioSocketWire(Track(id="inbound", role=TrackRole.INBOUND), encoding)


def _parse(reads: list[bytes], encoding: Encoding) -> None:
    wire = _wire(encoding)
    for data in reads:
        wire.receive_data(data)


def _to_samples(reads: list[bytes], encoding: Encoding) -> None:
    wire, media = _wire(encoding), MediaTrack(0.0)
    for number, data in enumerate(reads):
        for event in wire.receive_data(data):
            if isinstance(event, AudioFrame):
                for _ in media.push(event, number * 0.02):
                    pass


def _to_utterances(reads: list[bytes], encoding: Encoding) -> None:
    wire, media, speech = _wire(encoding), MediaTrack(0.0), SpeechTrack(Speech())
    for number, data in enumerate(reads):
        for event in wire.receive_data(data):
            if isinstance(event, AudioFrame):
                for block in media.push(event, number * 0.02):
                    speech.push(block, number * 0.02)


if __name__ == "__main__":
    main()
