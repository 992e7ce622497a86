"""Which call is meant by a name. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.session import CallSession


class UnknownCallError(Exception):
    """No call in progress goes by a name."""


class AmbiguousCallError(Exception):
    """More than one call in progress goes by a name."""


def find_call(seen: Sequence[CallSession], name: str, account: str | None) -> CallSession:
    """Choose among the calls that an account, or the operator, may see.

    Of several that go by the name, the account's own are meant before others, and those that still take streams.
    Raises UnknownCallError and AmbiguousCallError.
    """
    found = [session for session in seen if name == session.call_id or session.goes_by(name)]
    found = [session for session in found if session.account == account] or found
    found = [session for session in found if session.open] or found
    if not found:
        raise UnknownCallError(name)
    if len(found) > 1:
        raise AmbiguousCallError(name)
    return found[0]
