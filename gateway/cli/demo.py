"""`linescribe demo`: gateway, receiver and four calls, start to end, each as it is in earnest."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import signal
import statistics
import sys
import tempfile
import time
import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.console import Console

from config.checks import SECRET_PREFIX, decode_webhook_secret
from config.secret import Secret
from gateway.callers.audio import stereo
from gateway.callers.audiosocket import call_audiosocket
from gateway.callers.freeswitch import call_freeswitch
from gateway.callers.freeswitch_plan import End, ForkPlan, with_format
from gateway.callers.media_stream import call_media_stream
from gateway.callers.media_stream_names import new_stream
from gateway.callers.media_stream_plan import Dialect, StreamPlan
from gateway.demo.process import GatewayProcessError, gateway_process
from gateway.demo.score import word_errors, words
from gateway.demo.script import dialogue, scripts
from gateway.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.demo.script import Script
    from gateway.receiver import Received

END_SECONDS = 60.0
HIGHEST_WORD_ERROR_RATE = 0.15


@click.command()
def demo() -> None:
    """Watch four calls being transcribed, start to end.

    Starts a gateway with the default settings and a webhook receiver, both on free ports of this machine,
    plays four calls of shipped prompts into the gateway at the same time, two of Asterisk's AudioSocket, a stereo one
    of FreeSWITCH and one of Twilio, each of these with two speakers, and prints what the receiver is sent. Takes about
    a minute. The last line sums up; exit status 1 if something that was said is missing, also of what FreeSWITCH is
    told, or more than 15 % of the words are wrong.
    """
    console = Console()
    try:
        sys.exit(asyncio.run(_Demo(console).run()))
    except KeyboardInterrupt:
        console.print("stopped")
        sys.exit(130)
    except GatewayProcessError as error:
        console.print(f"[red]the demo failed:[/] {error}")
        sys.exit(1)


class _Part(msgspec.Struct, frozen=True):
    """What one speaker says in one of the calls."""

    call: int
    """Its number, from 1."""
    role: str
    script: Script


class _Demo:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._secret = SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
        self._received: list[Received] = []
        self._ended = asyncio.Event()
        self._parts = [_Part(number, "inbound", script) for number, script in enumerate(scripts(), 1)]
        self._fork, self._media = (_dialogue(len(self._parts) + number) for number in (1, 2))
        self._uuids = [uuid.uuid4() for _ in (*self._parts, self._fork)]
        self._stream = new_stream(Dialect.TWILIO, secrets.token_bytes)
        self._names = [*map(str, self._uuids), self._stream.call_id]
        """What each call is called by its own system."""
        self._told: list[str] = []
        """Texts that went back to FreeSWITCH."""

    async def run(self) -> int:
        key = decode_webhook_secret(Secret(self._secret))
        receiver = Receiver([key], clock=time.time, on_event=self._receive)  # noqa: TID251  a command names a clock
        receiver_port = await receiver.start("127.0.0.1", 0)
        try:
            with tempfile.TemporaryDirectory(prefix="linescribe-demo-") as state_dir:
                await self._play(self._changes(state_dir, receiver_port))
        finally:
            await receiver.stop()
        return self._sum_up()

    async def _play(self, changes: Mapping[str, str]) -> None:
        status = self._console.status("starting the gateway and loading Whisper")
        status.start()
        try:
            async with gateway_process(changes, self._show) as gateway:
                status.stop()
                self._console.print(
                    f"gateway ready: pid {gateway.pid}, AudioSocket on port {gateway.ports['audiosocket']},"
                    f" FreeSWITCH and Twilio on port {gateway.http_port}",
                    highlight=False,
                )
                await self._make_calls(gateway.ports["audiosocket"], gateway.http_port)
                gateway.send_signal(signal.SIGTERM)
                if await gateway.wait():
                    raise GatewayProcessError("the gateway ended with an error; its log stands above")
        finally:
            status.stop()

    def _changes(self, state_dir: str, receiver_port: int) -> dict[str, str]:
        """Keep every default but what lets the demo run beside a gateway that is already there."""
        url = f"http://127.0.0.1:{receiver_port}/"
        return {
            "LINESCRIBE_STATE_DIR": state_dir,
            "LINESCRIBE_AUDIOSOCKET__0__PORT": "0",
            "LINESCRIBE_HTTP__PORT": "0",
            "LINESCRIBE_FREESWITCH__0__LABELS": "{inbound: caller, outbound: agent}",
            "LINESCRIBE_TWILIO__0__LABELS": "{inbound: caller, outbound: agent}",
            "LINESCRIBE_DELIVERY__ENDPOINTS": json.dumps([{"name": "demo", "url": url, "secrets": [self._secret]}]),
        }

    def _show(self, record: Mapping[str, Any]) -> None:
        """Show of the gateway's log what a person watching wants to know."""
        if record["event"] != "preparing weights" and record["level"] not in {"warning", "error"}:
            return
        details = {key: value for key, value in record.items() if key not in {"event", "level", "logger", "timestamp"}}
        text = " ".join(f"{key}={value}" for key, value in details.items())
        self._console.print(f"gateway: {record['event']} {text}", style="dim", highlight=False, markup=False)

    async def _make_calls(self, audiosocket_port: int, http_port: int | None) -> None:
        self._console.print(f"playing {len(self._names)} calls at once, in real time ...")
        async with asyncio.TaskGroup() as group:
            for part, call_uuid in zip(self._parts, self._uuids, strict=False):
                group.create_task(
                    call_audiosocket(part.script.pcm, host="127.0.0.1", port=audiosocket_port, call_uuid=call_uuid)
                )
            group.create_task(self._make_fork(f"ws://127.0.0.1:{http_port}/freeswitch"))
            group.create_task(self._make_stream(f"ws://127.0.0.1:{http_port}/twilio"))
        try:
            await asyncio.wait_for(self._ended.wait(), END_SECONDS)
        except TimeoutError:
            self._console.print("[red]not every call got its end[/]")

    async def _make_fork(self, url: str) -> None:
        """Fork a call of FreeSWITCH, both speakers of it, and let it end so that it is told its last words, too."""
        caller, agent = self._fork
        metadata = json.dumps({"callId": str(self._uuids[-1])})
        plan = ForkPlan(channels=2, metadata=metadata, end=End.GRACEFUL)
        pcm = stereo(caller.script.pcm, agent.script.pcm)
        await call_freeswitch(pcm, url=with_format(url, plan), plan=plan, on_text=self._told.append)

    async def _make_stream(self, url: str) -> None:
        """Stream both speakers of a call as Twilio does."""
        plan = StreamPlan(tracks=2)
        payloads = [plan.encode(part.script.pcm) for part in self._media]
        await call_media_stream(payloads, url=url, stream=self._stream, plan=plan)

    def _receive(self, received: Received) -> None:
        self._received.append(received)
        if received.type == "transcript.final":
            data = received.data
            number = self._number(data)
            span = f"{data['start_ms'] / 1000:6.2f}-{data['end_ms'] / 1000:5.2f} s"
            who = f"call {number} {data['label'] or '':6}"
            self._console.print(f"{who}  {span}  {data['text']}", highlight=False, markup=False, soft_wrap=True)
        ended = [each for each in self._received if each.type == "call.ended"]
        if len(ended) == len(self._names):
            self._ended.set()

    def _number(self, data: Mapping[str, Any]) -> int:
        return self._names.index(data["source"]["call_id"]) + 1

    def _finals(self, part: _Part) -> list[Received]:
        finals = [each for each in self._received if each.type == "transcript.final"]
        return [each for each in finals if (self._number(each.data), each.data["role"]) == (part.call, part.role)]

    def _sum_up(self) -> int:
        """Print the last line; tell the exit status."""
        said = errors = missing = 0
        for part in (*self._parts, *self._fork, *self._media):
            finals = self._finals(part)
            expected = words(" ".join(prompt.text for prompt in part.script.prompts))
            said += len(expected)
            errors += word_errors(expected, words(" ".join(each.data["text"] for each in finals)))
            missing += _missing(part.script, finals)
        finals = [each for each in self._received if each.type == "transcript.final"]
        untold = sum(len(self._finals(part)) for part in self._fork) - len(self._told)
        delays = [_delay_seconds(each) for each in finals]
        ended = sum(each.type == "call.ended" for each in self._received)
        good = not (missing or untold) and ended == len(self._names) and errors <= HIGHEST_WORD_ERROR_RATE * said
        self._console.print(
            f"{'OK' if good else 'FAILED'}: {ended} calls, {len(finals)} finals, {missing} missing,"
            f" {len(self._told)} told to FreeSWITCH,"
            f" word error rate {100 * errors / said:.1f} %,"
            f" end of speech to receipt {_spread(delays)}",
            highlight=False,
            soft_wrap=True,
        )
        return 0 if good else 1


def _dialogue(number: int) -> list[_Part]:
    """Make a call of two speakers."""
    speakers = zip(("inbound", "outbound"), dialogue(), strict=True)
    return [_Part(number, role, script) for role, script in speakers]


def _missing(script: Script, finals: list[Received]) -> int:
    """Count the prompts in whose time nothing was heard."""
    spans = [(each.data["start_ms"], each.data["end_ms"]) for each in finals]
    return sum(not any(start < p.end_ms and p.start_ms < end for start, end in spans) for p in script.prompts)


def _delay_seconds(final: Received) -> float:
    spoken = datetime.fromisoformat(final.data["start_time"]).timestamp()
    duration_ms: int = final.data["end_ms"] - final.data["start_ms"]
    return final.received_at - spoken - duration_ms / 1000


def _spread(delays: list[float]) -> str:
    if not delays:
        return "unknown"
    return f"median {statistics.median(delays):.2f} s, longest {max(delays):.2f} s"
