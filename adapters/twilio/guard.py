"""Who is Twilio: what it signs, and the tokens that were given out for a stream. And who are Plivo and Telnyx."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from adapters.stream import WireError
from adapters.twilio.plivo_signature import MAIN_ACCOUNT_SIGNATURE, NONCE, PlivoRequest
from adapters.twilio.plivo_signature import SIGNATURE as PLIVO_SIGNATURE
from adapters.twilio.plivo_signature import is_signed as signed_by_plivo
from adapters.twilio.signature import SETTINGS, SIGNATURE, Keys, TwilioRequest, is_signed
from adapters.twilio.telnyx_signature import SIGNATURE as TELNYX_SIGNATURE
from adapters.twilio.telnyx_signature import TIMESTAMP, TelnyxRequest
from adapters.twilio.telnyx_signature import is_signed as signed_by_telnyx
from adapters.wire.access import Access, AccessError
from config.checks import decode_public_key
from config.secret import MASK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adapters.twilio.signature import Parameters
    from adapters.twilio.tickets import Ticket, Tickets
    from adapters.wire.access import Approach
    from adapters.wire.json_media import Beginning
    from config.carriers import PlivoListener, TelnyxListener, TwilioListener

PLIVO_SIGNATURES = (PLIVO_SIGNATURE, MAIN_ACCOUNT_SIGNATURE)

UNSIGNED = (
    "no signature of the listener's accounts fits {}/...: is http.public_url what Twilio was given, and does the"
    " account stand there with the auth token that it has now? (docs/twilio.md)"
)
NO_TICKET = (
    "expected the token that was given out for the call, once and within a minute; TwiML of your own"
    " needs hand_written_twiml (docs/twilio.md)"
)
PLIVO_UNSIGNED = (
    "no signature of the listener's auth_tokens fits {}/...: is http.public_url what Plivo was given, and is the token"
    " the one that it has now? (docs/carriers.md)"
)
NO_PUBLIC_KEYS = (
    "set public_keys of the listener: without them nobody can tell whose webhooks these are (docs/carriers.md)"
)
TELNYX_UNSIGNED = (
    "no signature of the last five minutes fits the listener's public_keys: is the key the account's, is the body as"
    " Telnyx sent it, and is this machine's clock right? (docs/carriers.md)"
)
OTHER_CALL = "the stream is not of the call that its token was given out for"
OTHER_ACCOUNT = "the stream is of another account than has signed its upgrade"
UNKNOWN_ACCOUNT = (
    "the AccountSid that the form names does not stand under the listener's accounts: sub-accounts have one of their"
    " own (docs/twilio.md)"
)


class Pass(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream was let in by."""

    signers: tuple[str, ...] = ()
    """The accounts that have signed its upgrade; none where nothing need be signed."""
    ticket: Ticket | None = None

    @property
    def account(self) -> str | None:
        """The account that the stream must be of, where that is known."""
        return self.signers[0] if len(self.signers) == 1 else None

    def check(self, said: Beginning) -> str | None:
        """Tell which account vouches for a stream. Raises WireError where it turns out to be another's."""
        if self.ticket and (said.call_id, said.account_id) != (self.ticket.call_sid, self.ticket.account_sid):
            raise WireError(OTHER_CALL)
        if self.signers and said.account_id not in self.signers:
            raise WireError(OTHER_ACCOUNT)
        return said.account_id if self.signers else None


