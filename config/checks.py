"""What a setting must be beyond its type. Each check raises ValueError that says what was expected."""

from __future__ import annotations

import base64
import binascii
import difflib
import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.secret import Secret

SECRET_PREFIX = "whsec_"  # noqa: S105  the public marker of Standard Webhooks, no secret
SECRET_BYTES = range(24, 65)
SHORTEST_TOKEN = 24
PUBLIC_KEY_BYTES = 32

_CODES = (
    "af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he hi hr ht hu hy id"
    " is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn no oc pa pl ps pt ro ru sa sd"
    " si sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk ur uz vi yi yo yue zh"
)
LANGUAGES = frozenset(_CODES.split())
"""What Whisper knows (openai-whisper, `tokenizer.py`)."""


def check_language(language: str) -> None:
    """Refuse a language that Whisper does not know."""
    if language != "auto" and language not in LANGUAGES:
        near = difflib.get_close_matches(language, LANGUAGES, n=3, cutoff=0.4)
        hint = f"; near are {', '.join(sorted(near))}" if near else ""
        raise ValueError(f"Expected a language code such as en, es or de, or auto, got {language!r}{hint}")


def check_languages(languages: Sequence[str]) -> None:
    """Refuse a list in which something else stands than languages, each once."""
    for language in languages:
        if language == "auto":
            raise ValueError("Expected language codes such as en, es or de in languages; auto stands under language")
        check_language(language)
    distinct("codes in languages", languages)


def is_english_only(model: str) -> bool:
    """Tell by its name whether a model knows no other language."""
    return model.endswith(".en") or (model.startswith("distil-") and "/" not in model)


def check_model_language(
    model: str, language: str | None, task: str | None = None, languages: Sequence[str] | None = None
) -> None:
    """Refuse a language, or to translate, for a model that knows English only; and one that lies in nobody's home."""
    check_path(model)
    if not is_english_only(model):
        return
    if task == "translate":
        raise ValueError(f"Expected task transcribe, for {model} knows English only; or another model")
    if language not in {"en", "auto", None}:
        raise ValueError(f"Expected language en, for {model} knows no other; or another model")
    if languages and "en" not in languages:
        raise ValueError(f"Expected en among languages, for {model} knows no other; or another model")


def check_token(secret: Secret) -> None:
    """Refuse a token that could be guessed, or that no HTTP header can carry."""
    token = secret.reveal()
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(
            f"Expected a token of at least {SHORTEST_TOKEN} characters, ASCII without blanks"
            " (make one: openssl rand -hex 24)"
        )


def check_network(network: str) -> None:
    """Refuse what is neither an address nor a network in CIDR notation."""
    try:
        ipaddress.ip_network(network)
    except ValueError as error:
        raise ValueError(f"Expected an address or a network such as 10.1.0.0/16: {error}") from None


def check_path(path: str | None) -> None:
    """Refuse a path that begins in the home of nobody."""
    try:
        Path(path or "").expanduser()
    except RuntimeError:
        raise ValueError(f"Expected a path, got {path!r}: there is no such user") from None


def decode_webhook_secret(secret: Secret) -> bytes:
    """Turn `whsec_` and base64 into the signing key.

    Raises ValueError, without the secret in it, unless that gives 24 to 64 bytes
    (Standard Webhooks, "Signature scheme").
    """
    text = secret.reveal()
    try:
        if not text.startswith(SECRET_PREFIX):
            raise ValueError("no prefix")  # noqa: TRY301  one answer for every way to be wrong
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
        if len(key) not in SECRET_BYTES:
            raise ValueError("length")  # noqa: TRY301
    except (ValueError, binascii.Error):
        raise ValueError(
            f"Expected a secret of the form {SECRET_PREFIX} followed by 24 to 64 bytes in base64"
            f" (make one: echo {SECRET_PREFIX}$(openssl rand -base64 32))"
        ) from None
    return key


def decode_public_key(text: str) -> bytes:
    """Turn base64 into a public key of Ed25519.

    Raises ValueError, without the text in it, unless that gives 32 bytes. Zeros alone are a placeholder: anybody can
    sign for them, as they are a point of small order.
    """
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != PUBLIC_KEY_BYTES or not any(key):
        raise ValueError(
            f"Expected public_keys of {PUBLIC_KEY_BYTES} bytes each in base64, as Telnyx's portal shows them"
        )
    return key


def http_url(url: str) -> SplitResult:
    """Split a URL that a webhook can be posted to."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises on an impossible port
    except ValueError as error:
        raise ValueError(f"Expected a URL, got {url!r}: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"Expected an http:// or https:// url, got {url!r}")
    if parts.username is not None or parts.password is not None:
        raise ValueError("Expected a url without user name and password")
    return parts


def is_loopback(host: str) -> bool:
    """Tell whether a host names this machine, without asking a resolver."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def distinct(what: str, values: Sequence[str]) -> None:
    """Refuse a value that stands twice."""
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"Expected {what} to differ, but {value!r} stands there twice: give each its own")


def known(what: str, names: Sequence[str], among: Sequence[str]) -> None:
    """Refuse a name that stands for nothing."""
    for name in names:
        if name not in among:
            there = f"expected one of {', '.join(among)}" if among else "there is none"
            raise ValueError(f"Unknown {what}: {name!r}; {there}")
