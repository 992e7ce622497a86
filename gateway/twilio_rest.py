"""Twilio's REST API, as far as it starts and stops the streams of calls in progress.

Twilio, Voice API: Streams subresource; its errors: Error and Warning Dictionary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import msgspec

from config.secret import MASK, Secret
from gateway.asking import LONGEST_QUOTE, AskError, post
from gateway.callers.upgrade import Credentials

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.asking import Answer
    from gateway.callers.api import StreamPlace

URL = "https://api.twilio.com"

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 15.0

UNAUTHENTICATED, NOT_FOUND, NOT_IN_PROGRESS, TOO_MANY = 20003, 20404, 21220, 20429
OF_STATUS = {401: UNAUTHENTICATED, 404: NOT_FOUND, 429: TOO_MANY}
"""What an answer without a code of Twilio's comes down to."""

REMEDIES = {
    UNAUTHENTICATED: "is the auth token the one that the account has now?",
    NOT_FOUND: "the account has no such call in progress, or the call no such stream",
    NOT_IN_PROGRESS: "only a call that has been answered, and is not over, can be streamed",
    TOO_MANY: "ask again in a while",
}


class _Error(msgspec.Struct, frozen=True):
    """What Twilio says of an error; null where it says nothing."""

    code: Annotated[int, msgspec.Meta(ge=0, le=999_999)] | None = None
    message: str | None = None
    more_info: str | None = None


class _Stream(msgspec.Struct, frozen=True):
    """A stream as Twilio tells of it."""

    sid: Annotated[str, msgspec.Meta(pattern=r"^MZ[0-9a-fA-F]{32}\Z")]


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """The API, for one account."""

    account: str
    token: Secret
    url: str = URL

    async def start(self, call: str, place: StreamPlace, track: str) -> str:
        """Have a call streamed; give the stream's SID. Raises AskError."""
        form = {"Url": place.url, "Name": place.name, "Track": track, "StatusCallback": place.status_callback}
        given = place.url.rpartition("/")[2]
        return await self._post(f"{call}/Streams.json", form, secrets=(self.token.reveal(), given))

    async def stop(self, call: str, stream: str) -> str:
        """Stop a stream, by its SID or its name; give the SID. Raises AskError."""
        path = f"{call}/Streams/{quote(stream, safe='')}.json"
        return await self._post(path, {"Status": "stopped"}, secrets=(self.token.reveal(),))

    async def _post(self, path: str, form: Mapping[str, str], secrets: Sequence[str]) -> str:
        """Ask something of a call's streams. Whoever answers may quote what was asked, but not its secrets."""
        try:
            answer = await post(
                f"{self.url.rstrip('/')}/2010-04-01/Accounts/{self.account}/Calls/{path}",
                headers={"Authorization": Credentials(self.account, self.token.reveal()).basic},
                connect_seconds=CONNECT_SECONDS,
                answer_seconds=ANSWER_SECONDS,
                data=form,
            )
        except AskError as error:
            raise AskError(f"{self.url} cannot be asked: {error}") from error
        if not answer.good:
            raise AskError(explained(answer, secrets))
        try:
            return answer.read(_Stream).sid
        except ValueError as error:
            raise AskError(f"{self.url} answered {answer.status} and told of no stream: is it Twilio's?") from error


def explained(answer: Answer, secrets: Sequence[str] = ()) -> str:
    """Say what an error of Twilio's means, and what to do about it."""
    try:
        error = answer.read(_Error)
    except ValueError:
        error = _Error()
    code = error.code or OF_STATUS.get(answer.status, 0)
    message = _masked(error.message or "", secrets)
    remedy = REMEDIES.get(code) or _masked(error.more_info or "", secrets)
    said = [f": {message[:LONGEST_QUOTE]}"] * bool(message) + [f"; {remedy[:LONGEST_QUOTE]}"] * bool(remedy)
    return "".join((f"Twilio answered {error.code or answer.status}", *said))


def _masked(text: str, secrets: Sequence[str]) -> str:
    for secret in filter(None, secrets):
        text = text.replace(secret, MASK)
    return text
