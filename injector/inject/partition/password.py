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
    hashed = crypts.hash_of(password, crypts.method_of(draft.text(crypts.LOGIN_DEFS, crypts.LIMIT)))
    if _has_shadow(draft):
        if not shadow.is_shadowed(passwd):
            _write(draft, accounts.PASSWD, shadow.ELSEWHERE, None)
        return _write(draft, shadow.SHADOW, hashed, stamp // _DAY)
    if shadow.is_shadowed(passwd):
        raise ItemRefused("the guest's root has no line in its shadow")
    return _write(draft, accounts.PASSWD, hashed, None)


def _has_shadow(draft: Draft) -> bool:
    """Whether root has a line there: a passwd, which all may read, need not hold the hash then."""
    return shadow.hash_in(draft.text(shadow.SHADOW, accounts.LIMIT)) is not None


def _write(draft: Draft, path: str, hashed: bytes, today: int | None) -> tuple[str, ...]:
    place = paths.file_place(draft, path)
    draft.write(place, shadow.with_hash(draft.read(place.path, accounts.LIMIT), hashed, today))
    return (path,)
