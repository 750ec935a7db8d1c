"""What the broker is not to see: a client's question sealed to the api's key, and the answer back to the client.

A question has an X25519 key of its own. HKDF makes two AES-256-GCM keys of what it shares with the api's: one for the
question, one for the answer. The name of the operation is associated data, so a question cannot be passed off as
another. Questions and answers are plain JSON values.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from injector.errors import BusUnavailable, InvalidRequest, KeyUnknown
from injector.rpc.endpoint import refuse_unless_plain

FIELD = "sealed"
_NONCE_BYTES = 12
_KEY_BYTES = 32

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Ways:
    """The keys of one question, there and back."""

    there: AESGCM
    back: AESGCM


class Question:
    """A sealed question of a client, and the only thing that opens its answer."""

    def __init__(self, document: Document, operation: str, back: AESGCM) -> None:
        self.document = document
        self._operation = operation
        self._back = back

    def answer(self, sealed: Mapping[str, str]) -> Any:
        """BusUnavailable when it is not the api's answer to this question."""
        try:
            return _open(self._back, sealed, _purpose(self._operation, "answer"))
        except (InvalidTag, ValueError, KeyError, TypeError) as error:
            raise BusUnavailable(f"the answer to {self._operation} was altered on its way") from error


class Sealer:
    """The client's side: seals to the key that the api has told (``told``). ValueError when that is none."""

    def __init__(self, told: Mapping[str, str]) -> None:
        self._key_id = told["key_id"]
        self._theirs = _decoded(told["public_key"])
        X25519PublicKey.from_public_bytes(self._theirs)

    def seal(self, operation: str, value: object) -> Question:
        """TypeError for what is no plain JSON value."""
        refuse_unless_plain(value, f"what {operation} is asked")
        mine = X25519PrivateKey.generate()
        sender = _public(mine)
        ways = _ways(mine, self._theirs, sender, self._theirs)
        document = _seal(ways.there, value, _purpose(operation, "question"))
        return Question(document | {"key_id": self._key_id, "sender": _encoded(sender)}, operation, ways.back)


class Reply:
    """What seals the answer to one question."""

    def __init__(self, operation: str, back: AESGCM) -> None:
        self._operation = operation
        self._back = back

    def seal(self, value: object) -> Document:
        return _seal(self._back, value, _purpose(self._operation, "answer"))


class Opener:
    """The api's side: private X25519 keys, 32 bytes each; the first is told to clients, all of them open."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        found = [X25519PrivateKey.from_private_bytes(key) for key in keys]
        self._keys = {_key_id(_public(key)): key for key in found}

    def told(self) -> Document:
        """The key that clients are to seal to, as a document."""
        key_id, key = next(iter(self._keys.items()))
        return {"key_id": key_id, "public_key": _encoded(_public(key))}

    def open(self, operation: str, sealed: object) -> tuple[Any, Reply]:
        """The question, and what seals its answer.

        KeyUnknown when it was sealed to a key that is not here (any more); InvalidRequest when it is no question for
        this operation.
        """
        try:
            document = {name: _text(sealed, name) for name in ("key_id", "sender", "nonce", "ciphertext")}
            sender, key = _decoded(document["sender"]), self._keys.get(document["key_id"])
            if key is None:
                raise KeyUnknown("The request was sealed to a key that the api does not hold: ask for its key again.")
            ways = _ways(key, sender, sender, _public(key))
            return _open(ways.there, document, _purpose(operation, "question")), Reply(operation, ways.back)
        except (InvalidTag, ValueError) as error:
            raise InvalidRequest("The sealed request cannot be opened.", field=FIELD) from error


def _ways(mine: X25519PrivateKey, theirs: bytes, sender: bytes, receiver: bytes) -> _Ways:
    """ValueError for a public key that shares nothing with anybody."""
    shared = mine.exchange(X25519PublicKey.from_public_bytes(theirs))
    made = HKDF(SHA256(), 2 * _KEY_BYTES, salt=None, info=b"injector bus 1" + sender + receiver).derive(shared)
    return _Ways(AESGCM(made[:_KEY_BYTES]), AESGCM(made[_KEY_BYTES:]))


def _purpose(operation: str, what: str) -> bytes:
    return f"{operation} {what}".encode()


def _seal(key: AESGCM, value: object, purpose: bytes) -> Document:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    ciphertext = key.encrypt(nonce, json.dumps(value).encode(), purpose)
    return {"nonce": _encoded(nonce), "ciphertext": _encoded(ciphertext)}


def _open(key: AESGCM, sealed: Mapping[str, str], purpose: bytes) -> Any:
    return json.loads(key.decrypt(_decoded(sealed["nonce"]), _decoded(sealed["ciphertext"]), purpose))


def _text(document: object, name: str) -> str:
    found = document.get(name) if isinstance(document, Mapping) else None
    if not isinstance(found, str):
        raise ValueError(f"{name} is missing")
    return found


def _public(key: X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _decoded(text: str) -> bytes:
    return base64.b64decode(text)


def _key_id(public: bytes) -> str:
    return hashlib.sha256(b"injector bus key id" + public).hexdigest()[:16]
