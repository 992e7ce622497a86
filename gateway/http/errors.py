"""What goes wrong with a request, said the same way everywhere: `{"error": {"code", "message"}}` and a newline."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
from aiohttp import hdrs, web

from adapters.stream import RefusalReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multidict import MultiMapping

HEADERS = {hdrs.CACHE_CONTROL: "no-store", "X-Content-Type-Options": "nosniff", hdrs.SERVER: "linescribe"}
"""On every answer. aiohttp's own Server would name its version and Python's."""

MEANINGS = {
    400: ("bad_request", "the request could not be understood"),
    404: ("not_found", "there is nothing at this path"),
    405: ("method_not_allowed", "nothing is done by this method at this path; Allow names those that are taken"),
    408: ("timeout", "the request was not read and answered in time"),
    413: ("body_too_large", "the body is larger than is taken here"),
    417: ("expectation_failed", "of expectations only 100-continue is met"),
    500: ("internal_error", "the gateway failed at this request; its log says why"),
}
"""What is said of a status where nobody has said more."""

WHY_NO_MORE = {
    RefusalReason.OVERLOADED: "finals would have to wait too long",
    RefusalReason.UNSTORABLE: "the event store cannot be written to",
}
FULL_SECONDS = 10
"""Whoever finds no room may ask again after so long: calls end at any time."""

LONGEST_QUOTE = 200
"""Characters of what a peer wrote, where it is shown."""

_ABOUT_THE_BODY = {each.lower() for each in (hdrs.CONTENT_TYPE, hdrs.CONTENT_LENGTH)}


class ApiError(Exception):
    """A request is refused, and its sender told why: `code` for a program, `message` for a person."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


def plain_error(status: int, detail: str = "") -> ApiError:
    """Make the error of a status that explains itself; a detail is cut to its first line."""
    code, message = MEANINGS[status]
    return ApiError(
        status, code, f"{message}: {printable(detail.strip().splitlines()[0])}" if detail.strip() else message
    )


def unavailable(reason: RefusalReason, patience_seconds: float) -> ApiError:
    """Say why no new calls are taken, and when to ask again, where that is known.

    `patience_seconds` is how long finals must have been in time before calls are let in again.
    """
    if reason is RefusalReason.DRAINING:
        return ApiError(503, reason, "no new calls are taken: the gateway is shutting down")
    overloaded = reason is RefusalReason.OVERLOADED
    seconds = max(1, math.ceil(patience_seconds)) if overloaded else FULL_SECONDS
    why = WHY_NO_MORE.get(reason, "there are as many as can be served")
    message = f"no new calls are taken: {why}; ask again in {seconds} seconds"
    return ApiError(503, reason, message, {hdrs.RETRY_AFTER: str(seconds)})


def refusal(error: ApiError) -> web.Response:
    """Make the answer that tells of an error."""
    body = msgspec.json.encode({"error": {"code": error.code, "message": error.message}}) + b"\n"
    return web.Response(status=error.status, body=body, content_type="application/json", headers=error.headers)


def translated(raised: web.HTTPException) -> web.Response:
    """Say in our way what aiohttp raises; the headers that belong to a status, such as Allow, are kept."""
    kept = _kept(raised.headers)
    if raised.status in range(200, 300):
        return web.Response(status=raised.status, headers=kept)
    code, message = MEANINGS.get(raised.status, ("error", raised.reason))
    return refusal(ApiError(raised.status, code, message, kept))


def dressed(response: web.StreamResponse) -> web.StreamResponse:
    """Give an answer the headers that all have; one that is under way has gone without."""
    if not response.prepared:
        response.headers.update(HEADERS)
    return response


def printable(text: str) -> str:
    """Make what a peer wrote fit to be shown."""
    return "".join(each if each.isascii() and each.isprintable() else "?" for each in text[:LONGEST_QUOTE])


def _kept(headers: MultiMapping[str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _ABOUT_THE_BODY}
