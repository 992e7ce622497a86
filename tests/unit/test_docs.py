from __future__ import annotations

import json
import re
import textwrap
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from config.load import load
from config.settings import Settings
from gateway import events
from gateway.http.calls import NewCall
from gateway.http.twilio import NewStream

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "events.md").read_text()
EXAMPLES = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
CRM = '[{name: crm, url: "https://crm.example/x", secrets: [whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB]}]'
TYPES = {
    kind.type: kind
    for kind in vars(events).values()
    if isinstance(kind, type) and issubclass(kind, events.Event) and "type" in vars(kind)
}


def test_every_type_has_an_example_and_every_example_is_of_a_type() -> None:
    assert sorted(example["type"] for example in EXAMPLES) == sorted(TYPES)


@pytest.mark.parametrize("example", EXAMPLES, ids=[example["type"] for example in EXAMPLES])
def test_an_example_is_what_the_gateway_would_send(example: dict[str, object]) -> None:
    data = example["data"]
    event = msgspec.convert(data, TYPES[str(example["type"])])
    assert msgspec.to_builtins(event) == data  # no field missing, none invented


@pytest.mark.parametrize("example", EXAMPLES, ids=[example["type"] for example in EXAMPLES])
def test_every_field_is_explained(example: dict[str, dict[str, object]]) -> None:
    for field in example["data"]:
        assert f"`{field}`" in PAGE or field in {"digit", "at_ms"}, field


def test_the_examples_make_one_whole_call() -> None:
    stored = [example["data"] for example in EXAMPLES if example["type"] != "transcript.interim"]
    assert [data["sequence"] for data in stored] == list(range(1, len(stored) + 1))


def test_an_interim_carries_the_sequence_of_the_event_before_it() -> None:
    pairs = pairwise(EXAMPLES)
    (before,) = [before for before, example in pairs if example["type"] == "transcript.interim"]
    (interim,) = [example for example in EXAMPLES if example["type"] == "transcript.interim"]
    assert interim["data"]["sequence"] == before["data"]["sequence"]


@pytest.mark.parametrize(("path", "body"), [("/v1/calls", NewCall), ("/v1/twilio/streams", NewStream)])
def test_every_field_of_a_request_is_explained(path: str, body: type[msgspec.Struct]) -> None:
    sections = (ROOT / "docs" / "api.md").read_text().split("\n## ")
    (section,) = [each for each in sections if each.startswith(f"`POST {path}`:")]
    assert all(f"`{name}`" in section for name in body.__struct_fields__)


@pytest.mark.parametrize("file", [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")], ids=lambda file: file.name)
def test_links_within_the_project_lead_somewhere(file: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", file.read_text()):
        assert (file.parent / target).exists(), target


def test_the_settings_that_the_pages_name_exist() -> None:
    known = set(re.findall(r"^ *(?:- )?([a-z_]+):", (ROOT / "config" / "gateway.yaml").read_text(), re.MULTILINE))
    pages = "".join(page.read_text() for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
    for section, key in re.findall(r"`(log|http|calls|speech|models|transcripts|delivery)\.([a-z_]+)`", pages):
        assert key == "py" or {section, key} <= known


@pytest.mark.parametrize("file", [ROOT / "README.md", *(ROOT / "docs").glob("*.md")], ids=lambda file: file.name)
def test_the_settings_shown_as_examples_are_settings(file: Path, tmp_path: Path) -> None:
    """With the secrets where they are said to be; and with the endpoints that a page on something else leaves out."""
    for name in re.findall(r"/etc/linescribe/([a-z-]+\.(?:secret|token|header))", file.read_text()):
        (tmp_path / name).write_text("whsec_" + "QUFB" * 8)
    endpoints = {"LINESCRIBE_DELIVERY__ENDPOINTS": CRM}
    for number, block in enumerate(re.findall(r"^ *```yaml\n(.*?)```", file.read_text(), re.DOTALL | re.MULTILINE)):
        example = tmp_path / f"{number}.yaml"
        example.write_text(textwrap.dedent(block).replace("/etc/linescribe", str(tmp_path)))
        assert load(example, {} if "delivery:" in block else endpoints) != Settings()
