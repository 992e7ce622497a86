"""Prompts with their texts, for every benchmark that decodes: read, asked for, scored."""

from __future__ import annotations

import csv
import os
import sys
from typing import TYPE_CHECKING

import msgspec

from adapters.media.track import MediaTrack
from adapters.stream import AudioFormat, AudioFrame, Encoding
from asr.types import DecodeKind, DecodeOptions, DecodeRequest
from asr.weights import default_cache_dir, resolve
from gateway.demo.score import word_errors, words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from asr.transcriber import Transcriber
    from asr.weights import Weights
    from config.profiles import Profile

ONE_THREAD = "OPENBLAS_NUM_THREADS"
"""As in the model process: numpy's own threads would wait for one another at both sides' cost."""

PCMU = AudioFormat(Encoding.PCMU, 8_000)


class Utterance(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt."""

    name: str
    text: str
    audio: bytes
    """16 kHz PCM, as a call brings it: through our own media path."""
    hotwords: str | None = None


class Outcome(msgspec.Struct, kw_only=True):
    """What one way of decoding came to."""

    seconds: float
    texts: list[str]
    errors: list[int]


def one_thread(module: str) -> None:
    """Begin this program anew with numpy on one thread, which it takes when it is imported."""
    if ONE_THREAD not in os.environ:
        again = [sys.executable, "-m", module, *sys.argv[1:]]
        os.execve(sys.executable, again, os.environ | {ONE_THREAD: "1"})  # noqa: S606  this very program


def find_weights(name: str) -> Weights:
    """Find a model by its name or directory, or fetch it."""
    return resolve(name, cache_dir=default_cache_dir(os.environ), offline=False, progress=_silent)


def _silent(_name: str, _done: int, _total: int | None) -> None:
    """Take progress that nobody needs to see."""


def read_utterances(speech: Path) -> list[Utterance]:
    """Read `dev.tsv` (file, seconds, text) and the files in `dev/`, raw mu-law at 8 kHz."""
    with (speech / "dev.tsv").open(newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))[1:]
    return [Utterance(name=name, text=text, audio=_audio(speech / "dev" / name)) for name, _, text in rows]


def _audio(path: Path) -> bytes:
    track = MediaTrack(0.0)
    blocks = [*track.push(AudioFrame("x", PCMU, path.read_bytes()), 0.0), *track.finish()]
    return b"".join(blocks)


def decode_all(
    model: Transcriber, profile: Profile, batch: int, clock: Callable[[], float], utterances: Sequence[Utterance]
) -> Outcome:
    """Decode all of them, those of about one length together, as the scheduler will."""
    requests = [_request(number, each, profile) for number, each in enumerate(utterances)]
    requests.sort(key=lambda request: len(request.audio))
    model.warm_up()
    texts: dict[str, str] = {}
    begin = clock()
    for start in range(0, len(requests), batch):
        some = requests[start : start + batch]
        texts |= {some[place].request_id: answer.text for place, answer in model.decode(some)}
    return outcome_of(clock() - begin, [texts[str(number)] for number in range(len(utterances))], utterances)


def outcome_of(seconds: float, texts: list[str], utterances: Sequence[Utterance]) -> Outcome:
    """Score what was heard, and share the cost out."""
    errors = [word_errors(words(each.text), words(text)) for each, text in zip(utterances, texts, strict=True)]
    return Outcome(seconds=seconds / len(utterances), texts=texts, errors=errors)


def _request(number: int, utterance: Utterance, profile: Profile) -> DecodeRequest:
    return DecodeRequest(
        request_id=str(number),
        stream_key="",
        group_key="",
        kind=DecodeKind.FINAL,
        audio=utterance.audio,
        origin_sample=0,
        language="en",
        options=DecodeOptions(profile=profile, hotwords=utterance.hotwords),
    )
