"""What of a download is believed, and how its failures are told; a hub of this machine."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr import hub as the_hub
from asr.hub import Stated
from asr.shelves import Shelf, held, sealed
from asr.weights import Weights, WeightsError, resolve, unheard, verify
from tests.hub import HUB_FILES, MODEL_BIN, Hub, git_hash, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534
PATIENCE_SECONDS = 0.2


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    with serving(hub):
        yield hub


def fetch(address: str, cache: Path) -> Weights:
    return resolve("tiny", cache_dir=cache, offline=False, progress=unheard, endpoint=address)


def begun(hub: Hub, cache: Path) -> Path:
    """Make the directory of a download of the hub's revision that broke off."""
    partial = Shelf("tiny", cache).partial
    partial.mkdir(parents=True)
    (partial / ".of").write_text(hub.commit)
    return partial


def kept(weights: Weights) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in weights.directory.iterdir() if path.name in HUB_FILES}


WHOLE = {name: content for name, content in HUB_FILES.items() if name != "README.md"}


@pytest.mark.parametrize("suffix", ["", ".part"])
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.bin"])
def test_a_file_that_a_power_cut_left_empty_is_fetched_anew(hub: Hub, tmp_path: Path, name: str, suffix: str) -> None:
    (begun(hub, tmp_path) / f"{name}{suffix}").write_bytes(b"")
    weights = fetch(hub.address, tmp_path)
    assert kept(weights) == WHOLE
    verify(weights.directory)


@pytest.mark.parametrize("leavings", ["tokenizer.json", "tokenizer.json.part"])
@pytest.mark.parametrize("size", [6, len(HUB_FILES["tokenizer.json"])])
def test_zeros_in_the_place_of_a_small_file_are_not_gone_on_with(
    hub: Hub, tmp_path: Path, leavings: str, size: int
) -> None:
    (begun(hub, tmp_path) / leavings).write_bytes(bytes(size))
    assert kept(fetch(hub.address, tmp_path)) == WHOLE
    assert hub.asked_for("tokenizer.json") == [0]


def test_without_a_hash_nothing_is_gone_on_with(hub: Hub, tmp_path: Path) -> None:
    hub.states_hashes = False
    partial = begun(hub, tmp_path)
    (partial / "model.bin.part").write_bytes(bytes(1000))
    (partial / "config.json").write_bytes(b"!!")
    assert kept(fetch(hub.address, tmp_path)) == WHOLE
    assert hub.asked_for("model.bin") == [0]


def test_a_small_file_that_is_not_what_the_hub_states_is_not_kept(hub: Hub, tmp_path: Path) -> None:
    hub.blobs["config.json"] = git_hash(b"[]")
    with pytest.raises(WeightsError, match=r"arrived damaged \(config\.json\); try again"):
        fetch(hub.address, tmp_path)
    assert held(tmp_path) == []
    hub.blobs["config.json"] = git_hash(b"{}")
    assert fetch(hub.address, tmp_path).source == "hub"


def test_a_hash_of_another_kind_is_not_compared(hub: Hub, tmp_path: Path) -> None:
    """Git has begun to name contents by SHA-256 as well."""
    hub.blobs["config.json"] = "0" * 64
    assert kept(fetch(hub.address, tmp_path)) == WHOLE


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_what_is_stated_is_what_fits(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, something_else: bytes
) -> None:
    path = tmp_path_factory.mktemp("file") / "it"
    path.write_bytes(content)
    entry = sealed(path)
    for content_stated in (content, something_else):
        sha256, size = hashlib.sha256(content_stated).hexdigest(), len(content_stated)
        large = Stated(name="it", size=size, sha256=sha256)
        small = Stated(name="it", size=size, blob=git_hash(content_stated))
        assert large.fits(path, entry) is small.fits(path, entry) is (content == content_stated)
        assert Stated(name="it", size=size).fits(path, entry) is (len(content) == size)
    assert Stated(name="it").fits(path, entry)


def test_gits_hash_is_gits() -> None:
    """The empty file's is known everywhere (`git hash-object /dev/null`)."""
    assert git_hash(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


@contextlib.contextmanager
def mute() -> Iterator[str]:
    """Take connections, and never answer; give the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_hub_that_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(the_hub, "ANSWER_SECONDS", PATIENCE_SECONDS)
    with mute() as address, pytest.raises(WeightsError, match=r"the model hub did not give .*timed out"):
        fetch(address, tmp_path)


def test_a_hub_that_falls_silent_within_a_file(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", PATIENCE_SECONDS)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _seconds: None)
    hub.stop_at = 1000
    with pytest.raises(WeightsError, match=r"the model hub did not give .*timed out"):
        fetch(hub.address, tmp_path)
    assert [each.state for each in held(tmp_path)] == ["partial"]


def test_a_mirror_that_states_no_revision_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.states_revision = False
    with pytest.raises(WeightsError, match=r"'tiny' are not here: the model hub states no revision of Systran/"):
        fetch(hub.address, tmp_path)
    assert held(tmp_path) == []
    assert len(hub.requests) == 1


def test_notes_that_are_no_text_are_those_of_another_revision(hub: Hub, tmp_path: Path) -> None:
    (begun(hub, tmp_path) / ".of").write_bytes(b"\xff")
    assert kept(fetch(hub.address, tmp_path)) == WHOLE


@contextlib.contextmanager
def without_rights() -> Iterator[None]:
    """Be somebody to whom permissions apply."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("same", [True, False])
def test_a_directory_that_may_not_be_written_is_not_the_hubs_fault(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    """Neither one to go on with, nor one of another revision, which is to be removed."""
    partial = begun(hub, tmp_path)
    if not same:
        hub.commit = "0" * 40
    partial.chmod(0o555)
    (tmp_path / "weights").chmod(0o777)  # the lock's
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)  # the directories above may be closed to others
    with without_rights(), pytest.raises(WeightsError) as caught:
        fetch(hub.address, Path())
    assert str(caught.value).startswith("cannot keep weights 'tiny' in weights: [Errno 13] Permission denied: ")
    assert "hub" not in str(caught.value)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG])
def test_a_disk_that_takes_no_more_is_not_the_hubs_fault(hub: Hub, tmp_path: Path, number: int) -> None:
    def progress(_name: str, _done_bytes: int, _total_bytes: int | None) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(WeightsError, match=rf"cannot keep weights 'tiny' in .*{os.strerror(number)}"):
        resolve("tiny", cache_dir=tmp_path, offline=False, progress=progress, endpoint=hub.address)


def test_a_line_that_is_cut_is_the_hubs_fault(hub: Hub, tmp_path: Path) -> None:
    def progress(_name: str, _done_bytes: int, _total_bytes: int | None) -> None:
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))

    with pytest.raises(WeightsError, match=r"the model hub did not give .*reset by peer"):
        resolve("tiny", cache_dir=tmp_path, offline=False, progress=progress, endpoint=hub.address)


def test_a_large_file_that_is_whole_is_kept(hub: Hub, tmp_path: Path) -> None:
    (begun(hub, tmp_path) / "model.bin").write_bytes(MODEL_BIN)
    assert kept(fetch(hub.address, tmp_path)) == WHOLE
    assert hub.asked_for("model.bin") == []
