from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asr import spool as spooling
from asr.spool import CHUNK_BYTES, Slip, Spool

if TYPE_CHECKING:
    from pathlib import Path

NOTHING = Slip((), 0)
"""To read it takes until all before it is written."""


async def kept(spool: Spool, audio: bytes) -> tuple[Slip, bool]:
    """Keep audio, and wait until it is written or cannot be."""
    spool.has_room([len(audio)])
    told: asyncio.Future[tuple[Slip, bool]] = asyncio.get_running_loop().create_future()
    spool.keep(audio, lambda slip, good: told.set_result((slip, good)))
    return await told


async def test_what_is_kept_is_read_back(tmp_path: Path) -> None:
    spool = Spool(lambda: tmp_path, 5 * CHUNK_BYTES)
    first, second = os.urandom(CHUNK_BYTES * 2 + 1), os.urandom(CHUNK_BYTES)
    slips = [(await kept(spool, audio))[0] for audio in (first, second)]
    assert spool.kept_bytes == 4 * CHUNK_BYTES
    assert [await spool.read(slip) for slip in slips] == [first, second]
    spool.close()


async def test_there_is_room_for_so_much(tmp_path: Path) -> None:
    spool = Spool(lambda: tmp_path, 3 * CHUNK_BYTES)
    assert spool.has_room([CHUNK_BYTES * 3])
    assert spool.has_room([1, 1, 1])
    assert not spool.has_room([1, 1, 1, 1])
    slip, _ = await kept(spool, bytes(CHUNK_BYTES + 1))
    assert not spool.has_room([CHUNK_BYTES + 1])
    assert spool.has_room([CHUNK_BYTES])
    spool.free(slip)
    assert spool.has_room([CHUNK_BYTES * 3])
    spool.close()


async def test_what_is_on_its_way_to_the_disk_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooling, "MOST_WRITING_BYTES", CHUNK_BYTES)
    spool = Spool(lambda: tmp_path, 9 * CHUNK_BYTES)
    assert not spool.has_room([CHUNK_BYTES, 1])
    spool.keep(bytes(CHUNK_BYTES), lambda _slip, _good: None)
    assert not spool.has_room([1])
    await spool.read(NOTHING)
    assert spool.has_room([CHUNK_BYTES])
    spool.close()


async def test_the_file_has_no_name_is_ours_alone_and_shrinks_when_it_is_empty(tmp_path: Path) -> None:
    spool = Spool(lambda: tmp_path, 9 * CHUNK_BYTES)
    slip, _ = await kept(spool, bytes(CHUNK_BYTES))
    assert os.listdir(tmp_path) == []  # noqa: PTH208  nothing of it blocks
    assert spool._file is not None
    facts = os.fstat(spool._file.fileno())
    assert (facts.st_size, facts.st_mode & 0o777) == (CHUNK_BYTES, 0o600)
    spool.free(slip)
    await spool.read(NOTHING)
    assert os.fstat(spool._file.fileno()).st_size == 0
    spool.close()


async def test_what_is_freed_while_it_is_written_harms_nobody(tmp_path: Path) -> None:
    spool = Spool(lambda: tmp_path, 2 * CHUNK_BYTES)
    assert spool.has_room([CHUNK_BYTES, CHUNK_BYTES])
    gone = spool.keep(b"a" * CHUNK_BYTES, lambda _slip, _good: None)
    stays = spool.keep(b"b" * CHUNK_BYTES, lambda _slip, _good: None)
    spool.free(gone)
    instead = spool.keep(b"c" * CHUNK_BYTES, lambda _slip, _good: None)
    assert instead.chunks == gone.chunks
    assert [await spool.read(slip) for slip in (stays, instead)] == [b"b" * CHUNK_BYTES, b"c" * CHUNK_BYTES]
    spool.close()


async def test_a_disk_that_is_full_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spool = Spool(lambda: tmp_path, 9 * CHUNK_BYTES)
    monkeypatch.setattr(os, "pwrite", lambda _file, piece, _at: len(piece) - 1)
    assert spool.has_room([1])
    assert [(await kept(spool, bytes(CHUNK_BYTES)))[1] for _ in range(2)] == [False, False]
    assert not spool.has_room([1]), "it is left alone for a while"
    monkeypatch.setattr(spooling, "REST_SECONDS", 0.0)
    await kept(spool, bytes(CHUNK_BYTES))
    monkeypatch.undo()
    assert spool.has_room([1])
    assert (await kept(spool, bytes(CHUNK_BYTES)))[1]
    assert capsys.readouterr().out.count("cannot be put on disk") == 1
    spool.close()


async def test_some_of_the_disk_is_left_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(lambda: tmp_path, 9 * CHUNK_BYTES)
    assert spool.has_room([1])
    monkeypatch.setattr(spooling, "RESERVE_BYTES", 1 << 62)
    assert not (await kept(spool, bytes(CHUNK_BYTES)))[1]
    spool.close()


async def test_where_no_thread_can_be_had_there_is_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    spool = Spool(lambda: tmp_path, 9 * CHUNK_BYTES)
    assert not spool.has_room([1])
    assert spool.kept_bytes == spool.writing_bytes == 0


async def test_a_disk_that_hangs_keeps_no_process_from_its_end() -> None:
    code = """
import asyncio, threading
from asr.spool import Spool
async def main():
    spool = Spool(threading.Event().wait, 1 << 20)
    assert spool.has_room([9])
    spool.keep(b"123456789", print)
    spool.close()
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    async with asyncio.timeout(20):
        assert await process.wait() == 0


async def test_a_file_that_became_shorter_is_an_error(tmp_path: Path) -> None:
    spool = Spool(lambda: tmp_path, 9 * CHUNK_BYTES)
    slip, _ = await kept(spool, bytes(CHUNK_BYTES))
    assert spool._file is not None
    os.truncate(spool._file.fileno(), 9)
    with pytest.raises(OSError, match="shorter"):
        await spool.read(slip)
    spool.close()


async def test_closed_before_anything_was_kept(tmp_path: Path) -> None:
    Spool(lambda: tmp_path, CHUNK_BYTES).close()


ACTS = st.lists(st.tuples(st.booleans(), st.integers(0, 3 * CHUNK_BYTES)), max_size=30)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTS)
def test_whatever_comes_and_goes_nothing_is_mixed_up(tmp_path: Path, acts: list[tuple[bool, int]]) -> None:
    async def work() -> None:
        spool = Spool(lambda: tmp_path, 12 * CHUNK_BYTES)
        held: list[tuple[Slip, bytes]] = []
        for number, (comes, size) in enumerate(acts):
            if comes and spool.has_room([size]):
                audio = bytes([number]) * size
                held.append((spool.keep(audio, lambda _slip, _good: None), audio))
            elif held:
                slip, audio = held.pop(size % len(held))
                assert await spool.read(slip) == audio
                spool.free(slip)
            chunks = sum(len(slip.chunks) for slip, _ in held)
            assert spool.kept_bytes == chunks * CHUNK_BYTES <= 12 * CHUNK_BYTES
        for slip, audio in held:
            assert await spool.read(slip) == audio
        spool.close()

    asyncio.run(work())
