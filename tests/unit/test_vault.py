"""What is sealed opens for the same instance under the same key, and for nothing else."""

from __future__ import annotations

import hashlib
import hmac
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from injector import wire
from injector.errors import HostError
from injector.model.payload import Payload
from injector.model.secret import Secret
from injector.system.vault import Vault, open_vault
from tests import builders

PAYLOAD = builders.a_payload(admin_password=Secret("hunter2"), user_data=Secret(b"\x00\xff"))


def test_it_comes_back() -> None:
    vault = builders.a_vault()
    assert vault.unseal("a", vault.seal("a", PAYLOAD)) == PAYLOAD


def test_it_cannot_be_moved_to_another_instance() -> None:
    vault = builders.a_vault()
    with pytest.raises(HostError):
        vault.unseal("b", vault.seal("a", PAYLOAD))


def test_another_key_is_named() -> None:
    sealed = builders.a_vault().seal("a", PAYLOAD)
    with pytest.raises(HostError, match=sealed.key_id):
        Vault(b"x" * 32).unseal("a", sealed)


def test_an_altered_seal_does_not_open() -> None:
    vault = builders.a_vault()
    sealed = vault.seal("a", PAYLOAD)
    altered = replace(sealed, ciphertext=sealed.ciphertext[:-1] + bytes([sealed.ciphertext[-1] ^ 1]))
    with pytest.raises(HostError):
        vault.unseal("a", altered)


def test_the_same_payload_never_seals_to_the_same_bytes() -> None:
    vault = builders.a_vault()
    assert vault.seal("a", PAYLOAD).ciphertext != vault.seal("a", PAYLOAD).ciphertext


def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "secrets.key"
    first, second = open_vault(path), open_vault(path)
    assert second.unseal("a", first.seal("a", PAYLOAD)) == PAYLOAD
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["secrets.key"]


def test_digests_agree_for_one_instance_of_one_installation_only() -> None:
    digest = builders.a_vault().digest("a", b"x")
    assert digest == builders.a_vault().digest("a", b"x")
    assert digest != Vault(b"x" * 32).digest("a", b"x")
    assert digest != builders.a_vault().digest("b", b"x")


def test_a_secret_shows_nothing() -> None:
    secret = Secret("hunter2")
    shown = f"{secret} {secret!r} {[secret]} {builders.a_payload(admin_password=secret)}"
    assert "hunter2" not in shown
    assert "7" not in repr(secret)


def test_a_key_of_another_length_is_refused() -> None:
    for length in (16, 24, 31, 33):
        with pytest.raises(HostError) as refusal:
            Vault(b"k" * length)
        assert refusal.value.field == "secrets.key"


def test_what_is_stored_stays_readable_by_later_releases() -> None:
    vault = builders.a_vault()
    assert vault.key_id == hashlib.sha256(b"injector key id" + b"k" * 32).hexdigest()[:16]
    key = hmac.digest(b"k" * 32, b"injector seal", "sha256")
    sealed = vault.seal("a", PAYLOAD)
    assert len(sealed.nonce) == 12
    assert wire.from_clear(AESGCM(key).decrypt(sealed.nonce, sealed.ciphertext, b"a"), Payload) == PAYLOAD
    digest_key = hmac.digest(b"k" * 32, b"injector receipt", "sha256")
    assert vault.digest("a", b"x") == "hmac-sha256:" + hmac.digest(digest_key, b"a\0x", "sha256").hex()
