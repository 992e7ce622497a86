"""Faults that are really there, and what the command says of each."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import resource
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trustme
import yaml

from tests.gateway_under_test import WHSEC, house
from tests.sites import Site, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("LINESCRIBE_")}
CLOSED = 1
"""A port at which nobody listens."""


class Patient:
    """A machine and its settings: what differs from those that are well."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "gateway.yaml"
        self.mode = 0o600
        self.settings: dict[str, Any] = {
            "state_dir": str(folder / "state"),
            "audiosocket": [{"port": 0}],
            "http": {"port": 0},
            "delivery": {"most_store_mib": 16},
            "models": {"spool_mib": 1},
        }

    def endpoint(self, url: str, **changes: Any) -> dict[str, Any]:
        return {"name": "crm", "url": url, "secrets": [WHSEC], "allow_plain_http": True} | changes

    def examine(self, *arguments: str, prepare: Callable[[], None] | None = None) -> tuple[int, dict[str, str]]:
        """Run the command; give its exit status, and what is wrong by its check."""
        self.file.write_text(yaml.safe_dump(self.settings))
        self.file.chmod(self.mode)
        told = subprocess.run(
            [sys.executable, "-m", "gateway", "doctor", "--config", str(self.file), "--json", "--quiet", *arguments],
            env=CLEAN | {"XDG_CACHE_HOME": str(self.folder / "cache")},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            preexec_fn=prepare,
        )
        assert told.stderr == ""
        found: list[dict[str, Any]] = msgspec.json.decode(told.stdout)
        assert all(finding["remedy"] for finding in found)
        wrong: dict[str, str] = {}
        for finding in found:
            words = f"{finding['severity']}: {finding['text']} -> {finding['remedy']}"
            wrong[finding["check"]] = f"{wrong.get(finding['check'], '')}{words}\n"
        return told.returncode, wrong


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    return Patient(tmp_path)


def test_what_is_well_is_not_found_wrong(patient: Patient) -> None:
    status, wrong = patient.examine()
    assert status == 0
    assert set(wrong) <= {"clock", "endpoints", "pbx"}  # the clock of a test machine may follow nobody


def test_warnings_count_where_they_are_to(patient: Patient) -> None:
    assert patient.examine("--strict")[0] == 3


def test_settings_that_cannot_be_used(patient: Patient) -> None:
    patient.settings["calls"] = {"max_cals": 5}
    status, wrong = patient.examine()
    assert status == 2
    assert "calls.max_cals: unknown key" in wrong["settings"]


def test_a_model_that_is_not_there(patient: Patient) -> None:
    patient.settings["models"] |= {"final": "bass", "interim": "bass"}
    status, wrong = patient.examine()
    assert status == 1
    assert "there is no model 'bass'" in wrong["weights"]


def test_weights_that_may_not_be_fetched(patient: Patient) -> None:
    patient.settings["models"] |= {"final": "small", "interim": "small", "offline": True}
    assert "small is not here, and models.offline" in patient.examine()[1]["weights"]


def test_models_too_large_for_the_machine(patient: Patient) -> None:
    large = {"final": "large-v3", "interim": "large-v3", "compute_type": "float32", "processes": 16}
    patient.settings["models"] |= large
    if os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") > 100e9:
        pytest.skip("this machine has room for them")
    assert "the models may want 108" in patient.examine()[1]["memory"]


def test_a_gpu_that_is_not_there(patient: Patient) -> None:
    patient.settings["models"] |= {"device": "cuda"}
    status, wrong = patient.examine()
    if "gpu-driver" not in wrong:
        pytest.skip("there is a GPU here")
    assert status == 1
    assert wrong["gpu-driver"].startswith("error: NVIDIA's driver is not here")


def test_a_port_that_another_program_has(patient: Patient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        patient.settings["audiosocket"] = [{"port": port}]
        status, wrong = patient.examine()
    assert status == 1
    assert f"audiosocket 'audiosocket' cannot have 127.0.0.1:{port}: Address already in use" in wrong["ports"]
    assert f"sport = :{port}" in wrong["ports"]


def test_an_address_that_no_interface_has(patient: Patient) -> None:
    patient.settings["audiosocket"] = [{"host": "192.0.2.7", "allowed_peers": ["192.0.2.8"]}]
    assert "cannot have 192.0.2.7:9092" in patient.examine()[1]["ports"]


def test_a_disk_that_is_too_small(patient: Patient) -> None:
    patient.settings["delivery"] |= {"most_store_mib": 1_000_000_000}
    assert "delivery.most_store_mib and models.spool_mib may take" in patient.examine()[1]["disk"]


def test_a_state_directory_that_others_may_look_into(patient: Patient) -> None:
    (patient.folder / "state").mkdir(mode=0o755)
    assert "chmod 700" in patient.examine()[1]["state-dir"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_state_directory_that_cannot_be_written_to(patient: Patient) -> None:
    (patient.folder / "state").mkdir(mode=0o500)
    assert "cannot be written to" in patient.examine()[1]["state-dir"]


def test_too_few_files(patient: Patient) -> None:
    def poor() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))

    status, wrong = patient.examine(prepare=poor)
    assert status == 1
    assert "300 files may be open; calls.max_calls 500 want some 2400" in wrong["open-files"]


