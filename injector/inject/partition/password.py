"""Gives root the password that was asked for, hashed as the guest's own tools would."""

from __future__ import annotations

from injector.errors import ItemRefused
from injector.inject.partition import accounts, crypts, paths, shadow
from injector.inject.partition.draft import Draft
from injector.model.secret import Secret

_DAY = 86_400


def put_password(draft: Draft, password: Secret, stamp: int) -> tuple[str, ...]:
    """The file that holds it now: shadow, or the passwd of a guest that keeps no other.

    ItemRefused for a guest without root, and for a password that nobody could type.
    """
    passwd = draft.text(accounts.PASSWD, accounts.LIMIT)
    if accounts.account(passwd, "root") is None:
        raise ItemRefused("the guest has no user 'root'")
    path, today = (shadow.SHADOW, stamp // _DAY) if shadow.is_shadowed(passwd) else (accounts.PASSWD, None)
    place = paths.file_place(draft, path)
    if place.entry is None:
        raise ItemRefused(f"the guest's passwd sends for it to {path}, which is not there")
    hashed = crypts.hash_of(password, crypts.method_of(draft.text(crypts.LOGIN_DEFS, crypts.LIMIT)))
    draft.write(place, shadow.with_hash(draft.read(place.path, accounts.LIMIT), hashed, today))
    return (path,)
