from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.evidence import Evidence, Strength
from asr.invention import PHRASES, invented, unheard
from asr.quality import Attempt
from asr.tones import Sound
from asr.types import Reason
from config.profiles import Profile

NONE = Evidence(seconds=20, peak=0.05, voiced_ms=0, share=0)
WEAK = Evidence(seconds=0.9, peak=0.4, voiced_ms=32, share=0.2)
WEAK_LONG = Evidence(seconds=20, peak=0.4, voiced_ms=32, share=0.01)
SOME = Evidence(seconds=0.9, peak=0.85, voiced_ms=160, share=0.3)
SOME_LONG = Evidence(seconds=20, peak=0.85, voiced_ms=96, share=0.03)
WORD_IN_NOISE = Evidence(seconds=20, peak=0.94, voiced_ms=320, share=0.03)
STRONG = Evidence(seconds=3, peak=0.97, voiced_ms=1500, share=0.7)
SOFT = Evidence(seconds=0.9, peak=0.74, voiced_ms=448, share=0.66)


def attempt(log_probability: float, no_speech: float) -> Attempt:
    return Attempt(tokens=(1,), ended=True, log_probability=log_probability, no_speech_probability=no_speech)


def test_the_examples_are_what_they_are_called() -> None:
    weighed = [each.strength for each in (NONE, WEAK, WEAK_LONG, SOME, SOME_LONG, WORD_IN_NOISE, STRONG, SOFT)]
    assert weighed == [Strength.NONE, *[Strength.WEAK] * 2, *[Strength.SOME] * 3, *[Strength.STRONG] * 2]


@pytest.mark.parametrize(
    ("evidence", "sound", "expected"),
    [
        (NONE, Sound.MUSIC, Reason.MUSIC),
        (NONE, Sound.NOISE, Reason.NOISE),
        (NONE, Sound.TONE, Reason.TONE),
        (WEAK, Sound.TONE, Reason.TONE),
        (NONE, Sound.DRONE, Reason.TONE),
        (WEAK, Sound.DRONE, Reason.TONE),
        (SOME_LONG, Sound.DRONE, Reason.TONE),
        (SOME, Sound.DRONE, None),  # a word, and the mains hum
        (WORD_IN_NOISE, Sound.DRONE, None),
        (SOME, Sound.TONE, None),
        (STRONG, Sound.DRONE, None),
        (WEAK, Sound.NOISE, None),
        (WEAK_LONG, Sound.MUSIC, None),
        (SOME, Sound.NOISE, None),
    ],
)
def test_what_holds_no_voice_is_not_decoded(evidence: Evidence, sound: Sound, expected: Reason | None) -> None:
    assert unheard(evidence, sound) is expected


@pytest.mark.parametrize(
    ("evidence", "log_probability", "no_speech", "text", "expected"),
    [
        # A short word of which the model is unsure, and says that nobody spoke: callers say such words.
        (STRONG, -1.7, 0.9, "F", None),
        (STRONG, -1.7, 0.9, "Thank you.", None),
        (SOME, -1.7, 0.7, "No.", None),
        (SOME, -1.2, 0.2, "Thank you.", None),
        (SOME, -1.7, 0.9, "you", None),
        # The last notes of a tune, which Silero takes for a voice, but not for a clear one.
        (SOFT, -0.9, 0.8, "Hmm.", Reason.PHRASE),
        (SOFT, -1.4, 0.7, "Oh, yeah.", Reason.IMPROBABLE),
        (SOFT, -1.4, 0.5, "Oh, yeah.", None),
        (SOFT, -0.4, 0.9, "Oh, yeah.", None),
        (SOME_LONG, -0.9, 0.9, "Hello, how can I help?", None),
        (SOME_LONG, -1.1, 0.1, "I'm going to the library.", Reason.IMPROBABLE),
        (WORD_IN_NOISE, -1.5, 0.5, "G", None),
        (WORD_IN_NOISE, -0.9, 0.9, "G", None),
        (WORD_IN_NOISE, -1.8, 0.8, "I'm going back to the room.", Reason.IMPROBABLE),  # half a second of a tune
        (WEAK, -0.9, 0.2, "Eight.", None),
        (WEAK, -1.1, 0.2, "Eight.", Reason.IMPROBABLE),
        (WEAK, -0.9, 0.7, "Eight.", Reason.IMPROBABLE),
        (WEAK, -0.9, 0.2, "Thank you!", Reason.PHRASE),
        (WEAK, -0.3, 0.2, "Thank you!", None),
        (WEAK_LONG, -0.7, 0.2, "It is good.", Reason.IMPROBABLE),
        (WEAK_LONG, -0.3, 0.2, "It is good.", None),
        (STRONG, -0.1, 0.1, "", Reason.EMPTY),
        (None, -0.9, 0.9, "Eight.", None),
        (None, -1.1, 0.9, "Eight.", Reason.IMPROBABLE),
        (None, -1.1, 0.1, "Eight.", None),
        (None, -0.1, 0.1, "", Reason.EMPTY),
    ],
)
def test_a_text_is_believed_as_far_as_a_voice_was_heard(
    evidence: Evidence | None, log_probability: float, no_speech: float, text: str, expected: Reason | None
) -> None:
    assert invented(evidence, attempt(log_probability, no_speech), text, Profile()) is expected


def test_the_profile_says_what_is_hardly_likely() -> None:
    unsure = attempt(-1.1, 0.2)
    assert invented(WEAK, unsure, "Eight.", Profile(log_prob_threshold=-1.2)) is None
    assert invented(WEAK, attempt(-0.9, 0.2), "Eight.", Profile(log_prob_threshold=-0.1)) is None, (
        "retries are no doubt"
    )
    assert invented(WEAK, attempt(-0.9, 0.7), "Eight.", Profile(no_speech_threshold=0.8)) is None


@given(st.floats(-3, 0), st.floats(0, 1), st.sampled_from([*sorted(PHRASES), "Eight."]))
def test_what_is_clearly_a_voice_is_always_believed(log_probability: float, no_speech: float, text: str) -> None:
    assert invented(STRONG, attempt(log_probability, no_speech), text, Profile()) is None


@given(st.floats(-3, -0.01), st.floats(0, 0.99), st.floats(0, 1), st.floats(0, 1), st.sampled_from(["you", "Eight."]))
def test_a_surer_model_is_never_believed_less(
    log_probability: float, no_speech: float, surer: float, less_silent: float, text: str
) -> None:
    for evidence in (None, WEAK, WEAK_LONG, SOME, SOME_LONG, SOFT):
        better = attempt(log_probability * surer, no_speech * less_silent)
        if invented(evidence, attempt(log_probability, no_speech), text, Profile()) is None:
            assert invented(evidence, better, text, Profile()) is None


def test_phrases_are_written_as_texts_are_compared() -> None:
    assert all(phrase == phrase.lower().strip() and "." not in phrase for phrase in PHRASES)
    assert "" not in PHRASES
