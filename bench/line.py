"""From samples to what a gateway makes of them, faster than real time: codec, media path, utterances, text."""

from __future__ import annotations

import audioop
import io
from typing import TYPE_CHECKING, Final

import av
import msgspec
import numpy as np

from adapters.media.track import MediaTrack
from adapters.stream import AudioFormat, AudioFrame, Encoding
from asr.speech import SpeechTrack
from asr.types import DecodeKind, DecodeOptions, DecodeRequest
from bench.noises import RATE_HZ
from config.settings import Speech

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from asr.speech import Utterance
    from asr.transcriber import Transcriber
    from asr.types import Hypothesis
    from bench.noises import Samples

BATCH = 8
AMR: Final = "libopencore_amrnb"
PCM_MOST = 32_767
ENGLISH_FINAL = DecodeOptions()


class Codec(msgspec.Struct, frozen=True):
    """How samples get to the gateway, and what they went through before."""

    name: str
    format: AudioFormat
    payload: Callable[[bytes], bytes]


def knows_amr() -> bool:
    """Tell whether PyAV was built with what writes AMR; not all of its wheels are."""
    return AMR in av.codecs_available


def _mobile(pcm: bytes) -> bytes:
    """Let a mobile network carry 16-bit PCM: AMR at 12.2 kbit/s, then mu-law."""
    file = io.BytesIO()
    samples = np.frombuffer(pcm, "<i2").reshape(1, -1)
    with av.open(file, "w", format="amr") as container:
        stream = container.add_stream(AMR, rate=RATE_HZ, options={"b": "12200"})
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.rate = RATE_HZ
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    with av.open(io.BytesIO(file.getvalue()), "r") as coded:
        joined = np.concatenate([frame.to_ndarray().reshape(-1) for frame in coded.decode(audio=0)])
    if joined.dtype != np.int16:
        joined = np.clip(joined * (PCM_MOST + 1), -PCM_MOST - 1, PCM_MOST)
    return audioop.lin2ulaw(joined.astype("<i2").tobytes(), 2)


MU_LAW = Codec("mu-law", AudioFormat(Encoding.PCMU, RATE_HZ), lambda pcm: audioop.lin2ulaw(pcm, 2))
A_LAW = Codec("A-law", AudioFormat(Encoding.PCMA, RATE_HZ), lambda pcm: audioop.lin2alaw(pcm, 2))
MOBILE = Codec("AMR, mu-law", AudioFormat(Encoding.PCMU, RATE_HZ), _mobile)


def pcm(samples: Samples) -> bytes:
    """Write samples as 16-bit PCM, as loud as can be where they are louder."""
    return np.clip(np.round(samples), -PCM_MOST - 1, PCM_MOST).astype("<i2").tobytes()


def utterances(samples: Samples, codec: Codec = MU_LAW) -> Iterator[Utterance]:
    """Give what a track would find in 8 kHz samples, as its stream ends with them."""
    media, speech = MediaTrack(0.0), SpeechTrack(Speech())
    frame = AudioFrame("x", codec.format, codec.payload(pcm(samples)))
    for block in (*media.push(frame, 0.0), *media.finish()):
        if utterance := speech.push(block, 0.0):
            yield utterance
    if utterance := speech.finish():
        yield utterance


def decode(model: Transcriber, audio: Sequence[bytes], options: DecodeOptions = ENGLISH_FINAL) -> list[Hypothesis]:
    """Decode finals, those of about one length together; answers stand in the order of what was asked."""
    answers: dict[int, Hypothesis] = {}
    order = sorted(range(len(audio)), key=lambda place: len(audio[place]))
    for first in range(0, len(order), BATCH):
        batch = order[first : first + BATCH]
        for place, answer in model.decode([_request(place, audio[place], options) for place in batch]):
            answers[batch[place]] = answer
    return [answers[place] for place in range(len(audio))]


def _request(place: int, audio: bytes, options: DecodeOptions) -> DecodeRequest:
    return DecodeRequest(
        request_id=str(place),
        stream_key="",
        group_key="",
        kind=DecodeKind.FINAL,
        audio=audio,
        origin_sample=0,
        language="en",
        options=options,
    )
