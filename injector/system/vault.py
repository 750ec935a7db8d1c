"""The key of this installation: seals payloads, and digests secret things so that a guess cannot be confirmed."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from injector import wire
from injector.errors import HostError
from injector.model.ingredients import Ingredients
from injector.model.payload import Payload
from injector.model.secret import Sealed

_Kind = TypeVar("_Kind", Payload, Ingredients)

_KEY_BYTES = 32
_NONCE_BYTES = 12


class Vault:
    """AES-256-GCM with the instance's id as associated data; one derived key for sealing, one for digests."""

    def __init__(self, key: bytes) -> None:
        if len(key) != _KEY_BYTES:
            raise HostError("the key of the installation has the wrong length", field="secrets.key")
        self.key_id = hashlib.sha256(b"injector key id" + key).hexdigest()[:16]
        self._seal = AESGCM(hmac.digest(key, b"injector seal", "sha256"))
        self._digest_key = hmac.digest(key, b"injector receipt", "sha256")

    def seal(self, instance_id: str, value: Payload | Ingredients) -> Sealed:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        clear = wire.to_clear(value)
        return Sealed(self.key_id, nonce, self._seal.encrypt(nonce, clear, instance_id.encode()))

    def unseal(self, instance_id: str, sealed: Sealed) -> Payload:
        """HostError as in ``open``."""
        return self.open(instance_id, sealed, Payload)

    def open(self, instance_id: str, sealed: Sealed, kind: type[_Kind]) -> _Kind:
        """HostError when it was sealed under another key, for another instance, or was altered."""
        if sealed.key_id != self.key_id:
            raise HostError(f"the payload was sealed under key {sealed.key_id}, this host has {self.key_id}")
        try:
            clear = self._seal.decrypt(sealed.nonce, sealed.ciphertext, instance_id.encode())
        except InvalidTag as error:
            raise HostError("the stored payload of the instance was altered") from error
        return wire.from_clear(clear, kind)

    def digest(self, instance_id: str, secret: bytes) -> str:
        """``hmac-sha256:`` and hex: comparable for this instance only.

        Somebody who may boot guests here could otherwise have a guess digested, and compare it with another's receipt.
        """
        return "hmac-sha256:" + hmac.digest(self._digest_key, instance_id.encode() + b"\0" + secret, "sha256").hex()


def open_vault(path: Path) -> Vault:
    """The vault whose key is kept in ``path``; the first to come makes the key, 0600."""
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = _make_key(path)
    return Vault(key)


def _make_key(path: Path) -> bytes:
    key, staged = secrets.token_bytes(_KEY_BYTES), path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, key)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(staged, path)
    except FileExistsError:
        return path.read_bytes()
    finally:
        staged.unlink()
    return key
