from __future__ import annotations

import msgspec
import pytest

from asr.language import among, likely_ones
from asr.types import Hypothesis
from config.languages import Languages, spoken_languages
from gateway.languages import Asked, CallLanguages

ANY = Languages()
SPANISH, ENGLISH = {"es": 0.97}, {"en": 0.97}


def hear(
    call: CallLanguages,
    likely: dict[str, float],
    seconds: float = 3.0,
    *,
    track: str = "inbound",
    decoded_in: str | None = None,
    spoken: Languages = ANY,
) -> str | None:
    """Let a final come in; tell in which language it is to be decoded again."""
    known = call.ask(track, spoken).known
    assert known is not None
    allowed = among(likely, known.allowed)
    language = decoded_in or known.after(allowed, seconds).language
    answer = Hypothesis(
        text="said",
        model="fake",
        language=language,
        language_probability=allowed.get(language or "", 0.0),
        languages=likely_ones(allowed),
    )
    return call.hear(track, spoken, answer, seconds)


@pytest.mark.parametrize(
    ("language", "allowed", "model", "expected"),
    [
        ("de", (), "base", Languages(given="de")),
        ("de", ("en", "es"), "base", Languages(given="de")),
        ("auto", (), "base", Languages()),
        ("auto", ("en", "es"), "base", Languages(allowed=("en", "es"))),
        ("auto", ("es",), "base", Languages(given="es")),
        ("auto", (), "base.en", Languages(given="en")),
        ("auto", ("en", "es"), "base.en", Languages(given="en")),
    ],
)
def test_what_is_left_to_be_found_out(language: str, allowed: tuple[str, ...], model: str, expected: Languages) -> None:
    assert spoken_languages(language, allowed, model) == expected


def test_where_the_language_is_given_nothing_is_found_out() -> None:
    call, german = CallLanguages(), Languages(given="de")
    assert call.ask("inbound", german) == call.ask("inbound", german, quick=True) == Asked(language="de")
    answer = Hypothesis(text="said", model="fake", language="de", language_probability=None)
    assert call.hear("inbound", german, answer, 5.0) is None
    assert call.known("inbound", german) is None


def test_who_is_in_a_hurry_has_the_model_listen_only_while_nothing_is_known() -> None:
    call = CallLanguages()
    assert call.ask("inbound", ANY, quick=True) == call.ask("inbound", ANY)
    assert hear(call, SPANISH, 0.7) is None
    assert call.ask("inbound", ANY, quick=True) == Asked(language="es"), "the likeliest so far"
    assert call.ask("inbound", ANY).known is not None
    assert hear(call, ENGLISH) is None
    assert call.ask("inbound", ANY, quick=True) == Asked(language="en")


def test_a_track_goes_by_its_own_words_and_before_that_by_the_others() -> None:
    call = CallLanguages()
    hear(call, SPANISH)
    assert call.ask("outbound", ANY, quick=True) == Asked(language="es")
    hear(call, ENGLISH, 0.6, track="outbound")
    assert call.ask("outbound", ANY, quick=True) == Asked(language="es")
    hear(call, ENGLISH, track="outbound")
    assert [call.ask(track, ANY, quick=True).language for track in ("inbound", "outbound")] == ["es", "en"]


def test_where_the_language_of_one_is_given_the_others_are_taken_to_speak_it_too() -> None:
    call = CallLanguages()
    said = Hypothesis(text="ja", model="fake", language="de")
    assert call.hear("agent", Languages(given="de"), said, 1.0) is None
    assert call.ask("inbound", ANY, quick=True) == Asked(language="de")


def test_a_word_in_a_long_noise_counts_for_no_more_than_what_was_decoded_of_it() -> None:
    call = CallLanguages()
    word = Hypothesis(
        text="ja",
        model="fake",
        language="zh",
        language_probability=0.57,
        languages={"zh": 0.57, "de": 0.3},
        decoded_seconds=1.7,
    )
    call.hear("inbound", ANY, word, 21.0)
    assert call.held("inbound") is None
    call.hear("outbound", ANY, msgspec.structs.replace(word, decoded_seconds=None), 21.0)
    assert call.held("outbound") == "zh"


def test_a_track_is_not_presumed_to_speak_what_it_may_not() -> None:
    call = CallLanguages()
    hear(call, SPANISH)
    known = call.known("outbound", Languages(allowed=("de", "en")))
    assert known is not None
    assert (known.presumed, known.language) == (None, None)


def test_what_was_asked_for_too_early_is_to_be_decoded_again() -> None:
    """Of several finals that wait together none knows what the others hold."""
    call = CallLanguages()
    assert hear(call, SPANISH) is None
    assert hear(call, {"en": 0.5, "es": 0.3}, 0.5, decoded_in="en") == "es"
    assert hear(call, SPANISH, decoded_in="es") is None
    assert hear(call, ENGLISH, decoded_in="es") is None
    assert hear(call, ENGLISH, decoded_in="es") == "en", "the one that completes a change"


def test_while_nothing_is_decided_nothing_is_decoded_again() -> None:
    call = CallLanguages()
    assert hear(call, SPANISH, 0.7, decoded_in="en") is None


def test_what_holds_no_words_says_nothing_of_a_language() -> None:
    call = CallLanguages()
    noise = Hypothesis(text="", model="fake", language="cy", language_probability=0.9, languages={"cy": 0.9})
    assert call.hear("inbound", ANY, noise, 20.0) is None
    assert call.ask("inbound", ANY, quick=True).language is None


def test_a_model_that_knows_english_only_decides_it() -> None:
    call = CallLanguages()
    assert call.hear("inbound", ANY, Hypothesis(text="said", model="x", language="en"), 0.5) is None
    assert call.ask("inbound", ANY, quick=True) == Asked(language="en")
