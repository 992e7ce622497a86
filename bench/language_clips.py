"""Asterisk's prompts in several languages, as a telephone brings them, and what a model hears of their language."""

from __future__ import annotations

import audioop
import wave
import zlib
from typing import TYPE_CHECKING

import msgspec

from adapters.media.track import MediaTrack
from adapters.stream import AudioFrame
from asr.speech import SpeechTrack
from asr.types import SAMPLE_RATE_HZ
from asr.weights import WeightsError
from asr.whisper import Whisper
from asr.windows import Windows, frames
from bench.language_calls import Clip, Piece
from bench.utterances import PCMU, find_weights
from config.settings import Models, Speech

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from asr.speech import Utterance

RATE_HZ = 8_000
SILENCE_BEFORE = bytes(2 * RATE_HZ * 300 // 1000)
SILENCE_AFTER = bytes(2 * RATE_HZ * 1500 // 1000)
"""Enough for an utterance to begin and to end in."""

WORDLESS = ("silence", "tt-monkeys", "tt-weasels", "beep")
"""Names that tell that nobody speaks."""

LEAST_TOLD = 1e-4
"""What is less likely is not kept."""


class ClipsError(Exception):
    """Sounds that cannot be used; the text says why, and what to do."""


class Sound(msgspec.Struct, frozen=True, kw_only=True):
    """One file, cut into utterances."""

    language: str
    name: str
    utterances: tuple[Utterance, ...]


def half_of(name: str) -> str:
    """Tell which half a prompt belongs to: the same in all languages, for the same is said."""
    return ("tuned", "others")[zlib.crc32(name.encode()) % 2]


def read_sounds(sounds: Path, limit: int | None = None) -> list[Sound]:
    """Read the prompts of every language, but at most so many of each. Raises ClipsError."""
    found = [sound for directory in sorted(sounds.iterdir()) for sound in _language(directory, limit)]
    languages = {sound.language for sound in found}
    if len(languages) <= 1:
        raise ClipsError(
            f"{sounds}: expected prompts of several languages, such as those of Debian's"
            " asterisk-core-sounds-en-wav, -es-wav, -fr-wav, -it-wav and -ru-wav"
        )
    return found


def _language(directory: Path, limit: int | None) -> Iterator[Sound]:
    """Read a directory such as `es_MX_f_Allison`."""
    language, several, _ = directory.name.partition("_")
    if not several or not directory.is_dir():
        return
    names = sorted(str(path.relative_to(directory)) for path in directory.rglob("*.wav"))
    spoken = [name for name in names if not name.startswith(WORDLESS)]
    for name in spoken[:: max(1, len(spoken) // limit)][:limit] if limit else spoken:
        utterances = tuple(cut(_pcm(directory / name)))
        if utterances:
            yield Sound(language=language, name=name, utterances=utterances)


def _pcm(path: Path) -> bytes:
    """Read 16-bit mono PCM at 8 kHz. Raises ClipsError."""
    try:
        with wave.open(str(path)) as file:
            if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, RATE_HZ):
                raise ClipsError(f"{path}: expected 16-bit mono at 8 kHz")
            pcm: bytes = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ClipsError(f"{path}: expected a WAV file: {error}") from error
    return pcm


def cut(pcm: bytes) -> Iterator[Utterance]:
    """Send PCM at 8 kHz as a telephone does, and give the utterances that are heard."""
    media, speech = MediaTrack(0.0), SpeechTrack(Speech())
    sent = audioop.lin2ulaw(SILENCE_BEFORE + pcm + SILENCE_AFTER, 2)
    for block in [*media.push(AudioFrame("x", PCMU, sent), 0.0), *media.finish()]:
        if utterance := speech.push(block, 0.0):
            yield utterance
    if rest := speech.finish(end_of_turn=True):
        yield rest


def listen(sounds: Sequence[Sound], model: str, clock: Callable[[], float]) -> tuple[list[Clip], float, float]:
    """Hear the language of every utterance; tell what it costs in ms, to encode and to detect. Raises ClipsError."""
    try:
        weights = find_weights(model)
    except WeightsError as error:
        raise ClipsError(str(error)) from error
    whisper, windows = Whisper(weights, Models(threads=1)), Windows.of(weights.name, full=False)
    if not whisper.multilingual:
        raise ClipsError(f"{model} knows English only; name another --model")
    spent, clips = [0.0, 0.0], list[Clip]()
    for sound in sounds:
        pieces = []
        for utterance in sound.utterances:
            began = clock()
            window = windows.first(len(utterance.audio) / 2 / SAMPLE_RATE_HZ)
            encoded = whisper.encode([whisper.features(utterance.audio)], frames(window))
            ended = clock()
            (likely,) = whisper.languages(encoded)
            spent = [spent[0] + ended - began, spent[1] + clock() - ended]
            told = {language: round(each, 5) for language, each in likely.items() if each > LEAST_TOLD}
            pieces.append(Piece(speech_seconds=utterance.speech_seconds, likely=told))
        clips.append(Clip(language=sound.language, name=sound.name, pieces=tuple(pieces)))
    heard = sum(len(clip.pieces) for clip in clips)
    return clips, 1000 * spent[0] / heard, 1000 * spent[1] / heard
