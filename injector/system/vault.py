"""The keys of this installation: seal payloads, and digest secret things so that a guess cannot be confirmed."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from injector import wire
from injector.errors import HostError
from injector.model.ingredients import Ingredients
from injector.model.payload import Payload
from injector.model.secret import Sealed

_Kind = TypeVar("_Kind", Payload, Ingredients)

KEY_BYTES = 32
_NONCE_BYTES = 12


class _Key:
    """One of the ring, as its file has it: 32 bytes, then the digest keys (32 bytes each) of those it followed."""

    def __init__(self, material: bytes) -> None:
        if not material or len(material) % KEY_BYTES:
            raise HostError("a key of the installation has the wrong length", field="[secrets] key_files")
        key = material[:KEY_BYTES]
        self.id = hashlib.sha256(b"injector key id" + key).hexdigest()[:16]
        self.seal = AESGCM(hmac.digest(key, b"injector seal", "sha256"))
        self.bus = hmac.digest(key, b"injector bus", "sha256")
        inherited = (material[start : start + KEY_BYTES] for start in range(KEY_BYTES, len(material), KEY_BYTES))
        self.digest_keys = (hmac.digest(key, b"injector receipt", "sha256"), *inherited)


class Vault:
    """AES-256-GCM with the instance's id as associated data; of each key one is derived for seals, one for digests.

    ``materials`` are the contents of key files: the first one seals and digests, all of them open and compare.
    """

    def __init__(self, first: bytes, *others: bytes) -> None:
        keys = [_Key(material) for material in (first, *others)]
        self._first = keys[0]
        self._keys = {key.id: key for key in keys}
        self._digest_keys = tuple(dict.fromkeys(one for key in keys for one in key.digest_keys))

    @property
    def key_id(self) -> str:
        """The id of the key that seals."""
        return self._first.id

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of all that open, the one that seals first."""
        return tuple(self._keys)

    @property
    def bus_keys(self) -> tuple[bytes, ...]:
        """A private X25519 key of each, in the same order: clients of the bus seal to the first, all of them open."""
        return tuple(key.bus for key in self._keys.values())

    def successor(self) -> bytes:
        """What to put into the file of a new key: receipts made under the keys of this ring stay comparable by it."""
        return secrets.token_bytes(KEY_BYTES) + b"".join(self._digest_keys)

    def seal(self, instance_id: str, value: Payload | Ingredients) -> Sealed:
        return self._seal(instance_id, wire.to_clear(value))

    def reseal(self, instance_id: str, sealed: Sealed) -> Sealed:
        """The same under the key that seals now, if it is not; HostError as in ``open``."""
        if sealed.key_id == self.key_id:
            return sealed
        return self._seal(instance_id, self._open(instance_id, sealed))

    def unseal(self, instance_id: str, sealed: Sealed) -> Payload:
        """HostError as in ``open``."""
        return self.open(instance_id, sealed, Payload)

    def open(self, instance_id: str, sealed: Sealed, kind: type[_Kind]) -> _Kind:
        """HostError when it was sealed under a key that is not here, for another instance, or was altered."""
        return wire.from_clear(self._open(instance_id, sealed), kind)

    def digest(self, instance_id: str, secret: bytes) -> str:
        """``hmac-sha256:`` and hex: comparable for this instance only.

        Somebody who may boot guests here could otherwise have a guess digested, and compare it with another's receipt.
        """
        return _digest(self._digest_keys[0], instance_id, secret)

    def matches(self, instance_id: str, secret: bytes, digest: str | None) -> bool:
        """Whether ``digest`` was made of ``secret``, under whichever key of the ring."""
        known = (_digest(key, instance_id, secret) for key in self._digest_keys)
        return digest is not None and any(hmac.compare_digest(one, digest) for one in known)

    def _seal(self, instance_id: str, clear: bytes) -> Sealed:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return Sealed(self._first.id, nonce, self._first.seal.encrypt(nonce, clear, instance_id.encode()))

    def _open(self, instance_id: str, sealed: Sealed) -> bytes:
        key = self._keys.get(sealed.key_id)
        if key is None:
            here = ", ".join(self._keys)
            raise HostError(f"the payload was sealed under key {sealed.key_id}, this host has {here}")
        try:
            return key.seal.decrypt(sealed.nonce, sealed.ciphertext, instance_id.encode())
        except InvalidTag as error:
            raise HostError("the stored payload of the instance was altered") from error


def _digest(key: bytes, instance_id: str, secret: bytes) -> str:
    return "hmac-sha256:" + hmac.digest(key, instance_id.encode() + b"\0" + secret, "sha256").hex()
