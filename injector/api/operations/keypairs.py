"""Key pairs: public keys under a name. Key generation is not offered: a private key never passes through here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from injector.api import query, schemas, sshkey
from injector.db import Store
from injector.errors import InvalidRequest
from injector.model.context import Context
from injector.model.keypair import KeyPair
from injector.settings import Quotas

_CREATE = schemas.Checker(
    schemas.an_object(
        {
            "name": schemas.a_pattern("[a-zA-Z0-9_@.-](?:[a-zA-Z0-9_@. -]{0,253}[a-zA-Z0-9_@.-])?"),
            "public_key": schemas.text(16 * 1024),
            "type": {"enum": ["ssh", "x509"]},
            "user_id": schemas.IDENTIFIER,
        },
        "name",
        "public_key",
    ),
    "keypair",
)


class KeyPairs:
    def __init__(self, store: Store, quotas: Quotas) -> None:
        self._store = store
        self._quotas = quotas

    def create(self, context: Context, document: object) -> KeyPair:
        """InvalidRequest for a key that is none; Conflict for a name in use; OverQuota."""
        asked = _CREATE.check(document)
        if asked.get("type", "ssh") != "ssh":
            raise InvalidRequest("Keypair type x509 is refused: only ssh keys are offered.", field="type")
        keypair = KeyPair(
            name=asked["name"],
            public_key=asked["public_key"],
            fingerprint=sshkey.fingerprint(asked["public_key"]),
            user_id=asked.get("user_id", context.user_id),
            created_at=datetime.now(UTC),
        )
        self._store.add_keypair(keypair, self._quotas.key_pairs)
        return keypair

    def find(self, context: Context, parameters: Mapping[str, str]) -> tuple[KeyPair, ...]:
        asked = query.keypairs(parameters)
        return query.page(self._store.keypairs(context.user_id), asked, lambda keypair: keypair.name)

    def show(self, context: Context, name: str) -> KeyPair:
        return self._store.keypair(context.user_id, name)

    def delete(self, context: Context, name: str) -> None:
        self._store.delete_keypair(context.user_id, name)
