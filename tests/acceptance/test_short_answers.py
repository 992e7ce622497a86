"""Answers of one word, each in a call of its own: none is lost, none is said twice, and of music none is invented."""

from __future__ import annotations

import asyncio
import signal
import uuid
from typing import TYPE_CHECKING

import pytest

from gateway.callers.audiosocket import call_audiosocket
from gateway.demo.score import words
from tests.acceptance.test_gateway import running
from tests.gateway_under_test import Inbox
from tests.sound import SHORT_ANSWERS, music, short_answer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

SECOND = bytes(16_000)


async def test_every_short_answer_gives_a_final_and_is_said_once_and_music_gives_none(tmp_path: Path) -> None:
    inbox = Inbox()
    calls = {name: uuid.uuid4() for name in SHORT_ANSWERS}
    on_hold = uuid.uuid4()
    sounds = [(call_uuid, short_answer(name)) for name, call_uuid in calls.items()] + [(on_hold, music())]
    async with running(tmp_path, inbox) as process:
        async with asyncio.TaskGroup() as group:
            for call_uuid, sound in sounds:
                pcm = SECOND + sound + SECOND
                port = process.ports["audiosocket"]
                group.create_task(call_audiosocket(pcm, host="127.0.0.1", port=port, call_uuid=call_uuid))
        await inbox.wait("call.ended", len(sounds))
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert inbox.of("transcript.final", str(on_hold)) == []
    (ended,) = inbox.of("call.ended", str(on_hold))
    assert sum(ended["suppressed"].values()) == ended["utterances"] > 0
    heard = {name: inbox.of("transcript.final", str(call_uuid)) for name, call_uuid in calls.items()}
    assert {name for name, finals in heard.items() if len(finals) != 1} == set()
    texts = {name: words(final["text"]) for name, (final,) in heard.items()}
    assert {name: text for name, text in texts.items() if text == 2 * text[: len(text) // 2]} == {}
