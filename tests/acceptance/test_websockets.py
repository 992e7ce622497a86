"""The process itself with real weights: recorded sessions of FreeSWITCH and of chan_websocket in, their words out."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import pytest

from gateway.demo.score import word_errors, words
from tests.acceptance.test_gateway import MOST_WORD_ERRORS, running
from tests.gateway_under_test import Inbox
from tests.recorded import CHAN_WEBSOCKET, FORKS, chan_websocket, close_frame, fork, message_frame
from tests.websocket_lines import connected

if TYPE_CHECKING:
    from pathlib import Path

    from tests.recorded import Session

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

CALLER = "Please leave your message after the tone. When done, hang up or press the pound key."
AGENT = "Your call cannot be completed as dialed. Please check the number and dial again."

SPOKEN = {
    "freeswitch-mono-8k": {"inbound": CALLER},
    "freeswitch-stereo-8k": {"inbound": CALLER, "outbound": AGENT},
    "freeswitch-stereo-16k": {"inbound": CALLER, "outbound": AGENT},
    # FreeSWITCH played three seconds of the caller only when the agent began to speak.
    "freeswitch-stereo-late-writer": {"inbound": CALLER, "outbound": AGENT},
    # All others end in mid-sentence; the last one begins there, too.
    "freeswitch-slow-handshake-1500": {
        "inbound": "Please leave your message after the tone. When done",
        "outbound": "Your call cannot be completed as dialed.",
    },
    "freeswitch-as-mono-8k": {"inbound": "Please leave your message after the tone. When done, hang up or"},
    "freeswitch-server-messages": {"inbound": "Please leave your message after the tone. When done, hang up"},
    "freeswitch-send-text": {"inbound": "Please leave your message after the tone. When done"},
    "freeswitch-basic-auth": {"inbound": "Please leave your message after the"},
    "freeswitch-graceful-serverclose": {"inbound": "Please leave your message after the"},
    "freeswitch-graceful-serverclose-2": {"inbound": "or press the pound"},
    "freeswitch-meta-q3": {"inbound": "Please"},
    # The fork was paused between, which leaves out what was said.
    "freeswitch-pause-resume": {"inbound": "Please leave your When done, hang"},
    # Nobody said anything to the caller, and so nothing was sent.
    "freeswitch-stereo-nobody-writes": {},
    "asterisk-ws-plain-hangup-cmd": {"inbound": "Congratulations. You have"},
    # While the direction was turned round no audio came.
    "asterisk-ws-json-dir-in": {"inbound": "Congratulations. fully installed and executed"},
}
MIXED = "freeswitch-mixed-8k"
"""Both speak at the same time on one track: whose words are heard is for the model to say."""


def query(name: str) -> str:
    """Write what the dialplan would have written into the URL, and a name for the call."""
    rate_hz = 16_000 if name in {"freeswitch-stereo-16k", "freeswitch-slow-handshake-1500"} else 8_000
    mix = "mixed" if name == MIXED else "stereo" if len(SPOKEN[name]) > 1 else "mono"
    return f"?rate={rate_hz}&mix={mix}&name={name}"


async def replay(session: Session, target: str, port: int | None) -> list[str]:
    """Send a recorded session again, each message when it was sent; give the finals that came back."""
    async with connected(port) as client:
        request = session.upgrade.replace(session.url.raw_path_qs.encode(), target.encode(), 1)
        assert (await client.ask(request)).status == 101
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for message in session.messages:
            await asyncio.sleep(begin + message.at - loop.time())
            client.writer.write(message_frame(message.data))
        if b"" not in session.said():
            client.writer.write(close_frame())
        await client.closed()
        return [text["data"]["text"] for text in client.texts]


async def test_recorded_sessions_give_the_spoken_words_on_the_right_tracks(tmp_path: Path) -> None:
    assert {*FORKS, *CHAN_WEBSOCKET} == {*SPOKEN, MIXED}
    inbox = Inbox()
    async with running(tmp_path, inbox) as process:
        async with asyncio.TaskGroup() as group:
            for name in CHAN_WEBSOCKET:
                group.create_task(replay(chan_websocket(name), f"/asterisk?name={name}", process.http_port))
            back = {
                name: group.create_task(replay(fork(name), f"/freeswitch{query(name)}", process.http_port))
                for name in FORKS
            }
        await inbox.wait("call.ended", len(SPOKEN) + 1 - 1)  # all but that in which nothing was sent
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    calls = {each["parameters"]["name"]: each["call_id"] for each in inbox.of("call.started")}
    for name, tracks in SPOKEN.items():
        for track in ("inbound", "outbound"):
            said, heard = words(tracks.get(track, "")), heard_on(inbox, calls.get(name), track)
            assert word_errors(said, heard) <= max(len(said) > 0, MOST_WORD_ERRORS * len(said)), (name, track, heard)
    mixed = heard_on(inbox, calls[MIXED], "mixed")
    assert len(mixed) > 8
    assert len(set(mixed) & {*words(CALLER), *words(AGENT)}) >= 0.8 * len(set(mixed)), mixed
    for name, task in back.items():
        published = [final["text"] for final in finals_of(inbox, calls.get(name))]
        assert task.result() == published[: len(task.result())], name
    # Only graceful-shutdown leaves the time to be told by the socket what was said last.
    graceful = "freeswitch-graceful-serverclose"
    assert len(back[graceful].result()) == len(finals_of(inbox, calls[graceful])) > 0
    assert {each["reason"] for each in inbox.of("call.ended")} == {"hangup", "stopped"}


def finals_of(inbox: Inbox, call_id: str | None) -> list[dict[str, Any]]:
    """Give the finals of a call, in order."""
    finals = [each for each in inbox.of("transcript.final") if each["call_id"] == call_id]
    return sorted(finals, key=lambda final: final["sequence"])


def heard_on(inbox: Inbox, call_id: str | None, track: str) -> list[str]:
    """Give the words that were heard on one track of a call, in order."""
    return words(" ".join(final["text"] for final in finals_of(inbox, call_id) if final["track"] == track))
