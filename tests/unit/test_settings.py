from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import config
from asr.hub import REPOSITORIES
from config.checks import decode_webhook_secret, is_loopback
from config.errors import ConfigError
from config.load import dump, load
from config.secret import MASK, Secret, read_secret
from config.settings import Settings

Write = Callable[[str], Path]

DEFAULTS = Path(config.__file__).parent / "gateway.yaml"
KEY = bytes(range(32))
WHSEC = "whsec_" + base64.b64encode(KEY).decode()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(text: str) -> Path:
        file = tmp_path / "my.yaml"
        file.write_text(text)
        return file

    return _write


def endpoint(**fields: object) -> str:
    given = {"name": "crm", "url": "https://crm.example/hook", "secrets": [WHSEC]} | fields
    return msgspec.json.encode({"delivery": {"endpoints": [given]}}).decode()


def tokens(*names: str, same: bool = False) -> str:
    given = [{"name": name, "secret": f"{not same and number:024}"} for number, name in enumerate(names)]
    return msgspec.json.encode({"http": {"tokens": given}}).decode()


def test_the_documented_file_holds_every_key_with_its_default() -> None:
    assert msgspec.yaml.decode(DEFAULTS.read_bytes()) == msgspec.json.decode(msgspec.json.encode(Settings()))


def test_the_settings_for_a_gpu_can_be_used_and_name_models_that_there_are() -> None:
    models = load(DEFAULTS.with_name("gpu.yaml"), {}).models
    assert (models.device, models.interim, models.final) == ("cuda", "small", "large-v3-turbo")
    assert {models.interim, models.final} <= set(REPOSITORIES)


def test_every_key_of_the_documented_file_is_explained() -> None:
    explained_above = {"final", "port", "hangover_shortest_ms", "hangover_longest_ms"}  # those of a kind
    above = ""
    for line in DEFAULTS.read_text().splitlines():
        text = line.strip().removeprefix("- ")
        key, colon, value = text.partition(":")
        if colon and value and not text.startswith("#") and key not in explained_above:
            assert above.startswith("#"), f"{key} is not explained"
        above = text


def test_a_file_may_be_partial(write: Write) -> None:
    settings = load(write("calls:\n  max_calls: 7\naudiosocket:\n  - port: 9999\n"), {})
    assert settings.calls.max_calls == 7
    assert settings.calls.linger_seconds == Settings().calls.linger_seconds
    assert [each.port for each in settings.audiosocket] == [9999]
    assert settings.audiosocket[0].name == "audiosocket"


def test_a_section_with_everything_commented_out_means_the_defaults(write: Write) -> None:
    assert load(write("log:\n  # level: debug\ncalls:\n"), {}) == Settings()


def test_an_empty_file_means_the_defaults(write: Write) -> None:
    assert load(write(""), {}) == load(None, {}) == Settings()


