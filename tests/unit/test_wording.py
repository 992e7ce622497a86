from __future__ import annotations

from unicodedata import normalize

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asr.types import Hypothesis, Segment, Word
from config.routes import Route
from config.settings import Settings, Transcripts
from config.wording import check_masked_words
from gateway.routes import CallSettings, Facts, Routes
from gateway.wording import Mask, language_of_text, mask_for, masked, profanity

HECK = Mask(["heck", "Hecks", "Straße", "été", "жирным", "मूर्ख", "傻瓜", "ばか者", "บ้าบอ"])

ALPHABET = "heckHECKs STRASßtrae-'.,*été\u0301मूर्ख傻瓜ばか者บ้า жирным"
TEXTS = st.one_of(
    st.text(), st.text(ALPHABET), st.lists(st.sampled_from(["heck", "傻瓜", " ", "-", "été", "x"])).map("".join)
)
ENTRIES = st.lists(st.text("ab傻瓜", min_size=2, max_size=4), max_size=4)
SHORT_TEXTS = st.text("abAB傻瓜 -", max_size=12)


def settings(*, task: str = "transcribe", **wanted: object) -> CallSettings:
    route = Route(name="it", task="translate" if task == "translate" else None)
    table = Routes(Settings(transcripts=Transcripts(**wanted), routes=(route,)))  # type: ignore[arg-type]
    return table.choose(Facts(adapter="test", listener="port"))


def heard(text: str, *, language: str | None = "en", parts: list[str] | None = None) -> Hypothesis:
    times = {"start_ms": 0, "end_ms": 100}
    return Hypothesis(
        text=text,
        model="base int8",
        language=language,
        words=tuple(Word(text=part, confidence=0.5, **times) for part in parts or text.split()),
        segments=(Segment(text=text, **times),),
    )


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("What the heck!", "What the h***!"),
        ("HECK, heck; Heck's", "H***, h***; H***'s"),
        ("heckle, check, heck2", "heckle, check, heck2"),
        ("hecks, hecking", "h****, hecking"),
        ("heck-of-a-job, oh-heck", "h***-of-a-job, oh-h***"),
        ("heck_heck", "h***_h***"),
        ("h-e-c-k, h e c k", "h-e-c-k, h e c k"),
        ("auf der STRASSE, auf der straße", "auf der S******, auf der s*****"),
        ("cet ÉTÉ, cet e\u0301te\u0301", "cet É**, cet e****"),
        ("Жирным ЖИРНЫМ жир", "Ж***** Ж***** жир"),
        ("वह मूर्ख है, मूर्खता", "वह म**** है, मूर्खता"),
        ("你是傻瓜吗", "你是傻*吗"),
        ("このばか者が", "このば**が"),
        ("คนบ้าบอมาก", "คนบ****มาก"),
        ("", ""),
    ],
)
def test_whole_words_are_masked_in_any_script(text: str, hidden: str) -> None:
    assert HECK(text) == hidden


def test_words_may_hold_joiners() -> None:
    mask = Mask(["क्\u200dष"])
    assert mask("क्\u200dष क्\u200dषा क्") == "क*** क्\u200dषा क्"


def test_of_words_that_begin_alike_the_longest_is_taken() -> None:
    assert Mask(["傻", "傻瓜蛋", "傻瓜"])("傻瓜蛋 傻瓜") == "傻** 傻*"


@given(TEXTS)
@example("Straße STRASSE")
def test_a_text_stays_as_long_and_asterisks_are_all_that_is_new(text: str) -> None:
    hidden = HECK(text)
    assert len(hidden) == len(text)
    assert all(after in {before, "*"} for before, after in zip(text, hidden, strict=True))


@given(TEXTS)
def test_masking_twice_is_masking_once(text: str) -> None:
    assert HECK(HECK(text)) == HECK(text)


@given(ENTRIES, SHORT_TEXTS)
@example(["傻傻", "aa"], "傻傻aa")
def test_that_holds_for_any_words(words: list[str], text: str) -> None:
    mask = Mask(words)
    assert mask(mask(text)) == mask(text)
    assert len(mask(text)) == len(text)


@given(st.text())
def test_without_one_of_the_words_nothing_changes(text: str) -> None:
    mask = Mask(["heck", "傻瓜"])
    there = normalize("NFD", text.casefold())
    if "heck" not in there and "傻瓜" not in there:
        assert mask(text) == text
    assert Mask([])(text) == text


