from __future__ import annotations

import wave
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.language_calls import (
    PAUSE_SECONDS,
    Clip,
    Heard,
    Maker,
    Piece,
    Turn,
    decision,
    duration,
    flips,
    noticed_after,
    of_track,
    replay,
)
from bench.language_clips import ClipsError, cut, half_of, read_sounds
from bench.language_figures import as_table, of_single, of_switching, of_two
from config.languages import Languages
from tests.recordings import said, write_wav
from tests.sound import prompt

if TYPE_CHECKING:
    from collections.abc import Callable

CLIPS = [
    Clip(language=language, name=f"{language}-{number}", pieces=(Piece(speech_seconds=3.0, likely={language: 0.97}),))
    for language in ("en", "es", "ru")
    for number in range(4)
]


def turn(language: str, *, guess: str | None = None, seconds: float = 3.0, track: str = "inbound") -> Turn:
    piece = Piece(speech_seconds=seconds, likely={guess or language: 0.97})
    return Turn(track=track, language=language, name=f"{language} {seconds:g}", piece=piece)


def heard(language: str, held: str | None, *, guess: str | None = None) -> Heard:
    return Heard(turn=turn(language), guess=guess or language, text=held or guess or language, held=held)


@pytest.mark.parametrize(
    "make", [lambda maker: maker.one("es", 60), lambda maker: maker.switching(60), lambda maker: maker.two(60)]
)
def test_the_same_seed_makes_the_same_call(make: Callable[[Maker], list[Turn]]) -> None:
    assert make(Maker(CLIPS, 3)) == make(Maker(CLIPS, 3))
    assert 40 <= duration(make(Maker(CLIPS, 3))) <= 70


def test_who_speaks_what() -> None:
    maker = Maker(CLIPS, 1)
    assert {each.language for each in maker.one("ru", 60)} == {"ru"}
    languages = [each.language for each in maker.switching(60)]
    assert len(dict.fromkeys(languages)) == 2
    assert sum(before != after for before, after in pairwise(languages)) == 1
    two = maker.two(60)
    assert len({(each.track, each.language) for each in two}) == 2
    assert [each.track for each in two[:4]] == ["inbound", "outbound"] * 2


def test_a_prompt_without_speech_is_named() -> None:
    with pytest.raises(ValueError, match="no speech in silent"):
        Maker([Clip(language="en", name="silent", pieces=())], 1).one("en", 10)


def test_a_call_goes_the_way_of_its_finals() -> None:
    turns = [turn("es"), turn("es", guess="en", seconds=0.5), turn("en"), turn("en"), turn("en")]
    done = replay(turns, Languages())
    assert [each.guess for each in done] == ["es", "en", "en", "en", "en"]
    assert [each.held for each in done] == ["es", "es", "es", "en", "en"]
    assert [each.text for each in done] == ["es", "es", "es", "en", "en"]
    assert noticed_after(done) == 2
    with pytest.raises(ValueError, match="is given"):
        replay(turns, Languages(given="en"))


def test_decisions_and_flips_are_found() -> None:
    call = [heard("es", None), heard("es", "en"), heard("es", "en"), heard("es", "es"), heard("es", "es")]
    first = decision(call)
    assert first is not None
    assert (first.language, first.right, first.utterances, first.speech_seconds) == ("en", False, 2, 6.0)
    assert list(flips(call)) == [call[3]]
    assert decision(call[:1]) is None
    assert noticed_after([heard("en", "en"), heard("ru", "en")]) is None
    other = one_on("outbound")
    assert of_track([*call, other], "outbound") == [other]


def one_on(track: str) -> Heard:
    return Heard(turn=turn("es", track=track), guess="es", text="es", held=None)


def test_figures_of_one_language() -> None:
    right = [heard("en", None, guess="cy"), heard("en", "en"), heard("en", "en", guess="cy")]
    wrong = [heard("es", "pt", guess="pt"), heard("es", "pt", guess="pt"), heard("es", "es")]
    figures = of_single([right, wrong])
    hours = 6 * (3.0 + PAUSE_SECONDS) / 3600
    assert (figures["calls"], figures["decided"], figures["decided_right"], figures["flips"]) == (2, 2, 1, 1)
    assert figures["flips_per_hour"] == round(1 / hours, 3)
    assert figures["changes_per_hour_alone"] == round(3 / hours, 1)
    assert figures["right"] == 0.5
    assert figures["right_since_decided"] == 0.6
    assert figures["right_alone"] == round(2 / 6, 4)
    assert (figures["utterances_to_decide_p50"], figures["seconds_to_decide_p95"]) == (2, 6.0)
    assert figures["wrong"] == ["es taken for pt at es 3"]


def test_figures_of_two_languages() -> None:
    noticed = [heard("en", "en"), heard("ru", "en"), heard("ru", "ru")]
    missed = [heard("en", "en"), heard("ru", "en")]
    figures = of_switching([noticed, missed])
    assert figures == {
        "calls": 2,
        "missed": 1,
        "utterances_until_noticed_p50": 2,
        "utterances_until_noticed_p95": 2,
    }
    both = [heard("en", "en"), one_on("outbound")]
    assert (of_two([both])["calls"], of_two([both])["decided"]) == (2, 1)
    assert as_table({"one": of_single([noticed]), "two": figures}).row_count > 10


def test_a_prompt_is_heard_as_a_call_hears_it(tmp_path: Path) -> None:
    (utterance,) = cut(prompt("conf-onlyperson"))
    assert utterance.speech_seconds == pytest.approx(3.0, abs=0.2)
    for language in ("en_US", "es_MX", "notes"):
        (tmp_path / language / "digits").mkdir(parents=True)
        for name in ("one", "digits/two", "tt-monkeys", "silence/1"):
            path = tmp_path / language / f"{name}.wav"
            path.parent.mkdir(exist_ok=True)
            write_wav(path, said("conf-onlyperson"))
    sounds = read_sounds(tmp_path)
    assert [(each.language, each.name, len(each.utterances)) for each in sounds] == [
        (language, name, 1) for language in ("en", "es") for name in ("digits/two.wav", "one.wav")
    ]
    assert len(read_sounds(tmp_path, limit=1)) == 2


def test_sounds_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(ClipsError, match="expected prompts of several languages"):
        read_sounds(tmp_path)
    (tmp_path / "en_US").mkdir()
    bad = tmp_path / "en_US" / "bad.wav"
    bad.write_bytes(b"RIFF")
    with pytest.raises(ClipsError, match=r"bad\.wav: expected a WAV file"):
        read_sounds(tmp_path)
    write_wav(bad, said("conf-onlyperson"), rate_hz=16_000)
    with pytest.raises(ClipsError, match="expected 16-bit mono at 8 kHz"):
        read_sounds(tmp_path)
    with wave.open(str(bad)) as file:
        assert file.getframerate() == 16_000


def test_what_is_said_in_every_language_is_of_one_half() -> None:
    halves = [half_of(f"digits/{number}.wav") for number in range(100)]
    assert set(halves) == {"tuned", "others"}
    assert 30 < halves.count("tuned") < 70
    assert half_of("digits/1.wav") == half_of(str(Path("digits") / "1.wav"))
