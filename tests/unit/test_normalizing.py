from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import ConfigError
from gateway.normalizing import LONGEST_CHARS, Normalizer, NormalizerError, checked, load_function

if TYPE_CHECKING:
    from pathlib import Path

MODULE = """
def shout(text, language):
    return text.upper()

def alone(text):
    return text

async def later(text, language):
    return text

class Rules:
    def __call__(self, text, language=None, *, strict=False):
        return text

class Slow:
    async def __call__(self, text, language):
        return text

def bit_by_bit(text, language):
    yield text

rules, slow = Rules(), Slow()
number = 7
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "house_style.py").write_text(MODULE)
    (tmp_path / "broken_style.py").write_text("raise RuntimeError('no\\nlicence')")
    (tmp_path / "leaving_style.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "house_style", raising=False)
    return "house_style"


async def test_a_function_of_the_operators_rewrites_a_text(module: str) -> None:
    normalizer = Normalizer(load_function(f"{module}:shout"), limit_seconds=30)
    assert await normalizer.normalize("yes, please.", "en") == "YES, PLEASE."


def test_whatever_can_be_called_will_do(module: str) -> None:
    assert load_function(f"{module}:rules")("yes", "en") == "yes"
    assert load_function("operator:concat")("y", "es") == "yes"


@pytest.mark.parametrize(
    ("name", "complaints"),
    [
        ("nowhere_to_be_found:shout", ["ModuleNotFoundError", "PYTHONPATH"]),
        ("house_style:whisper", ["AttributeError", "whisper"]),
        ("broken_style:shout", ["RuntimeError", "no licence"]),
        ("leaving_style:shout", ["SystemExit", "3"]),
        ("house_style:number", ["plain function"]),
        ("house_style:later", ["plain function"]),
        ("house_style:slow", ["plain function"]),
        ("house_style:bit_by_bit", ["plain function"]),
        ("house_style:alone", ["a text and a language"]),
    ],
)
@pytest.mark.usefixtures("module")
def test_what_cannot_be_used_is_told_in_one_line(name: str, complaints: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        load_function(name)
    told = str(raised.value)
    assert told.startswith("transcripts.normalizer: ")
    assert "\n" not in told
    assert all(each in told for each in [name, *complaints])


@pytest.mark.parametrize(
    ("result", "complaint"),
    [
        (None, "NoneType, not a text"),
        (b"yes", "bytes, not a text"),
        ("", "empty"),
        (" \n", "empty"),
        ("x" * (LONGEST_CHARS + 1), "more than"),
        ("so \ud83d", "half a character"),
    ],
)
def test_what_is_no_text_is_refused(result: object, complaint: str) -> None:
    with pytest.raises(NormalizerError, match=complaint):
        checked(result)


@given(st.text(min_size=1))
def test_what_is_a_text_is_published_without_blanks_around_it(text: str) -> None:
    if text.strip():
        assert checked(f" {text}\n") == text.strip()


def fails_with(error: BaseException) -> Normalizer:
    def function(_text: str, _language: str | None) -> str:
        raise error

    return Normalizer(function, limit_seconds=30)


@pytest.mark.parametrize("error", [ValueError("secret words"), StopIteration(), SystemExit(1), KeyboardInterrupt()])
async def test_what_is_raised_is_named_without_what_was_said(error: BaseException) -> None:
    normalizer = fails_with(error)
    for _ in range(2):
        with pytest.raises(NormalizerError, match=f"^it raised {type(error).__name__}$"):
            await normalizer.normalize("secret words", "en")


async def test_one_that_has_to_wait_for_others_is_given_up_and_the_next_is_not_refused() -> None:
    let_go = threading.Event()
    called: list[str] = []

    def work(text: str, _language: str | None) -> str:
        called.append(text)
        let_go.wait(30)
        return text

    normalizer = Normalizer(work, limit_seconds=0.05)
    first, second = await asyncio.gather(
        normalizer.normalize("one", None), normalizer.normalize("two", None), return_exceptions=True
    )
    assert (str(first), str(second)) == ("it took more than 0.05 s", "it is busy with other texts")
    late = normalizer._late
    assert late is not None
    let_go.set()
    await asyncio.wait_for(late, 5)
    normalizer._limit_seconds = 30
    assert await normalizer.normalize("three", None) == "three"
    assert called == ["one", "three"], "nobody waits for the second any more"


async def test_while_the_function_hangs_nobody_waits_for_it_twice() -> None:
    go_on, calls = threading.Event(), []

    def function(text: str, _language: str | None) -> str:
        calls.append(text)
        go_on.wait(30)
        return text.upper()

    normalizer = Normalizer(function, limit_seconds=0.05)
    with pytest.raises(NormalizerError, match=r"more than 0\.05 s"):
        await normalizer.normalize("one", "en")
    with pytest.raises(NormalizerError, match="has not come back"):
        await normalizer.normalize("two", "en")
    late = normalizer._late
    assert late is not None
    go_on.set()
    await asyncio.wait_for(late, 5)
    normalizer._limit_seconds = 30
    assert await normalizer.normalize("three", "en") == "THREE"
    assert calls == ["one", "three"]


async def test_the_loop_goes_on_while_the_function_works() -> None:
    loop, begun, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def function(text: str, _language: str | None) -> str:
        loop.call_soon_threadsafe(begun.set)
        return text.upper() if go_on.wait(30) else text

    normalizer = Normalizer(function, limit_seconds=30)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(normalizer.normalize("yes", None))
        await begun.wait()
        go_on.set()  # this line is reached although the function has not returned
    assert task.result() == "YES"
