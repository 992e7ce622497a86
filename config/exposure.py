"""No port is open to others though nothing asks who they are, unless a setting says that this is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.checks import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterable

    from config.listeners import AudioSocketListener, Http, WebSocketListener

IDENTIFIES = ("credentials", "allowed_peers", "accept_anybody", "accounts", "public_keys", "auth_tokens")
"""What of a WebSocket listener tells whom it lets in, or that it lets in all."""


def check_exposure(
    http: Http, audiosocket: Iterable[AudioSocketListener], websockets: Iterable[WebSocketListener]
) -> None:
    """Refuse ports that others can reach, and anybody may use. Raises ValueError, which names the remedies."""
    for listener in audiosocket:
        if not (is_loopback(listener.host) or _asks(listener)):
            raise ValueError(
                f"Expected audiosocket listener {listener.name!r} to say who may bring calls to {listener.host}:"
                " allowed_peers with the addresses of your Asterisk, registration: required or tls.client_ca;"
                " or accept_anybody: true, and whoever reaches the port has calls transcribed at your cost"
            )
    if http.port is None or is_loopback(http.host) or _is_guarded(http):
        return
    if not any(getattr(each, name, None) for each in websockets for name in IDENTIFIES):
        raise ValueError(
            f"Expected to be told who may use http.host {http.host}: http.tokens, http.monitors, http.tls.client_ca, or"
            " a listener's credentials or allowed_peers; or http.accept_anybody: true, and whoever reaches the port may"
            " read its status pages"
        )


def _asks(listener: AudioSocketListener) -> bool:
    client_ca = listener.tls is not None and listener.tls.client_ca is not None
    return bool(listener.allowed_peers or listener.registration == "required" or client_ca or listener.accept_anybody)


def _is_guarded(http: Http) -> bool:
    client_ca = http.tls is not None and http.tls.client_ca is not None
    return bool(http.tokens or http.monitors or client_ca or http.accept_anybody)
