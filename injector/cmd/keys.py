"""The keys of the installation as an operator deals with them: made, put to use for all that is sealed, counted."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from injector.db import Store, open_store
from injector.errors import HostError
from injector.model.secret import Sealed
from injector.settings import Settings
from injector.system import keyring
from injector.system.vault import Vault

_AT_ONCE = 100


class _Unopened(Exception):
    """What is sealed for an instance cannot be opened."""

    def __init__(self, reason: HostError) -> None:
        super().__init__(reason.message)
        self.reason = reason


@contextmanager
def opened(settings: Settings) -> Iterator[Store]:
    """The database as it is; HostError, saying what to do, when its tables are not of this release."""
    store = open_store(settings.database_connection, migrate=False)
    try:
        yield store
    finally:
        store.close()


def make(settings: Settings, path: Path) -> int:
    """The file of a key that inherits from those that are configured: HostError when one but this file is missing."""
    named = tuple(one for one in settings.key_files if one.absolute() != path.absolute())
    if not settings.key_files and settings.secrets_key.exists():
        named = (settings.secrets_key,)
    vault = keyring.existing_vault(settings.secrets_key, named) if named else None
    key_id = keyring.new_key(path, vault)
    print(f"made: key {key_id} in {path}, to be read by its owner only: that must be the user of the services")
    print(f"knows the receipts of: {', '.join(vault.key_ids) if vault else 'nobody, it is the first'}")
    return 0


def rotate(settings: Settings) -> int:
    """All that is sealed, under the first key. What is done stays done; 1 when something cannot be opened."""
    vault = _vault(settings)
    with opened(settings) as store:
        done, failed = _reseal_all(store, vault)
        print(f"sealed anew under key {vault.key_id}: {done} servers")
        for instance_id, error in failed.items():
            print(f"left as it is: server {instance_id}: {error.message}", file=sys.stderr)
        _print_use(store, vault)
    return 1 if failed else 0


def status(settings: Settings) -> int:
    """1 when something is sealed under a key that is not configured."""
    vault = _vault(settings)
    with opened(settings) as store:
        used = _print_use(store, vault)
        working, hidden = store.unsettled(settings.dispatcher.host_down_after)
    print(f"servers being worked on: {working}\nothers on silent hosts: {hidden}")
    return 1 if used.keys() - set(vault.key_ids) else 0


def _vault(settings: Settings) -> Vault:
    return keyring.existing_vault(settings.secrets_key, settings.key_files)


def _reseal_all(store: Store, vault: Vault) -> tuple[int, Mapping[str, HostError]]:
    """How many instances it was done for, and those that stay as they are, with the reason."""
    done, failed = 0, dict[str, HostError]()
    while True:
        # Those that failed are found again each time.
        found = store.resealable(vault.key_id, _AT_ONCE + len(failed))
        batch = [instance_id for instance_id in found if instance_id not in failed]
        if not batch:
            return done, failed
        for instance_id in batch:
            try:
                store.reseal(instance_id, partial(_again, vault, instance_id))
                done += 1
            except _Unopened as error:
                failed[instance_id] = error.reason


def _again(vault: Vault, instance_id: str, sealed: Sealed) -> Sealed:
    try:
        return vault.reseal(instance_id, sealed)
    except HostError as error:
        raise _Unopened(error) from error


def _print_use(store: Store, vault: Vault) -> Mapping[str, int]:
    """A line a key: its id, what it is for, and the number of payloads and drives that are sealed under it."""
    used = store.sealed_under()
    for key_id in (*vault.key_ids, *sorted(used.keys() - set(vault.key_ids))):
        role = "seals" if key_id == vault.key_id else "opens" if key_id in vault.key_ids else "not configured"
        print(f"{key_id}  {role:<14}  {used.get(key_id, 0)}")
    return used
