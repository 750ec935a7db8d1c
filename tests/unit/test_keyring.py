"""Key files: read only when nobody else can read them, made once, and named by their role when they are no use."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from injector.errors import Conflict, HostError
from injector.system.keyring import new_key, open_vault
from injector.system.vault import Vault
from tests import builders

PAYLOAD = builders.a_payload()


def a_key(path: Path, content: bytes = b"n" * 32, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_the_default_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "secrets.key"
    first, second = open_vault(path), open_vault(path)
    assert second.unseal("a", first.seal("a", PAYLOAD)) == PAYLOAD
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["secrets.key"]


def test_named_files_make_the_ring_in_their_order(tmp_path: Path) -> None:
    one, other = a_key(tmp_path / "one", b"1" * 32), a_key(tmp_path / "other", b"2" * 32, 0o400)
    default = tmp_path / "secrets.key"
    assert open_vault(default, (other, one)).key_ids == Vault(b"2" * 32, b"1" * 32).key_ids
    assert not default.exists()


def test_a_named_file_that_is_missing_is_not_made(tmp_path: Path) -> None:
    default = tmp_path / "secrets.key"
    with pytest.raises(HostError, match=r"the first key file .* is missing") as refusal:
        open_vault(default, (default,))
    assert (refusal.value.field, refusal.value.detail) == ("[secrets] key_files", str(default))
    assert str(tmp_path) not in refusal.value.message
    with pytest.raises(HostError, match=r"key file 2 .* is missing"):
        open_vault(default, (a_key(tmp_path / "one"), tmp_path / "two"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["one"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o610])
def test_a_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = a_key(tmp_path / "secrets.key", mode=mode)
    with pytest.raises(HostError, match="the default key file can be used by others") as refusal:
        open_vault(path)
    assert f"{mode:04o}" in str(refusal.value.detail)


@pytest.mark.parametrize("length", [0, 31, 33, 32 * 1025])
def test_a_file_of_a_wrong_length_is_refused(tmp_path: Path, length: int) -> None:
    with pytest.raises(HostError, match=r"the first key file .* has the wrong length"):
        open_vault(tmp_path / "secrets.key", (a_key(tmp_path / "one", b"k" * length),))


def test_a_file_may_hold_as_much_as_many_rotations_leave(tmp_path: Path) -> None:
    path = a_key(tmp_path / "one", b"k" * 32 * 1024)
    assert open_vault(tmp_path / "secrets.key", (path,)).key_id == Vault(b"k" * 32).key_id


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"the first key file .* cannot be read"):
        open_vault(tmp_path / "secrets.key", (tmp_path,))


def test_a_new_key_is_private_inherits_and_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "new.key"
    vault = Vault(b"o" * 32)
    key_id = new_key(path, vault)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    heir = open_vault(tmp_path / "secrets.key", (path,))
    assert heir.key_id == key_id
    assert heir.matches("a", b"x", vault.digest("a", b"x"))
    before = path.read_bytes()
    with pytest.raises(Conflict):
        new_key(path, vault)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["new.key"]


def test_a_place_where_no_key_can_be_made_is_an_error_of_the_house(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot be made"):
        new_key(tmp_path / "nowhere" / "new.key", Vault(b"o" * 32))
