"""What stands in a request: JSON, or a form as a dialplan's CURL() sends it, made one typed value; and in an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from config.load import dotted, explain
from gateway.http.errors import ApiError
from gateway.wishes import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

MOST_FIELDS = 200

Parameter = Annotated[str, msgspec.Meta(max_length=2000)]
Parameters = Annotated[dict[Text, Parameter], msgspec.Meta(max_length=64)]
"""What is said of a call in names and values, each of a length that can be borne."""
MOST_CHARACTERS = 8_000
"""Of all names and values together."""


async def read_body(request: web.Request, kind: type[T]) -> T:
    """Read a body as `kind`. Raises ApiError: 400 for what is not one, 415 for neither JSON nor a form.

    In a form a dot leads one level in (`parameters.queue=support`), a name that stands twice is a list, and a
    field without a value is as if it were not there: a dialplan's variable may be empty.
    """
    text = await request.read()
    form = request.content_type == "application/x-www-form-urlencoded" and not text.lstrip().startswith(b"{")
    if text and not form and request.content_type not in {"application/json", "application/x-www-form-urlencoded"}:
        raise ApiError(415, "unsupported_type", "expected application/json or application/x-www-form-urlencoded")
    try:
        content = _form(text) if form else msgspec.json.decode(text or b"{}")
        return msgspec.convert(content, kind, strict=not form)
    except msgspec.ValidationError as error:
        raise ApiError(400, "invalid", _plain(error, kind)) from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ApiError(400, "bad_request", f"expected JSON or a form: {error}") from error


def check_parameters(parameters: Mapping[str, str]) -> None:
    """Refuse more than is kept of one call. Raises ValueError."""
    if sum(map(len, (*parameters, *parameters.values()))) > MOST_CHARACTERS:
        raise ValueError(f"Expected `parameters` of at most {MOST_CHARACTERS} characters in all")


def json_answer(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer with JSON and a newline."""
    body = msgspec.json.encode(content) + b"\n"
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def _form(text: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in parse_qsl(text.decode(), max_num_fields=MOST_FIELDS, errors="strict"):
        *outer, last = name.split(".", 1) if "." in name else [name]
        place = found.setdefault(outer[0], {}) if outer else found
        if not isinstance(place, dict):
            raise ValueError(f"{outer[0]} is a value and has no {last}")  # noqa: TRY004  the client's mistake
        if last in place:
            known = place[last] if isinstance(place[last], list) else [place[last]]
            place[last] = [*known, value]
        else:
            place[last] = value
    return found


def _plain(error: msgspec.ValidationError, kind: type) -> str:
    """Say what is wrong as it is said of the settings."""
    path, message = explain(error, kind)
    return f"{dotted(path) or 'the body'}: {message}"