def test_default_binds_are_loopback() -> None:
    assert is_loopback(Settings().http.host)
    assert all(is_loopback(each.host) for each in Settings().audiosocket)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("audiosocket:\n  - prot: 1\n", ["my.yaml:2", "audiosocket[0].prot", "unknown key", "'port'"]),
        ("nonsense: 1\n", ["my.yaml:1", "nonsense", "expected one of", "audiosocket"]),
        ("log:\n  level: loud\n", ["my.yaml:2", "log.level", "'loud'", "debug, error, info, warning"]),
        ("\n\ncalls:\n  max_calls: many\n", ["my.yaml:4", "calls.max_calls", "expected `int`, got `str`"]),
        ("calls: 3\n", ["my.yaml:1", "calls", "expected `object`"]),
        ("calls:\n  max_calls: 0\n", ["my.yaml:2", "expected `int` >= 1"]),
        ("audiosocket: [{port: 70000}]\n", ["audiosocket[0].port", "<= 65535"]),
        ("audiosocket: [{port: 1}, {port: 2}]\n", ["names in audiosocket", "'audiosocket' stands there twice"]),
        (endpoint(secrets=[{"file": "crm.secret"}]), ["secrets[0]", "whole path", "crm.secret"]),
        ("audiosocket: [{port: 1, name: a}, {port: 1, name: b}]\n", ["'127.0.0.1:1' stands there twice"]),
        ("log: {level: info}\nlog: {level: debug}\n", ["'log' stands here twice", "line 2"]),
        ("log: [\n", ["my.yaml", "expected YAML"]),
        ("[" * 5000, ["my.yaml", "expected YAML"]),
        ("just words\n", ["my.yaml", "expected sections"]),
        ("? [a, b]\n: 1\n", ["my.yaml", "expected YAML"]),
        ("state_dir: 2020-13-45\n", ["my.yaml", "expected YAML"]),
        ("log: &a\n  level: *a\n", ["my.yaml", "expected YAML"]),
        ("1: 2\n", ["my.yaml"]),
        ("models: {language: no}\n", ["models.language", "got `bool`", "quote them"]),
        ("models: {language: zz}\n", ["models", "language code", "'zz'"]),
        ("models: {language: english}\n", ["'english'", "near are"]),
        ("models: {final: tiny.en, language: de}\n", ["models", "tiny.en knows no other"]),
        ("models: {languages: [en, zz]}\n", ["models", "language code", "'zz'"]),
        ("models: {languages: [en, auto]}\n", ["models", "auto stands under language"]),
        ("models: {languages: [en, en]}\n", ["models", "'en' stands there twice"]),
        ("models: {interim: tiny.en, language: auto, languages: [de, fr]}\n", ["xpected en among languages"]),
        ("models: {cache_dir: ~nosuchuser/x}\n", ["models", "no such user"]),
        ("models: {final: ~nosuchuser/x}\n", ["models", "'~nosuchuser/x'", "no such user"]),
        ("models: {interim: ~nosuchuser/x}\n", ["models", "no such user"]),
        ("state_dir: ~nosuchuser/x\n", ["no such user"]),
        ("delivery: {timeout_seconds: .inf}\n", ["delivery.timeout_seconds", "<= 31536000"]),
        ("delivery: {timeout_seconds: .nan}\n", ["delivery.timeout_seconds", "> 0"]),
        ("http: {tls: {certificat: /x}}\n", ["my.yaml:1", "http.tls.certificat", "did you mean 'certificate'"]),
        ("http: {tls: {certificate: /x}}\n", ["http.tls", "`key`"]),
        ("http: {tls: {certificate: ~nosuchuser/x, key: /x}}\n", ["http.tls", "no such user"]),
        ("http: {public_url: 'ftp://x'}\n", ["http", "http:// or https://"]),
        ("http: {public_url: 'https://x/?a=1'}\n", ["http", "without ? and #"]),
        ("http: {trusted_proxies: [proxy]}\n", ["http", "'proxy'"]),
        ("http: {tokens: [{name: pbx, secret: hunter2}]}\n", ["http.tokens[0]", "24 characters", "openssl"]),
        (tokens("a", "a"), ["names in http.tokens", "'a' stands there twice"]),
        ("http: {port: 9092}\n", ["addresses of listeners", "127.0.0.1:9092"]),
        ("audiosocket: [{registration: required}]\n", ["'audiosocket' demands registration", "http.tokens"]),
        ("transcripts: {mask: [oh heck]}\n", ["my.yaml:1", "transcripts", "single words", "'oh heck'"]),
        ("transcripts: {mask: [x]}\n", ["transcripts", "2 to 100 characters", "'x'"]),
        ("transcripts: {mask: [no]}\n", ["transcripts.mask[0]", "got `bool`", "quote them"]),
        ("transcripts: {normalizer: house_style}\n", ["transcripts.normalizer"]),
        ("transcripts: {normalizer: 'os; quit:x'}\n", ["transcripts.normalizer"]),
        ("routes: [{name: a, mask: [oh-heck]}]\n", ["routes[0]", "single words", "'oh-heck'"]),
        ("routes: [{name: a, normalizer: 'a:b'}]\n", ["routes[0].normalizer", "unknown key"]),
        ("routes: [{match: {}}]\n", ["routes[0]", "`name`"]),
        ("routes: [{name: a}, {name: a}]\n", ["names in routes"]),
        (
            tokens("pbx")[:-1] + ', "audiosocket": [{"registration": "required", "account": "office"}]}',
            ["token named 'office'", "'audiosocket' demands"],
        ),
        (tokens("a", "b", same=True), ["http", "a secret of its own"]),
        ("routes: [{name: default}]\n", ["a name other than 'default'"]),
        (
            endpoint()[:-1] + ', "routes": [{"name": "a", "endpoints": ["crm", "crm"]}]}',
            ["endpoints of route 'a'", "'crm' stands there twice"],
        ),
        ("routes: [{name: a}, {name: b, language: de}]\n", ["'a' to be the last"]),
        ("routes: [{name: a, match: {listner: x}}]\n", ["routes[0].match.listner", "'listener'"]),
        ("routes: [{name: a, match: {called: 700}}]\n", ["routes[0].match.called", "quote a number"]),
        ("routes: [{name: a, match: {called: []}}]\n", ["routes[0].match.called", "length >= 1"]),
        ("routes: [{name: a, match: {parameters: {queue: no}}}]\n", ["match.parameters.*:", "quote them"]),
        ("routes: [{name: a, language: zz}]\n", ["routes[0]", "language code"]),
        ("routes: [{name: a, labels: {caller: x}}]\n", ["routes[0].labels", "inbound"]),
        ("routes: [{name: a, endpoints: [crm]}]\n", ["endpoint in route 'a'", "'crm'", "there is none"]),
        ("models: {final: tiny.en}\nroutes: [{name: a, language: de}]\n", ["tiny.en knows no other"]),
        ("routes: [{name: a, languages: [zz]}]\n", ["routes[0]", "language code"]),
        ("models: {final: tiny.en}\nroutes: [{name: a, languages: [de]}]\n", ["xpected en among languages"]),
        ("models: {final: tiny.en, task: translate}\n", ["task transcribe", "tiny.en knows English only"]),
        ("models: {final: tiny.en}\nroutes: [{name: a, task: translate}]\n", ["tiny.en knows English only"]),
        ("interims: {elevated_wait_ms: 700}\n", ["elevated_wait_ms", "critical_wait_ms"]),
        ("interims: {elevated_finals: 7, critical_finals: 6}\n", ["elevated_finals", "critical_finals"]),
        ("models: {waiting_track_seconds: 29}\n", ["waiting_track_seconds", "30"]),
        ("models: {profile: fast}\n", ["models.profile", "realtime, accurate"]),
        ("models: {profiles: {mine: {beams: 3}}}\n", ["models.profiles.*.beams", "did you mean 'beam_size'"]),
        (
            "models: {profiles: {mine: {beam_size: 2, patience: 0.2}}}\n",
            ["models.profiles", "beam_size times patience of at least 0.5", "2 times 0.2"],
        ),
        ("routes: [{name: a, profile: fast}]\n", ["profile in route 'a'", "realtime, accurate"]),
        ("models: {device_index: [1]}\n", ["device cuda or auto", "processes"]),
        ("models: {device: cuda, device_index: [1, 1]}\n", ["models.device_index", "twice"]),
        ("audiosocket: [{encoding: g722}]\n", ["audiosocket[0].encoding", "alaw, slin, ulaw"]),
        ("audiosocket: [{allowed_peers: [10.0.0.1/8]}]\n", ["audiosocket[0]", "10.1.0.0/16", "host bits"]),
        ("audiosocket: [{allowed_peers: [pbx]}]\n", ["audiosocket[0]", "'pbx'"]),
        ("audiosocket: [{host: ''}]\n", ["audiosocket[0].host", "length >= 1"]),
        ("speech: {longest_utterance_ms: 2000, pre_roll_ms: 2000}\n", ["speech", "longest_utterance_ms"]),
        (endpoint(secrets=[{"file": "~nosuchuser/x"}]), ["secrets[0]", "~nosuchuser/x"]),
        (endpoint(url="http://crm.example/"), ["my.yaml:1", "delivery.endpoints[0]", "https://"]),
        (endpoint(url="ftp://crm.example/"), ["http:// or https://"]),
        (endpoint(url="https://u:p@crm.example/"), ["without user name"]),
        (endpoint(url="https://crm.example:99999/"), ["expected a URL"]),
        (endpoint(url="https://[::1/"), ["expected a URL"]),
        (endpoint(secrets=[]), ["delivery.endpoints[0].secrets"]),
        (endpoint(secrets=["hunter2"]), ["whsec_", "openssl rand"]),
        (endpoint(secrets=["whsec_c2hvcnQ="]), ["24 to 64 bytes"]),
        (endpoint(secrets=[{"flie": "x"}]), ["{file: PATH}"]),
        (endpoint(secrets=[{"file": "/nonexistent/secret"}]), ["secrets[0]", "/nonexistent/secret"]),
        (endpoint(secrets=[{"credential": "crm"}]), ["$CREDENTIALS_DIRECTORY"]),
    ],
)
def test_a_mistake_is_named_with_its_place_and_what_was_expected(
    write: Write,
    text: str,
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(ConfigError) as caught:
        load(write(text), {})
    for part in expected:
        assert part in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_section_in_the_environment_changes_only_what_it_names(write: Write) -> None:
    file = write("log: {level: warning, transcripts: true}\n")
    settings = load(file, {"LINESCRIBE_LOG": "{format: json}", "LINESCRIBE_LOG__TRANSCRIPTS": "false"})
    assert (settings.log.level, settings.log.format, settings.log.transcripts) == ("warning", "json", False)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: expected a readable settings file"):
        load(tmp_path / "absent.yaml", {})


def test_the_environment_wins_over_the_file(write: Write) -> None:
    file = write("log: {level: warning, transcripts: true}\naudiosocket: [{port: 5000, label: agent}]\n")
    environ = {
        "LINESCRIBE_LOG__LEVEL": "debug",
        "LINESCRIBE_AUDIOSOCKET__0__PORT": "6000",
        "LINESCRIBE_AUDIOSOCKET__1": "{name: second, port: 6001}",
        "LINESCRIBE_AUDIOSOCKET__1__ROLE": "outbound",
        "LINESCRIBE_CONFIG": "is no setting",
        "LINESCRIBE_RECEIVE_SECRET": "nor is this",
        "UNRELATED": "x",
    }
    settings = load(file, environ)
    assert (settings.log.level, settings.log.transcripts) == ("debug", True)
    first, second = settings.audiosocket
    assert (first.port, first.label) == (6000, "agent")
    assert (second.name, second.port, second.role) == ("second", 6001, "outbound")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("LINESCRIBE_LOG__LEVEL", "loud", "log.level"),
        ("LINESCRIBE_LOGG", "1", "did you mean 'log'"),
        ("LINESCRIBE_LOG_LEVEL", "debug", "did you mean log.level? (in the environment: two underscores)"),
        ("LINESCRIBE_AUDIOSOCKET__7__PORT", "1", "nothing to set at 7"),
        ("LINESCRIBE_LOG__LEVEL__X", "1", "nothing to set at 'x'"),
        ("LINESCRIBE_CALLS", "[", "expected a YAML value"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(name: str, value: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {name: value})
    assert f"environment variable {name}" in str(caught.value)
    assert expected in str(caught.value)


@given(st.dictionaries(st.text(max_size=8), st.recursive(st.text(max_size=5) | st.integers(), st.lists, max_leaves=5)))
def test_any_document_gives_settings_or_the_one_error(document: dict[str, object]) -> None:
    environ = {"LINESCRIBE_" + key.upper().replace("\0", ""): repr(value) for key, value in document.items()}
    try:
        load(None, environ)
    except ConfigError as error:
        told = str(error)
    else:
        told = "environment variable"
    assert "environment variable" in told


def test_plain_http_is_for_this_machine_or_for_who_asks_for_it(write: Write) -> None:
    for fields in (
        {"url": "http://127.0.0.1:9900/"},
        {"url": "http://[::1]:9900/"},
        {"url": "http://localhost/"},
        {"url": "http://crm.example/", "allow_plain_http": True},
    ):
        assert load(write(endpoint(**fields)), {}).delivery.endpoints[0].url == fields["url"]


def test_secrets_come_from_files_and_systemd_credentials(
    write: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "crm").write_text(WHSEC + "\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    file = write(endpoint(secrets=[WHSEC, {"file": str(tmp_path / "crm")}, {"credential": "crm"}]))
    secrets = load(file, {}).delivery.endpoints[0].secrets
    assert [decode_webhook_secret(secret) for secret in secrets] == [KEY] * 3


@pytest.mark.parametrize("name", ["../crm", "/etc/passwd", "a/b"])
def test_a_credential_is_a_bare_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(ValueError, match="bare name"):
        read_secret({"credential": name})


def test_an_empty_secret_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ValueError, match="empty"):
        read_secret({"file": str(tmp_path / "empty")})


def test_a_secret_shows_itself_only_when_asked(write: Write) -> None:
    settings = load(write(endpoint()), {})
    for shown in (repr(settings), str(settings.delivery.endpoints[0].secrets), dump(settings)):
        assert WHSEC not in shown
        assert MASK in shown
    assert Secret("a") == Secret("a") != Secret("b")
    assert hash(Secret("a")) == hash(Secret("a"))


def test_what_is_dumped_can_be_loaded(write: Write) -> None:
    settings = load(None, {"LINESCRIBE_CALLS__MAX_CALLS": "3"})
    assert load(write(dump(settings)), {}) == settings


def test_an_unknown_section_of_the_environment_is_named_by_its_variable() -> None:
    with pytest.raises(ConfigError, match=r"environment variable LINESCRIBE_HTPP__PORT: htpp: unknown key"):
        load(None, {"LINESCRIBE_HTPP__PORT": "1"})