def test_an_endpoint_where_nobody_listens(patient: Patient) -> None:
    url = f"http://127.0.0.1:{CLOSED}/hook/secret"
    patient.settings["delivery"] |= {"endpoints": [patient.endpoint(url, addresses="any")]}
    status, wrong = patient.examine()
    assert status == 1
    assert f"crm: cannot connect to 127.0.0.1:{CLOSED}" in wrong["endpoints"]
    assert "secret" not in wrong["endpoints"]


def test_an_endpoint_whose_name_nobody_knows(patient: Patient) -> None:
    patient.settings["delivery"] |= {"endpoints": [patient.endpoint("https://crm.invalid/")]}
    assert "cannot connect to crm.invalid:443" in patient.examine()[1]["endpoints"]


def test_an_endpoint_that_may_not_be_sent_to(patient: Patient) -> None:
    endpoint = patient.endpoint("http://169.254.169.254/latest", addresses="public")
    patient.settings["delivery"] |= {"endpoints": [endpoint]}
    assert "may not be sent to" in patient.examine()[1]["endpoints"]


async def test_an_endpoint_that_answers(patient: Patient) -> None:
    site = Site()
    async with serving(site.handle) as url:
        patient.settings["delivery"] |= {"endpoints": [patient.endpoint(url, addresses="any")]}
        _, wrong = await asyncio.to_thread(patient.examine)
    assert "endpoints" not in wrong
    assert site.requests.empty()


@pytest.mark.parametrize(
    ("days", "told"), [(-3, "error: the certificate of listener 'http' ran out 3 days ago"), (5, "warning")]
)
def test_a_certificate_that_runs_out(patient: Patient, days: int, told: str) -> None:
    until = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    shown = trustme.CA().issue_cert("gateway.example", not_after=until)
    certificate, key = patient.folder / "cert.pem", patient.folder / "key.pem"
    shown.private_key_pem.write_to_path(key)
    for pem in shown.cert_chain_pems:
        pem.write_to_path(certificate, append=True)
    patient.settings["http"] |= {"tls": {"certificate": str(certificate), "key": str(key)}}
    assert patient.examine()[1]["tls-expiry"].startswith(told)


def test_a_certificate_that_is_not_there(patient: Patient) -> None:
    tls = {"certificate": str(patient.folder / "cert.pem"), "key": str(patient.folder / "key.pem")}
    patient.settings["http"] |= {"tls": tls}
    assert "cannot read tls.certificate" in patient.examine()[1]["tls"]


@pytest.mark.parametrize(
    ("secret", "told"),
    [("0123456789abcdef" * 2, True), ({"file": "{}/a-secret-in-a-file"}, False)],
    ids=["text", "file"],
)
def test_a_secret_that_everybody_may_read(patient: Patient, secret: Any, *, told: bool) -> None:
    if isinstance(secret, dict):
        (patient.folder / "a-secret-in-a-file").write_text("0123456789abcdef" * 2)
        secret = {"file": secret["file"].format(patient.folder)}
    patient.settings["http"] |= {"tokens": [{"name": "pbx", "secret": secret}]}
    patient.mode = 0o644
    assert ("secrets" in patient.examine()[1]) is told
    patient.mode = 0o640
    assert "secrets" not in patient.examine()[1]


def test_traps_of_pbx_and_service(patient: Patient) -> None:
    patient.settings["audiosocket"] = [{"port": 0, "keep_alive": "never", "encoding": "ulaw"}]
    patient.settings["calls"] = {"drain_seconds": 7200}
    patient.settings["log"] = {"transcripts": True}
    patient.settings["twilio"] = [{"accounts": [{"sid": "AC1", "auth_tokens": ["0123456789abcdef" * 2]}]}]
    _, wrong = patient.examine()
    assert "drops calls that are silent" in wrong["pbx"]
    assert "always sends slin" in wrong["pbx"]
    assert "TimeoutStopSec=7270" in wrong["service"]
    assert "log.transcripts" in wrong["service"]
    assert "wss://" in wrong["carriers"]


async def test_a_gateway_that_runs_has_its_ports_itself(patient: Patient) -> None:
    async with house(patient.folder / "state") as home:
        patient.settings["audiosocket"] = [{"port": home.port}]
        _, wrong = await asyncio.to_thread(patient.examine)
    assert "ports" not in wrong
