"""The files that hold the keys of the installation: read with suspicion, made once, readable by their owner only."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path

from injector.errors import Conflict, HostError
from injector.system import files
from injector.system.vault import KEY_BYTES, Vault

_FIELD = "[secrets] key_files"
# A key and what it inherited; far more rotations than anybody will see.
_LARGEST = KEY_BYTES * 1024


def open_vault(default: Path, named: Sequence[Path] = ()) -> Vault:
    """The vault of the keys in ``named`` files, the one that seals first; else of the ``default`` file alone.

    Only the default file is made by the first to come. HostError when a file is missing, can be read by others than
    its owner, or holds no key: a service with another key than its neighbours' would find out at the first boot.
    """
    if not named and not default.exists():
        _put(default, secrets.token_bytes(KEY_BYTES))
    return existing_vault(default, named)


def existing_vault(default: Path, named: Sequence[Path] = ()) -> Vault:
    """The same, and nothing is made."""
    if not named:
        return Vault(_read(default, "the default key file"))
    return Vault(*(_read(path, _role(number)) for number, path in enumerate(named)))


def new_key(path: Path, vault: Vault | None) -> str:
    """Make the file of a key that is to follow those of ``vault`` (None: the first of all); its id.

    Conflict when there is such a file.
    """
    material = secrets.token_bytes(KEY_BYTES) if vault is None else vault.successor()
    if not _put(path, material):
        raise Conflict("the file of the new key is there already: it is not written over", detail=str(path))
    return Vault(material).key_id


def _role(number: int) -> str:
    return "the first key file (the key that seals)" if number == 0 else f"key file {number + 1} (a key that opens)"


def _read(path: Path, role: str) -> bytes:
    """The content of a key file. HostError names its role; only the detail names its place."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            # One more: what is longer is then no number of keys.
            content = file.read(_LARGEST + 1)
    except FileNotFoundError as error:
        raise HostError(f"{role} is missing", field=_FIELD, detail=str(path)) from error
    except OSError as error:
        raise HostError(f"{role} cannot be read", field=_FIELD, detail=str(error)) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        message = f"{role} can be used by others than its owner: its mode must be 0600 or less"
        raise HostError(message, field=_FIELD, detail=f"{path} is {stat.S_IMODE(mode):04o}")
    if not content or len(content) % KEY_BYTES:
        message = f"{role} has the wrong length: it is no file that injector made"
        raise HostError(message, field=_FIELD, detail=f"{path} has {len(content)} bytes")
    return content


def _put(path: Path, material: bytes) -> bool:
    """A new file 0600, whole or not there at all; False when somebody was quicker."""
    staged = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(material)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(staged, path)
        except FileExistsError:
            return False
        finally:
            staged.unlink()
        files.sync_directory(path.parent)
    except OSError as error:
        raise HostError("the file of the new key cannot be made", field=_FIELD, detail=str(error)) from error
    return True