@given(ENTRIES, SHORT_TEXTS, st.integers(0, 12), SHORT_TEXTS)
@example(["ab"], "a ab", 4, "b")
@example(["ab", "abb"], "a ab", 4, "c")
@example(["傻瓜瓜"], "a傻瓜", 3, "瓜")
@example(["傻瓜", "瓜傻傻"], "傻瓜傻", 3, "傻")
def test_what_is_settled_stays_as_it_is_masked_whatever_follows(
    words: list[str], text: str, stable: int, later: str
) -> None:
    mask = Mask(words)
    settled = mask.settled(text, stable)
    assert 0 <= settled <= min(stable, len(text))
    assert mask(text)[:settled] == mask(text[:stable] + later)[:settled]


@given(ENTRIES, SHORT_TEXTS, st.integers(0, 12), SHORT_TEXTS, st.integers(0, 6))
def test_what_is_settled_does_not_shrink(words: list[str], text: str, stable: int, later: str, more: int) -> None:
    mask, before = Mask(words), text[:stable]
    assert mask.settled(text, stable) <= mask.settled(before + later, min(len(before) + more, len(before + later)))


def test_an_end_that_is_none_of_the_words_is_settled() -> None:
    mask = Mask(["heck"])
    assert mask.settled("What the", 8) == 8
    assert mask.settled("What the he", 11) == 9
    assert mask.settled("What the heck", 13) == 9
    assert mask.settled("What the heck is", 13) == 9
    assert mask.settled("What the heck is", 14) == 14
    assert mask.settled("What the checks", 15) == 15


def test_text_words_and_segments_are_masked_alike() -> None:
    hidden = masked(heard("Oh heck, no."), settings(mask=("heck",)))
    assert hidden.text == "Oh h***, no."
    assert [word.text for word in hidden.words] == ["Oh", "h***,", "no."]
    assert [segment.text for segment in hidden.segments] == ["Oh h***, no."]


@pytest.mark.parametrize(
    ("text", "parts", "hidden"),
    [
        ("你是傻瓜吗", ["你", "是", "傻", "瓜", "吗"], ["你", "是", "傻", "*", "吗"]),  # one word in two parts
        ("heckle heck", ["heck", "le", "heck"], ["heck", "le", "h***"]),  # a part is only a piece of a word
        ("heck no", ["no", "heck"], ["no", "h***"]),  # not in the text's order
        ("oh", ["heck"], ["h***"]),
        ("oh heckle", ["heck"], ["h***"]),  # it stands in there, and elsewhere
    ],
)
def test_parts_are_masked_where_they_stand(text: str, parts: list[str], hidden: list[str]) -> None:
    result = masked(heard(text, parts=parts), settings(mask=("heck", "傻瓜")))
    assert [word.text for word in result.words] == hidden


def test_nothing_is_masked_unless_asked_for() -> None:
    said = heard("What the heck, you bastard.")
    assert masked(said, settings()) is said


@pytest.mark.parametrize(
    ("language", "task", "hidden"),
    [
        ("en", "transcribe", "You b******."),
        (None, "transcribe", "You b******."),
        ("de", "transcribe", "You bastard."),
        ("de", "translate", "You b******."),
    ],
)
def test_what_is_shipped_is_for_english_texts(language: str | None, task: str, hidden: str) -> None:
    result = masked(heard("You bastard.", language=language), settings(task=task, mask_profanity=True))
    assert result.text == hidden


def test_own_words_are_masked_in_every_language_beside_those_shipped() -> None:
    wanted = settings(mask=("Mist",), mask_profanity=True)
    assert masked(heard("So ein Mist.", language="de"), wanted).text == "So ein M***."
    assert masked(heard("Mist, you bastard."), wanted).text == "M***, you b******."


def test_a_mask_is_made_once() -> None:
    wanted = settings(mask=("heck",), mask_profanity=True)
    assert mask_for(wanted, "en") is mask_for(wanted, None)
    assert mask_for(wanted, "de") is not mask_for(wanted, "en")


def test_the_language_of_a_text_is_not_always_that_spoken() -> None:
    assert language_of_text(settings(), "de") == "de"
    assert language_of_text(settings(task="translate"), "de") == "en"


def test_what_is_shipped_can_be_masked_and_stands_there_once() -> None:
    check_masked_words(profanity())
    assert len(set(profanity())) == len(profanity())
    assert 24 <= len(profanity()) <= 200
    assert all(word == word.lower() and word.isascii() for word in profanity())


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("", "2 to 100 characters"),
        ("x", "2 to 100 characters"),
        ("e\u0301", "2 to 100 characters"),
        ("x" * 101, "2 to 100 characters"),
        ("oh heck", "single words"),
        ("oh-heck", "single words"),
        ("heck's", "single words"),
        ("hec*", "single words"),
        ("_heck", "single words"),
    ],
)
def test_what_could_never_be_masked_is_refused(word: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        check_masked_words(("fine", word))


def test_there_is_an_end_to_the_words() -> None:
    check_masked_words(("heck",) * 1000)
    with pytest.raises(ValueError, match="at most 1000 words"):
        check_masked_words(("heck",) * 1001)
