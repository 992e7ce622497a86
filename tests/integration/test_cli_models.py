"""`linescribe models` as a process, with a hub of its own, and the real model process around a model that pretends."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
import msgspec
import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.cli.models import COMMANDS
from tests.fakes import STAND_IN
from tests.hub import TINY, Hub, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO

ROOT = Path(__file__).parents[2]
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("LINESCRIBE_")}
PRETENDING = f"""
import gateway.models
gateway.models.LOADER = {STAND_IN!r}
from gateway.cli import main
main(prog_name="linescribe")
"""
PATIENCE_SECONDS = 30.0
BIG = bytes(25_000_000)
TWO_CHUNKS = 2 * 10 * 1024 * 1024
"""What arrives is written by so many (huggingface_hub, `DOWNLOAD_CHUNK_SIZE`)."""

Done = subprocess.CompletedProcess[str]


class Machine:
    """A cache of its own, and a hub that is not the real one."""

    def __init__(self, root: Path, hub: Hub) -> None:
        self.cache = root / "cache"
        self.weights = self.cache / "weights"
        self.hub = hub
        self.environ = CLEAN | {
            "LINESCRIBE_MODELS__CACHE_DIR": str(self.cache),
            "LINESCRIBE_MODELS__INTERIM": "tiny",
            "LINESCRIBE_MODELS__FINAL": "tiny",
            "HF_ENDPOINT": hub.address,
            "PYTHONPATH": str(ROOT),
        }

    def run(self, *arguments: str, pretending: bool = False, **environ: str) -> Done:
        return subprocess.run(
            [*program(pretending), "models", *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env=self.environ | environ,
        )

    @contextlib.contextmanager
    def running(self, *arguments: str, pretending: bool = False, **streams: Any) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [*program(pretending), "models", *arguments],
            env=self.environ,
            text=True,
            start_new_session=True,  # a process group of its own, as a terminal gives it
            **streams,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def listed(self, *arguments: str) -> dict[str, dict[str, Any]]:
        done = self.run("list", "--json", *arguments)
        assert done.returncode == 0, done.stderr
        return {each["name"]: each for each in msgspec.json.decode(done.stdout)}


def program(pretending: bool) -> list[str]:
    return [sys.executable, "-c", PRETENDING] if pretending else [sys.executable, "-m", "gateway"]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    hub = Hub()
    with serving(hub):
        yield Machine(tmp_path, hub)


@pytest.fixture
def pretended(tmp_path: Path) -> Path:
    return pretended_weights(tmp_path / "one")


def pretended_weights(directory: Path) -> Path:
    directory.mkdir()
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.json"):
        (directory / name).write_bytes(b"{}")
    return directory


def damage(machine: Machine, name: str) -> Path:
    """Change a byte, which sizes do not show."""
    file = machine.weights / name / "model.bin"
    file.write_bytes(b"!" + file.read_bytes()[1:])
    return file


def complaint(done: Done, status: int = 1) -> str:
    """Give the one line that says what went wrong."""
    assert (done.returncode, done.stdout) == (status, "")
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize("command", COMMANDS)
def test_every_subcommand_explains_itself(command: str) -> None:
    result = CliRunner().invoke(main, ["models", command, "--help"])
    assert result.exit_code == 0
    assert f"  linescribe models {command}" in result.output, "examples"
    assert "\\b" not in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_settings_that_cannot_be_used_end_every_subcommand(command: str, machine: Machine) -> None:
    line = complaint(machine.run(command, "--config", "/no/such.yaml"), 2)
    assert line.startswith("linescribe: /no/such.yaml: expected a readable settings file")


def test_the_list_is_a_table_and_asks_nobody(machine: Machine) -> None:
    half = machine.weights / ".someone--own.partial"
    half.mkdir(parents=True)
    (half / "model.bin.part").write_bytes(bytes(12_300))
    done = machine.run("list")
    assert done.returncode == 0
    heading, *lines, empty, cache = done.stdout.splitlines()
    assert heading.split() == ["name", "where", "size", "used", "for", "languages", "source"]
    assert lines[0].split() == ["tiny", "not", "here", "interim", "final", "many", TINY]
    assert lines[-1].split() == ["someone/own", "partial", "12.3", "kB", "someone/own"]
    assert (empty, cache) == ("", f"cache: {machine.weights}")
    assert any("linescribe[weights]" in line for line in lines), "brackets are no markup"
    assert machine.hub.requests == []


def test_the_list_for_programs(machine: Machine, tmp_path: Path, pretended: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(f"models: {{final: {pretended}}}\n")
    environ = {name: value for name, value in machine.environ.items() if name != "LINESCRIBE_MODELS__FINAL"}
    machine.environ = environ
    listed = machine.listed("--config", str(file))
    assert listed["tiny"]["roles"] == ["interim"]
    mine = listed[str(pretended)]
    assert (mine["place"], mine["roles"], mine["directory"]) == ("directory", ["final"], str(pretended))


def test_a_reader_that_has_gone_is_no_error(machine: Machine) -> None:
    with machine.running("list", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(PATIENCE_SECONDS) in {0, 1}


def test_what_the_settings_name_is_fetched_once(machine: Machine) -> None:
    done = machine.run("fetch")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"tiny: fetched from the model hub, 1.3 MB in {machine.weights / 'tiny'}\n"
    assert done.stderr.splitlines()[-1] == "preparing tiny: 100 % of 1.3 MB"
    asked = len(machine.hub.requests)
    assert machine.run("fetch", "tiny", "tiny").stdout.startswith("tiny: was here already")
    assert len(machine.hub.requests) == asked
    listed = machine.listed()["tiny"]
    assert (listed["place"], listed["source"], listed["roles"]) == ("cache", TINY, ["interim", "final"])


def test_the_others_are_fetched_when_one_fails(machine: Machine) -> None:
    done = machine.run("fetch", "tiyn", "someone/else", TINY)
    assert done.returncode == 1
    assert done.stdout.startswith(f"{TINY}: fetched from the model hub")
    first, second, *_, last = done.stderr.splitlines()
    assert "'tiyn' (did you mean tiny" in first
    assert "the model hub did not give someone/else" in second
    assert last == "linescribe: not to be had: tiyn, someone/else"


def test_offline_fetches_nothing(machine: Machine) -> None:
    line = complaint(machine.run("fetch", LINESCRIBE_MODELS__OFFLINE="true"))
    assert "offline keeps from the hub; give a directory" in line
    assert machine.hub.requests == []


def test_a_cache_that_cannot_be_written(machine: Machine) -> None:
    machine.cache.write_text("a file, where a directory should be")
    assert "cannot keep weights 'tiny' in" in complaint(machine.run("fetch"))


def test_ctrl_c_keeps_what_has_arrived_and_the_next_fetch_goes_on(machine: Machine) -> None:
    hub = machine.hub
    hub.replace("model.bin", BIG)
    hub.stop_at = 22_000_000
    with machine.running("fetch", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert hub.stopped.wait(PATIENCE_SECONDS)
        wait_for_size(machine.weights / ".tiny.partial" / "model.bin.part", 20_000_000)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert (out, err.splitlines()[-1]) == ("", "linescribe: stopped")
    assert "Traceback" not in err
    half = machine.listed()["tiny"]
    assert half["place"] == "partial"
    assert half["size_bytes"] > TWO_CHUNKS
    hub.stop_at = None
    done = machine.run("fetch")
    assert done.returncode == 0, done.stderr
    assert hub.asked_for("model.bin") == [0, TWO_CHUNKS]
    assert machine.run("verify").returncode == 0


def test_a_fetch_that_was_killed_is_gone_on_with(machine: Machine) -> None:
    hub = machine.hub
    hub.replace("model.bin", BIG)
    hub.stop_at = 22_000_000
    with machine.running("fetch", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_for_size(machine.weights / ".tiny.partial" / "model.bin.part", TWO_CHUNKS)
        process.kill()
        process.communicate()
    hub.stop_at = None
    assert machine.run("fetch").returncode == 0
    assert hub.asked_for("model.bin") == [0, TWO_CHUNKS]


def test_two_at_once_fetch_once_and_the_second_says_that_it_waits(machine: Machine) -> None:
    hub = machine.hub
    hub.stop_at = 1000
    with machine.running("fetch", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as first:
        assert hub.stopped.wait(PATIENCE_SECONDS)
        with machine.running("fetch", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as second:
            assert second.stderr
            assert "weights.waiting" in second.stderr.readline()
            hub.go_on.set()
            assert first.communicate(timeout=PATIENCE_SECONDS)[0].startswith("tiny: fetched from the model hub")
            assert second.communicate(timeout=PATIENCE_SECONDS)[0].startswith("tiny: was here already")
    assert hub.asked_for("model.bin") == [0]


def test_a_terminal_sees_a_bar(machine: Machine) -> None:
    mine, theirs = pty.openpty()
    with machine.running("fetch", stdout=subprocess.PIPE, stderr=theirs, stdin=theirs) as process:
        os.close(theirs)
        with open(mine, "rb", buffering=0) as terminal:  # noqa: PTH123  a descriptor
            drawn = read_until(terminal, None)
        process.communicate()
    assert process.returncode == 0
    assert b"preparing tiny" in drawn
    assert b"1.3/1.3 MB" in drawn


def test_every_byte_is_checked(machine: Machine) -> None:
    assert machine.run("verify").stdout == f"no model lies in {machine.weights}\n"
    machine.run("fetch", "tiny", TINY)
    done = machine.run("verify")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [TINY, "tiny"]
    file = damage(machine, "tiny")
    done = machine.run("verify")
    assert done.returncode == 1
    assert done.stdout.startswith(f"{TINY}: intact")
    (line,) = done.stderr.splitlines()
    assert (
        line == f"linescribe: tiny: {file} is damaged; remove {file.parent} to have it made anew (--remove does that)"
    )
    assert machine.run("verify", TINY).returncode == 0


def test_what_is_damaged_is_removed_and_fetched_anew(machine: Machine) -> None:
    machine.run("fetch")
    damage(machine, "tiny")
    done = machine.run("verify", "--json", "--remove")
    (verdict,) = msgspec.json.decode(done.stdout)
    assert (verdict["name"], verdict["intact"], verdict["removed"]) == ("tiny", False, True)
    assert (done.returncode, done.stderr) == (1, "")
    assert machine.listed()["tiny"]["place"] == "not here"
    assert machine.run("fetch").returncode == 0
    assert machine.run("verify", "--remove").returncode == 0


def test_what_somebody_mends_meanwhile_is_not_removed(machine: Machine) -> None:
    machine.run("fetch")
    file = damage(machine, "tiny")
    with (
        filelock.FileLock(machine.weights / ".tiny.lock") as lock,
        machine.running("verify", "--remove", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
    ):
        assert process.stderr
        assert "weights.waiting" in process.stderr.readline()
        file.write_bytes(machine.hub.files["model.bin"])
        lock.release()
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, err) == (0, "")
    assert out.startswith("tiny: intact")


def test_a_copy_of_the_cache_can_be_checked_and_is_not_removed(machine: Machine, tmp_path: Path) -> None:
    machine.run("fetch")
    copy = (machine.weights / "tiny").rename(tmp_path / "copy")
    assert machine.run("verify", str(copy)).returncode == 0
    (copy / "config.json").unlink()
    line = complaint(machine.run("verify", "--remove", str(copy)))
    assert "config.json cannot be read" in line
    assert copy.is_dir()


@pytest.mark.parametrize("command", ["list", "verify"])
def test_a_cache_that_cannot_be_read(machine: Machine, command: str) -> None:
    line = complaint(machine.run(command, LINESCRIBE_MODELS__CACHE_DIR=str(machine.cache.with_name("a" * 300))))
    assert line.startswith("linescribe: cannot read the cache: [Errno 36] File name too long: '")
    assert line.endswith("see to it, or set models.cache_dir")


def test_names_that_are_no_paths(machine: Machine) -> None:
    assert "there is no such user" in complaint(machine.run("fetch", "~nosuchuser/x"))
    assert "no weights are called 'aaa" in complaint(machine.run("fetch", "a" * 300))
    done = machine.run("verify", "~nosuchuser/x")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        2,
        "Error: weights '~nosuchuser/x': there is no such user",
    )
    assert "No model 'aaa" in machine.run("verify", "a" * 300).stderr
    line = complaint(machine.run("warm", "--model", "~nosuchuser/x"), 2)
    assert line.startswith("linescribe: --model ~nosuchuser/x: Expected a path")


def test_a_name_that_is_not_in_the_cache(machine: Machine) -> None:
    done = machine.run("verify", "small")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        2,
        "Error: No model 'small' lies in the cache; there are: none",
    )
    machine.run("fetch")
    assert machine.run("verify", "tinny").stderr.splitlines()[-1].endswith("did you mean tiny?")


def test_warm_tells_what_it_took(machine: Machine, tmp_path: Path, pretended: Path) -> None:
    other = pretended_weights(tmp_path / "other")
    done = machine.run(
        "warm",
        pretending=True,
        LINESCRIBE_MODELS__FINAL=str(pretended),
        LINESCRIBE_MODELS__INTERIM=str(other),
    )
    assert (done.returncode, done.stderr) == (0, "")
    first, second, process, final, interim = done.stdout.splitlines()
    assert first.endswith(f"(path: {pretended})")
    assert second.startswith("weights other: found in ")
    assert process.startswith("model process: begun in ")
    assert " MB at most while loading" in process
    assert final.startswith("model one int8: loaded and warmed up in ")
    assert final.endswith(" s on cpu, for final")
    assert interim.endswith(" s on cpu, for interim")


def test_warm_of_another_model_leaves_the_settings_ones_alone(machine: Machine, pretended: Path) -> None:
    done = machine.run("warm", "--model", str(pretended), pretending=True)
    assert done.stdout.splitlines()[-1].endswith("for final and interim")
    assert machine.hub.requests == []


@pytest.mark.parametrize("command", ["warm", "bench"])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("unloadable", "these weights cannot be loaded; take others"),
        ("mistaken", "KeyError: 'a mistake in the loader'"),
        ("deadly", "the model process died, exit code 7; is there memory enough for the models?"),
    ],
)
def test_a_model_that_cannot_be_loaded(
    machine: Machine, tmp_path: Path, command: str, name: str, expected: str
) -> None:
    directory = pretended_weights(tmp_path / name)
    assert complaint(machine.run(command, "--model", str(directory), pretending=True)) == f"linescribe: {expected}"


def test_a_model_that_cannot_be_warmed_up_is_told_with_the_remedy(machine: Machine, tmp_path: Path) -> None:
    directory = pretended_weights(tmp_path / "too large")
    line = complaint(machine.run("warm", "--model", str(directory), pretending=True))
    assert line.startswith("linescribe: cannot load model 'too large' from ")
    assert "out of memory; choose a smaller model" in line


@pytest.mark.parametrize("command", ["warm", "bench"])
def test_a_model_that_cannot_be_had(machine: Machine, command: str) -> None:
    line = complaint(machine.run(command, "--model", "tiney"))
    assert "no weights are called 'tiney' (did you mean tiny" in line
    assert complaint(machine.run(command, "--model", "/no/such")).endswith("there is no such directory")


def test_a_model_that_does_not_go_with_the_language(machine: Machine) -> None:
    line = complaint(machine.run("warm", "--model", "tiny.en", LINESCRIBE_MODELS__LANGUAGE="de"), 2)
    assert line.startswith("linescribe: --model tiny.en: Expected language en")


def test_ctrl_c_ends_warming_and_its_process(machine: Machine, tmp_path: Path) -> None:
    endless = pretended_weights(tmp_path / "endless")
    mine, theirs = pty.openpty()
    with machine.running("warm", "--model", str(endless), pretending=True, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        with open(mine, "rb", buffering=0) as terminal:  # noqa: PTH123  a descriptor
            drawn = read_until(terminal, b"loading endless")
            os.killpg(process.pid, signal.SIGINT)
            drawn += read_until(terminal, None)
        assert process.wait(PATIENCE_SECONDS) == 130
        assert b"Traceback" not in drawn
        assert drawn.rstrip().endswith(b"linescribe: stopped")
        wait_for_end(process.pid)


def test_ctrl_c_ends_measuring_and_its_process(machine: Machine, pretended: Path) -> None:
    mine, theirs = pty.openpty()
    arguments = ("bench", "--seconds", "600", "--model", str(pretended))
    with machine.running(*arguments, pretending=True, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        with open(mine, "rb", buffering=0) as terminal:  # noqa: PTH123  a descriptor
            drawn = read_until(terminal, b" at once")
            os.killpg(process.pid, signal.SIGINT)
            drawn += read_until(terminal, None)
        assert process.wait(PATIENCE_SECONDS) == 130
        assert b"Traceback" not in drawn
        wait_for_end(process.pid)


def test_a_model_that_cannot_decode(machine: Machine, tmp_path: Path) -> None:
    unable = pretended_weights(tmp_path / "unable")
    line = complaint(machine.run("bench", "--model", str(unable), pretending=True))
    assert line.startswith("linescribe: the model could not decode: ValueError: told to fail; ")


def test_bench_prints_a_table_and_what_it_means(machine: Machine, pretended: Path) -> None:
    done = machine.run(
        "bench", "--model", str(pretended), "--seconds", "1", pretending=True, LINESCRIBE_MODELS__BATCH_SIZE="3"
    )
    assert (done.returncode, done.stderr) == (0, "")
    figures, _, words = done.stdout.partition("\n\n")
    title, heading, *rows = figures.splitlines()
    meaning, caution, *_ = words.splitlines()
    assert title.strip() == "one int8 on cpu, profile realtime, language en"
    assert heading.split() == [
        "at",
        "once",
        "ms",
        "per",
        "utterance",
        "seconds",
        "of",
        "speech",
        "a",
        "second",
        "word",
        "errors",
    ]
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert meaning.startswith("About ")
    assert " people speaking without pause. With " in meaning
    assert "25 % are kept free" in meaning
    assert caution.startswith("A text comes ")


def test_bench_for_programs(machine: Machine, pretended: Path) -> None:
    done = machine.run(
        *("bench", "--json", "--model", str(pretended), "--seconds", "1"),
        pretending=True,
        LINESCRIBE_MODELS__LANGUAGE="de",
        LINESCRIBE_MODELS__PROFILE="accurate",
    )
    (line,) = done.stdout.splitlines()
    report = msgspec.json.decode(line)
    assert (report["model"], report["profile"], report["language"]) == ("one int8", "accurate", "en")
    assert [each["batch"] for each in report["outcomes"]] == [1, 2, 4, 8]
    assert all(each["word_errors"] > 0 and each["words"] > 90 for each in report["outcomes"])
    assert report["people"] > 1
    assert "people speaking without pause" in done.stderr


def read_until(terminal: FileIO, wanted: bytes | None) -> bytes:
    """Read what is drawn until something stands there, or to the end."""
    drawn = b""
    with contextlib.suppress(OSError):  # which is how a terminal ends
        while (wanted is None or wanted not in drawn) and (piece := terminal.read(10_000)):
            drawn += piece
    return drawn


def wait_for_size(file: Path, size: int) -> None:
    """Wait until so much is written; nobody tells."""
    while not file.exists() or file.stat().st_size < size:
        time.sleep(0.02)


def wait_for_end(group: int) -> None:
    """Wait until no process of a group is left; those that are not our children tell nobody."""
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.killpg(group, 0)
            time.sleep(0.02)
