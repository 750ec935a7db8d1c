"""A create call that may come again: the caller's token for it, and a digest of all that it asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from injector.api.order import CLIENT_TOKEN
from injector.errors import InvalidRequest
from injector.model.boot import ClientToken
from injector.model.context import Context
from injector.system.vault import Vault

HEADER = "X-Client-Token"


def with_header(document: object, header: str | None) -> object:
    """The body as if it had said itself what the header says; InvalidRequest when it says something else."""
    if header is None or not isinstance(document, dict) or not isinstance(document.get("server"), dict):
        return document
    server: dict[str, Any] = document["server"]
    if server.get(CLIENT_TOKEN, header) != header:
        raise InvalidRequest(f"{HEADER} and {CLIENT_TOKEN} are not the same.", field=CLIENT_TOKEN)
    return {**document, "server": {**server, CLIENT_TOKEN: header}}


@dataclass(frozen=True, slots=True)
class Repeatable:
    """A request with a token: ``asked`` is all that it asks for, whatever the order of its keys.

    Its digest is keyed: a password that is all that somebody does not know of a body could be guessed from a plain one.
    """

    project_id: str
    token: str
    asked: bytes

    def client_token(self, vault: Vault) -> ClientToken:
        return ClientToken(self.project_id, self.token, vault.digest(self.project_id, self.asked))

    def is_of(self, digest: str, vault: Vault) -> bool:
        """Whether a digest was made of the same, under whichever key of the installation."""
        return vault.matches(self.project_id, self.asked, digest)


def repeatable(context: Context, document: Any, token: str) -> Repeatable:
    """``document`` is a body that was checked."""
    server = {key: value for key, value in document["server"].items() if key != CLIENT_TOKEN}
    return Repeatable(context.project_id, token, msgspec.json.encode({**document, "server": server}, order="sorted"))