class Guard:
    """The rules of one listener."""

    def __init__(self, settings: TwilioListener, tickets: Tickets) -> None:
        self._settings = settings
        self._tickets = tickets
        self._keys = {
            each.sid: Keys(tokens=each.auth_tokens, shared_keys=each.shared_keys) for each in settings.accounts
        }
        # Where there are accounts, their signatures tell who is let in.
        self._access = Access(settings, anybody=settings.insecure or bool(settings.accounts))

    def masked(self, text: str) -> str:
        """Take the listener's secrets out of a text."""
        for account in self._settings.accounts:
            for secret in (*account.auth_tokens, *account.shared_keys.values()):
                text = text.replace(secret.reveal(), MASK)
        return self._access.masked(text)

    def admit_stream(self, approach: Approach, now: float) -> Pass:
        """Let in the upgrade of a stream. Raises AccessError."""
        self._access.check(approach)
        signers = self._signers(approach, _as_websocket(approach.base), self._keys)
        tickets = (self._tickets.take(token, now) for token in approach.tokens)
        ticket = next(filter(None, tickets), None)
        if ticket is None and signers and not self._settings.hand_written_twiml:
            raise AccessError(403, "no_token", NO_TICKET)
        return Pass(signers=signers, ticket=ticket)

    def admit_webhook(self, approach: Approach, parameters: Parameters) -> str | None:
        """Let in a form that tells of a call; tell which account has signed it. Raises AccessError."""
        self._access.check(approach)
        named = dict(parameters).get("AccountSid", "")
        if self._keys and named not in self._keys:
            raise AccessError(403, "unsigned", UNKNOWN_ACCOUNT)
        keys = {named: self._keys[named]} if self._keys else {}
        return next(iter(self._signers(approach, approach.base, keys, parameters)), None)

    def _signers(
        self, approach: Approach, base: str, keys: Mapping[str, Keys], parameters: Parameters = ()
    ) -> tuple[str, ...]:
        """Tell which accounts have signed a request; none where there are no keys. Raises AccessError."""
        request = TwilioRequest(
            url=base + approach.target,
            signatures=tuple(approach.headers.getall(SIGNATURE, ())),
            parameters=parameters,
            settings=approach.headers.get(SETTINGS, ""),
        )
        signers = tuple(sid for sid, known in keys.items() if is_signed(request, known))
        if keys and not signers:
            raise AccessError(403, "unsigned", UNSIGNED.format(base))
        return signers


class PlivoGuard:
    """The rules of one listener of Plivo's."""

    def __init__(self, settings: PlivoListener) -> None:
        self._tokens = settings.auth_tokens
        self._access = Access(settings, anybody=bool(settings.auth_tokens))
        self.masked = self._access.masked

    def check(self, approach: Approach) -> bool:
        """Let a client in; tell whether what stands in its URL can be believed. Raises AccessError."""
        self._access.check(approach)
        if not self._tokens:
            return True
        url = _as_websocket(approach.base) + approach.target
        lines = [line for name in PLIVO_SIGNATURES for line in approach.headers.getall(name, ())]
        request = PlivoRequest(url=url, signatures=tuple(lines), nonce=approach.headers.get(NONCE, ""))
        if not signed_by_plivo(request, self._tokens):
            raise AccessError(403, "unsigned", PLIVO_UNSIGNED.format(approach.base))
        return False  # Plivo signs upgrades without their query


class TelnyxGuard:
    """The rules for the webhooks of one listener of Telnyx's: signatures stand in for its streams' credentials."""

    def __init__(self, settings: TelnyxListener) -> None:
        self._keys = [decode_public_key(each) for each in settings.public_keys]
        self._access = Access(settings)
        self.masked = self._access.masked

    def admit(self, approach: Approach, body: bytes, now: float) -> None:
        """Let in a webhook; `now` is in seconds since 1970. Raises AccessError."""
        self._access.check_address(approach)
        if not self._keys:
            raise AccessError(403, "no_public_keys", NO_PUBLIC_KEYS)
        request = TelnyxRequest(
            body=body,
            signatures=tuple(approach.headers.getall(TELNYX_SIGNATURE, ())),
            timestamp=approach.headers.get(TIMESTAMP, ""),
        )
        if not signed_by_telnyx(request, self._keys, now):
            raise AccessError(403, "unsigned", TELNYX_UNSIGNED)


def _as_websocket(base: str) -> str:
    return base.replace("http", "ws", 1)
