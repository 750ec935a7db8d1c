"""Lets a public key in: root's ``authorized_keys``, and a named user's, so that the guest's own sshd obeys them."""

from __future__ import annotations

from collections.abc import Iterator

from injector.errors import ItemRefused
from injector.inject.partition import accounts, paths
from injector.inject.partition.accounts import Account
from injector.inject.partition.authorized_keys import with_key
from injector.inject.partition.draft import AS_IT_IS, Draft
from injector.inject.partition.filesystem import Attributes, Entry
from injector.inject.partition.paths import Place, is_text, shown
from injector.model.hostile import one_line

LIMIT = 1024 * 1024
"""Bytes of ``authorized_keys``."""

_DIRECTORY_MODE = 0o700
_FILE_MODE = 0o600
_OTHERS_WRITE = 0o022


def put_key(draft: Draft, key: bytes, admin_user: str | None) -> tuple[str, ...]:
    """The files that let it in now. ItemRefused for a user whom the guest does not have."""
    passwd = draft.text(accounts.PASSWD, accounts.LIMIT)
    users = [accounts.account(passwd, "root") or accounts.ROOT]
    if admin_user not in (None, "root"):
        users.append(_known(passwd, admin_user))
    return tuple(_let_in(draft, user, key) for user in users)


def _known(passwd: bytes, name: str) -> Account:
    found = accounts.account(passwd, name)
    if found is None:
        raise ItemRefused(f"the guest has no user '{one_line(name, 64)}' (os_admin_user)")
    return found


def _let_in(draft: Draft, user: Account, key: bytes) -> str:
    """What sshd would refuse for its modes (StrictModes) is set right where it is the user's own; else it stays."""
    if not is_text(user.home):
        raise ItemRefused(f"the home of '{one_line(user.name, 64)}' has a name that is no text")
    home = _home(draft, user)
    own = Attributes(_DIRECTORY_MODE, user.uid, user.gid)
    directory = paths.directory_place(draft, _below(user.home, ".ssh"))
    if directory.entry is None:
        draft.make_directories(directory)
        draft.make_directory(directory.path, own)
    elif not _reads(directory.entry, user, 0o5):
        _require(directory.path == _below(home, ".ssh"), directory.path, user)
        draft.change(directory.path, own)
    path = _below(user.home, ".ssh/authorized_keys")
    place = paths.file_place(draft, path)
    _secure_the_way(draft, place, home, user)
    _write(draft, place, key, user)
    return path


def _home(draft: Draft, user: Account) -> str:
    """Where it is; made when it is not there."""
    place = paths.directory_place(draft, user.home)
    if place.entry is None:
        draft.make_directories(place)
        draft.make_directory(place.path, Attributes(_DIRECTORY_MODE, user.uid, user.gid))
    return place.path


def _write(draft: Draft, place: Place, key: bytes, user: Account) -> None:
    old = draft.old(place, LIMIT)
    new = with_key(old, key)
    fine = place.entry is not None and _reads(place.entry, user, 0o4)
    attributes = AS_IT_IS if fine else Attributes(_FILE_MODE, user.uid, user.gid)
    draft.make_directories(place)
    if new == old and place.entry is not None:
        draft.keep(place, attributes)
    else:
        draft.write(place, new, attributes)


def _secure_the_way(draft: Draft, place: Place, home: str, user: Account) -> None:
    """sshd looks at every directory from the file up to the home, or to the root when it lies elsewhere."""
    for path in _upwards(paths.parent(place.path), home):
        entry = draft.entry(path)
        if entry is None or _is_guarded(entry, user):
            continue
        _require(path == home and entry.uid in (0, user.uid), path, user)
        draft.change(path, Attributes(mode=entry.mode & ~_OTHERS_WRITE))


def _upwards(path: str, last: str) -> Iterator[str]:
    while path not in (last, "/"):
        yield path
        path = paths.parent(path)
    yield path


def _require(own: bool, path: str, user: Account) -> None:
    """Modes of directories that are not his own are not changed for him."""
    if not own:
        name = one_line(user.name, 64)
        raise ItemRefused(
            f"sshd would not take keys of '{name}' from '{shown(path)}': others own it or may write there"
        )


def _is_guarded(entry: Entry, user: Account) -> bool:
    return entry.uid in (0, user.uid) and not entry.mode & _OTHERS_WRITE


def _reads(entry: Entry, user: Account, bits: int) -> bool:
    """Whether it is guarded, and the user can read it (sshd does so as he)."""
    needed = bits << 6 if entry.uid == user.uid else bits
    return _is_guarded(entry, user) and (user.uid == 0 or entry.mode & needed == needed)


def _below(directory: str, name: str) -> str:
    return f"{directory.rstrip('/')}/{name}"
