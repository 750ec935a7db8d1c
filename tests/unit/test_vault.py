"""What is sealed opens for the same instance under the same key, and for nothing else."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from injector import wire
from injector.errors import HostError
from injector.model.payload import Payload
from injector.model.secret import Secret
from injector.system.vault import Vault
from tests import builders

OLD, NEW = b"o" * 32, b"n" * 32
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
    for length in (0, 16, 24, 31, 33, 65):
        with pytest.raises(HostError) as refusal:
            Vault(OLD, b"k" * length)
        assert refusal.value.field == "[secrets] key_files"


def test_what_is_stored_stays_readable_by_later_releases() -> None:
    vault = builders.a_vault()
    assert vault.key_id == hashlib.sha256(b"injector key id" + b"k" * 32).hexdigest()[:16]
    key = hmac.digest(b"k" * 32, b"injector seal", "sha256")
    sealed = vault.seal("a", PAYLOAD)
    assert len(sealed.nonce) == 12
    assert wire.from_clear(AESGCM(key).decrypt(sealed.nonce, sealed.ciphertext, b"a"), Payload) == PAYLOAD
    digest_key = hmac.digest(b"k" * 32, b"injector receipt", "sha256")
    assert vault.digest("a", b"x") == "hmac-sha256:" + hmac.digest(digest_key, b"a\0x", "sha256").hex()
    assert vault.bus_keys == (hmac.digest(b"k" * 32, b"injector bus", "sha256"),)


def test_the_first_key_seals_and_all_of_them_open() -> None:
    before, between, after = Vault(OLD), Vault(OLD, NEW), Vault(NEW, OLD)
    assert between.seal("a", PAYLOAD).key_id == before.key_id == between.key_id
    assert after.seal("a", PAYLOAD).key_id == Vault(NEW).key_id == after.key_id
    assert after.key_ids == (Vault(NEW).key_id, Vault(OLD).key_id)
    for vault in (before, between, after):
        assert after.unseal("a", vault.seal("a", PAYLOAD)) == PAYLOAD
        assert between.unseal("a", vault.seal("a", PAYLOAD)) == PAYLOAD


def test_what_is_resealed_opens_without_the_old_key_and_stays_with_its_instance() -> None:
    sealed = Vault(NEW, OLD).reseal("a", Vault(OLD).seal("a", PAYLOAD))
    assert sealed.key_id == Vault(NEW).key_id
    assert Vault(NEW).unseal("a", sealed) == PAYLOAD
    for vault in (Vault(OLD), Vault(NEW)):
        with pytest.raises(HostError):
            vault.unseal("b", sealed)
    with pytest.raises(HostError):
        Vault(NEW, OLD).reseal("b", Vault(OLD).seal("a", PAYLOAD))
    assert Vault(NEW, OLD).reseal("a", sealed) is sealed


def test_a_digest_made_under_any_key_of_the_ring_is_recognised() -> None:
    old, new = Vault(OLD).digest("a", b"x"), Vault(NEW).digest("a", b"x")
    ring = Vault(NEW, OLD)
    assert ring.digest("a", b"x") == new != old
    assert ring.matches("a", b"x", old)
    assert ring.matches("a", b"x", new)
    assert not ring.matches("b", b"x", old)
    assert not ring.matches("a", b"y", old)
    assert not ring.matches("a", b"x", None)
    assert not Vault(NEW).matches("a", b"x", old)


def test_a_successor_opens_nothing_of_its_forebears_but_knows_their_digests() -> None:
    ring = Vault(NEW, OLD)
    heir = Vault(ring.successor())
    assert heir.key_id not in ring.key_ids
    assert len({Vault(ring.successor()).key_id for _ in range(3)}) == 3
    for forebear in (Vault(OLD), Vault(NEW)):
        assert heir.matches("a", b"x", forebear.digest("a", b"x"))
        assert heir.digest("a", b"x") != forebear.digest("a", b"x")
        with pytest.raises(HostError):
            heir.unseal("a", forebear.seal("a", PAYLOAD))
    grandchild = Vault(heir.successor())
    assert grandchild.matches("a", b"x", Vault(OLD).digest("a", b"x"))
    assert grandchild.matches("a", b"x", heir.digest("a", b"x"))


def test_each_use_of_a_key_has_a_key_of_its_own() -> None:
    ring = Vault(NEW, OLD)
    assert ring.bus_keys == (*Vault(NEW).bus_keys, *Vault(OLD).bus_keys)
    used = {NEW, OLD, *ring.bus_keys, *(ring.successor()[start : start + 32] for start in (32, 64))}
    assert len(used) == 6
