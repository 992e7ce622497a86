"""Real weights, put together from their packages, in the real model process."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any
from unittest import mock

import msgspec
import pytest
import pytest_asyncio

from asr.in_process import InProcess
from asr.language import CHANGED, Known
from asr.transcriber import Transcriber
from asr.types import (
    BYTES_PER_MS,
    DecodeKind,
    DecodeOptions,
    DecodeRequest,
    Hypothesis,
    ModelError,
    ModelErrorCode,
    ModelLoadError,
    Reason,
    Suppressed,
)
from asr.weights import Weights, resolve, verify
from asr.whisper import Whisper
from asr.worker import ModelProcess
from config.profiles import PROFILES, Profile
from config.settings import Models
from tests.sound import blocks, music, speech_blocks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from asr.quality import Attempt

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

ONLY_PERSON = "You are currently the only person in this conference."
NOT_AVAILABLE = "That feature is not available on this line."


def prompt(name: str) -> bytes:
    return b"".join(speech_blocks(name))


def asks(audio: bytes, *, kind: DecodeKind = DecodeKind.FINAL, language: str | None = "en") -> DecodeRequest:
    return DecodeRequest(
        request_id="r",
        stream_key="s",
        group_key="g",
        kind=kind,
        audio=audio,
        origin_sample=0,
        language=language,
    )


async def decode(engine: ModelProcess, request: DecodeRequest) -> Hypothesis:
    (answer,) = await engine.decode(engine.lanes(request.kind.role)[0], [request])
    assert isinstance(answer, Hypothesis), answer
    return answer


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    cache = tmp_path_factory.mktemp("cache")
    return resolve("base", cache_dir=cache, offline=True, progress=lambda *_: None)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(weights: Weights) -> AsyncIterator[ModelProcess]:
    engine = ModelProcess(Models(), interim=weights, final=weights)
    heard: list[str] = []
    await engine.start(heard.append)
    assert heard == ["base"]  # equal roles: loaded once
    try:
        yield engine
    finally:
        await engine.close()


async def test_the_weights_are_those_that_were_published(weights: Weights) -> None:
    assert weights.source == "package"
    verify(weights.directory)


async def test_a_prompt_becomes_its_words(engine: ModelProcess) -> None:
    hypothesis = await decode(engine, asks(prompt("conf-onlyperson")))
    assert hypothesis.text == ONLY_PERSON
    assert hypothesis.model == "base int8"
    assert hypothesis.language == "en"
    assert hypothesis.language_probability is None  # given, not guessed
    assert 0.8 < (hypothesis.confidence or 0) < 1
    assert 0 <= (hypothesis.no_speech_probability or 0) < 0.3
    assert [segment.text for segment in hypothesis.segments] == [ONLY_PERSON]
    assert hypothesis.words == ()


async def test_a_batch_gives_each_its_own_words(weights: Weights) -> None:
    """Of several lengths, languages, prompts and searches, and one that cannot be decoded."""
    person, feature = prompt("conf-onlyperson"), prompt("feature-not-avail-line")
    wanted = [
        (asks(person), ONLY_PERSON),
        (asks(feature), NOT_AVAILABLE),
        (asks(person, language=None), ONLY_PERSON),
        (asks(bytes(3000 * BYTES_PER_MS)), ""),
        (msgspec.structs.replace(asks(feature), options=DecodeOptions(profile=Profile(beam_size=3))), NOT_AVAILABLE),
        (msgspec.structs.replace(asks(person), options=DecodeOptions(initial_prompt="Hello.")), ONLY_PERSON),
        (asks(person.ljust(20_000 * BYTES_PER_MS, b"\0")), ONLY_PERSON),
    ]
    engine = ModelProcess(Models(), interim=weights, final=weights)
    await engine.start()
    try:
        answers = await engine.decode(0, [*(request for request, _ in wanted), asks(feature, language="xx")])
    finally:
        await engine.close()
    assert [answer.text for answer in answers if isinstance(answer, Hypothesis)] == [text for _, text in wanted]
    assert isinstance(answers[-1], ModelError)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
async def test_every_profile_hears_the_words(engine: ModelProcess, profile: Profile) -> None:
    request = msgspec.structs.replace(asks(prompt("conf-onlyperson")), options=DecodeOptions(profile=profile))
    assert (await decode(engine, request)).text == ONLY_PERSON


STRICT = DecodeOptions(profile=Profile(no_speech_threshold=0.0, log_prob_threshold=0.0, temperatures=()))
"""With this the model never believes itself."""


async def test_where_a_voice_is_clear_the_doubts_of_the_model_count_for_nothing(engine: ModelProcess) -> None:
    request = msgspec.structs.replace(asks(prompt("conf-onlyperson")), options=STRICT)
    assert (await decode(engine, request)).text == ONLY_PERSON


async def test_without_a_second_opinion_the_model_says_when_nobody_spoke(weights: Weights) -> None:
    alone = Transcriber(weights, Models(second_opinion=False))
    request = msgspec.structs.replace(asks(prompt("conf-onlyperson")), options=STRICT)
    ((_, heard),) = alone.decode([request])
    assert heard.text == ""
    assert heard.suppressed == Suppressed(reason=Reason.IMPROBABLE, text=ONLY_PERSON)


async def test_nothing_is_made_of_music(engine: ModelProcess) -> None:
    heard = await decode(engine, asks(b"".join(blocks(music()))))
    assert heard.text == ""
    assert heard.suppressed is not None
    assert heard.suppressed.reason in {Reason.MUSIC, Reason.PHRASE, Reason.IMPROBABLE}


async def test_words_behind_music_are_heard_where_they_are(engine: ModelProcess) -> None:
    before = b"".join(blocks(music()))
    words = DecodeOptions(word_times=True)
    alone = await decode(engine, msgspec.structs.replace(asks(prompt("conf-onlyperson")), options=words))
    request = msgspec.structs.replace(asks(before + prompt("conf-onlyperson")), options=words)
    heard = await decode(engine, request)
    assert heard.text == ONLY_PERSON
    for word, after in zip(alone.words, heard.words, strict=True):
        assert abs(after.end_ms - word.end_ms - len(before) // BYTES_PER_MS) <= 200
    assert heard.segments[0].start_ms > 4000
    assert heard.segments[0].end_ms <= (len(before) + len(prompt("conf-onlyperson"))) // BYTES_PER_MS


async def test_what_is_translated_is_english_and_keeps_its_own_language(engine: ModelProcess) -> None:
    """Told that English is French, Whisper writes French; told to translate, it does not."""
    sober = DecodeOptions(profile=Profile(temperatures=()))
    french = msgspec.structs.replace(asks(prompt("conf-onlyperson"), language="fr"), options=sober)
    options = msgspec.structs.replace(sober, task="translate", word_times=True)
    left, right = await decode(engine, french), await decode(engine, msgspec.structs.replace(french, options=options))
    assert "seule personne" in left.text
    assert right.text == ONLY_PERSON
    assert (left.language, right.language) == ("fr", "fr")
    assert [word.text for word in right.words] == right.text.split()


async def test_lanes_that_share_a_model_do_not_disturb_one_another(weights: Weights) -> None:
    process = ModelProcess(Models(workers=2), weights, weights)
    await process.start()
    variants = [
        DecodeOptions(),
        DecodeOptions(word_times=True),
        DecodeOptions(hotwords="conference"),
        DecodeOptions(profile=PROFILES["accurate"]),
    ]
    try:
        for options in variants:
            audio = [prompt(name) for name in ("conf-onlyperson", "feature-not-avail-line")]
            requests = [msgspec.structs.replace(asks(each), options=options) for each in audio]
            rounds = [process.decode(lane, [requests[lane]] * 2) for lane in (0, 1)]
            for answers, expected in zip(await asyncio.gather(*rounds), (ONLY_PERSON, NOT_AVAILABLE), strict=True):
                assert [answer.text for answer in answers if isinstance(answer, Hypothesis)] == [expected] * 2
    finally:
        await process.close()


@pytest.mark.parametrize(
    ("kind", "retried"), [(DecodeKind.FINAL, True), (DecodeKind.SPECULATIVE, True), (DecodeKind.INTERIM, False)]
)
async def test_what_may_be_published_is_tried_by_chance_where_the_model_is_unsure(
    engine: ModelProcess, kind: DecodeKind, retried: bool
) -> None:
    profile = Profile(log_prob_threshold=0.0)  # it is never as sure as that
    request = msgspec.structs.replace(
        asks(prompt("conf-onlyperson"), kind=kind), options=DecodeOptions(profile=profile)
    )
    assert ((await decode(engine, request)).retries > 0) is retried


async def test_where_there_is_no_gpu_auto_is_the_cpu(weights: Weights) -> None:
    model = Transcriber(weights, Models(device="auto", device_index=(3,)))
    if model.device != "cpu":
        pytest.skip("there is a GPU here")
    with contextlib.closing(InProcess(model, model)) as engine:
        (answer,) = await engine.decode(0, [asks(prompt("conf-onlyperson"))])
    assert isinstance(answer, Hypothesis)
    assert answer.text == ONLY_PERSON


async def test_many_hints_leave_room_for_the_text(engine: ModelProcess) -> None:
    names = " ".join(f"Szczebrzeszyn{number}" for number in range(60))[:1000]
    for options in (
        DecodeOptions(hotwords=names, initial_prompt=names),
        DecodeOptions(hotwords=names),
        DecodeOptions(initial_prompt="The caller asked who is in the conference. " * 20),
    ):
        request = msgspec.structs.replace(asks(prompt("conf-onlyperson")), options=options)
        assert (await decode(engine, request)).text.rstrip(".") == ONLY_PERSON.rstrip(".")


async def test_a_whole_window_gives_the_same_words(weights: Weights) -> None:
    engine = ModelProcess(Models(window="full"), interim=weights, final=weights)
    await engine.start()
    try:
        assert (await decode(engine, asks(prompt("conf-onlyperson")))).text == ONLY_PERSON
        said = prompt("conf-invalid")
        once = (await decode(engine, asks(said))).text
        twice = said + bytes(600 * BYTES_PER_MS) + said
        assert (await decode(engine, asks(twice))).text == f"{once} {once}", "people do say things twice"
    finally:
        await engine.close()


async def test_one_model_serves_both_roles(engine: ModelProcess) -> None:
    (model,) = engine.models
    assert (model.name, model.compute_type, model.device, model.source) == ("base int8", "int8", "cpu", "package")
    audio = prompt("feature-not-avail-line")
    async with asyncio.TaskGroup() as tasks:
        both = [tasks.create_task(decode(engine, asks(audio, kind=kind))) for kind in DecodeKind]
    assert {each.result().text for each in both} == {NOT_AVAILABLE}


async def test_the_language_is_found(engine: ModelProcess) -> None:
    hypothesis = await decode(engine, asks(prompt("conf-onlyperson"), language=None))
    assert (hypothesis.text, hypothesis.language) == (ONLY_PERSON, "en")
    assert 0.9 < (hypothesis.language_probability or 0) <= 1


async def test_what_is_known_of_the_language_counts_beside_what_is_heard(engine: ModelProcess) -> None:
    def knowing(known: Known) -> DecodeRequest:
        request = asks(prompt("conf-onlyperson"), language=None)
        return msgspec.structs.replace(request, known=known, speech_seconds=3.0)

    held = await decode(engine, knowing(Known(held="fr")))
    assert held.language == "fr"
    assert held.languages["en"] > 0.9
    assert held.language_probability == pytest.approx(held.languages.get("fr", 0.0), abs=0.01)
    allowed = await decode(engine, knowing(Known(allowed=("es", "fr"))))
    assert allowed.language in {"es", "fr"}
    assert sum(allowed.languages.values()) == pytest.approx(1)
    doubted = await decode(engine, knowing(Known(held="fr", scores={"en": CHANGED - 0.1})))
    assert (doubted.language, doubted.text) == ("en", ONLY_PERSON), "the one that completes a change"


async def test_the_language_is_listened_for_only_where_that_is_asked_and_all_are_decoded_together(
    weights: Weights,
) -> None:
    model, person = Counting(weights, Models()), prompt("conf-onlyperson")
    given = [asks(person), asks(person, language="fr"), asks(person, language="es", kind=DecodeKind.INTERIM)]
    with mock.patch.object(Whisper, "languages", autospec=True, side_effect=Whisper.languages) as listen:
        assert len(dict(model.decode(given))) == 3
        assert (model.generated, listen.call_count) == (1, 0)
        assert len(dict(model.decode([*given, asks(person, language=None), asks(person, language=None)]))) == 5
    assert (model.generated, listen.call_count) == (2, 1)
    assert len(listen.call_args.args[1]) == 2


class Counting(Transcriber):
    """Counts how often it writes for several at a time."""

    generated = 0

    def _generate(self, jobs: Sequence[Any], search: Any, *, last: bool = False) -> list[Attempt]:
        self.generated += len(jobs) > 1
        return super()._generate(jobs, search, last=last)


async def test_words_have_their_times(engine: ModelProcess) -> None:
    audio = prompt("conf-onlyperson")
    request = msgspec.structs.replace(asks(audio), options=DecodeOptions(word_times=True))
    words = (await decode(engine, request)).words
    assert " ".join(word.text for word in words) == ONLY_PERSON
    times = [time for word in words for time in (word.start_ms, word.end_ms)]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= len(audio) // BYTES_PER_MS
    assert all(0 < word.confidence <= 1 for word in words)


async def test_it_goes_on_from_settled_words(engine: ModelProcess) -> None:
    request = msgspec.structs.replace(asks(prompt("conf-onlyperson")), prefix_words=("You", "are"))
    assert (await decode(engine, request)).text == ONLY_PERSON


@pytest.mark.parametrize("milliseconds", [0, 20, 3000])
async def test_silence_has_no_words(engine: ModelProcess, milliseconds: int) -> None:
    assert (await decode(engine, asks(bytes(milliseconds * BYTES_PER_MS)))).text == ""


async def test_the_longest_audio_is_one_window(engine: ModelProcess) -> None:
    audio = prompt("conf-onlyperson").ljust(30_000 * BYTES_PER_MS, b"\0")
    hypothesis = await decode(engine, asks(audio))
    assert hypothesis.text == ONLY_PERSON
    assert len(hypothesis.segments) == 1


async def test_a_language_it_does_not_know_fails_that_request(engine: ModelProcess) -> None:
    (answer,) = await engine.decode(0, [asks(prompt("feature-not-avail-line"), language="xx")])
    assert isinstance(answer, ModelError)
    assert answer.code is ModelErrorCode.FAILED
    assert "not a valid language code" in answer.message
    assert (await decode(engine, asks(prompt("feature-not-avail-line")))).text == NOT_AVAILABLE


async def test_a_compute_type_the_device_has_not(weights: Weights) -> None:
    engine = ModelProcess(Models(compute_type="int8_float16"), weights, weights)
    with pytest.raises(ModelLoadError, match=r"cannot load model 'base'.*set models\.compute_type"):
        await engine.start()
    assert engine.pid is None


async def test_weights_that_are_none(tmp_path: Path) -> None:
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt"):
        (tmp_path / name).write_text("{}")
    broken = resolve(str(tmp_path), cache_dir=tmp_path, offline=True, progress=lambda *_: None)
    engine = ModelProcess(Models(), broken, broken)
    with pytest.raises(ModelLoadError, match=r"cannot load model .*remove the directory"):
        await engine.start()
