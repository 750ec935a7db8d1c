"""Who may call: a Unix socket's permissions are its credential; over TCP, loopback included, it is the admin token.

Loopback protects nothing: a guest on a QEMU user network reaches the host's 127.0.0.1 through 10.0.2.2.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Protocol

from injector.errors import HostError, Unauthorized
from injector.model.secret import Secret

_SHORTEST = 16

Header = Callable[[str], str | None]


class Door(Protocol):
    """Decides on a request before anything else looks at it."""

    def admit(self, header: Header) -> None:
        """Unauthorized unless the caller may enter; every caller is the administrator so far."""
        ...


class OpenDoor:
    """Whoever could open the socket may enter."""

    def admit(self, header: Header) -> None:
        """Nothing is asked."""


class TokenDoor:
    """``X-Auth-Token``, or ``Authorization: Bearer``, must hold the token."""

    def __init__(self, token: Secret) -> None:
        if len(token) < _SHORTEST:
            raise HostError(f"the admin token is shorter than {_SHORTEST} characters", field="admin-token")
        self._token = token.reveal()

    def admit(self, header: Header) -> None:
        given = header("X-Auth-Token") or _bearer(header("Authorization") or "")
        if not given:
            raise Unauthorized("The request you have made requires authentication: X-Auth-Token is missing.")
        if not hmac.compare_digest(given.encode("latin-1", "replace"), self._token):
            raise Unauthorized("The request you have made requires authentication: X-Auth-Token is wrong.")


def _bearer(authorization: str) -> str:
    scheme, _, credential = authorization.partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else ""
