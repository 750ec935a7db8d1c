"""Root's line of /etc/shadow, or of a passwd that keeps the passwords itself; every other byte stays; pure."""

from __future__ import annotations

from collections.abc import Iterator

from injector.errors import ItemRefused

SHADOW = "/etc/shadow"

ELSEWHERE = b"x"
"""What passwd says when the password is in shadow."""

_ELSEWHERE = frozenset({ELSEWHERE, b"##root", b"*NP*"})

_HASH, _CHANGED, _OLDEST, _EXPIRES = 1, 2, 4, 7
"""Fields of shadow(5), from 0; days since 1970."""


def is_shadowed(passwd: bytes) -> bool:
    """Whether root's password is in shadow; so it is in a guest whose passwd does not know him."""
    found = hash_in(passwd)
    return found is None or found in _ELSEWHERE


def hash_in(text: bytes) -> bytes | None:
    """The second field of root's line, of either file; None when he has none."""
    return next((fields[_HASH] for _, fields in _root_lines(text)), None)


def with_hash(text: bytes, hashed: bytes, today: int | None) -> bytes:
    """The same with root's hash another: locked before or not, he can log in with the password now.

    ``today`` (days since 1970; None for a passwd) becomes the day of the last change only where the password would
    otherwise count as expired, and he be made to change it. ItemRefused when there is no line of root's, or his
    account itself has expired.
    """
    for number, fields in _root_lines(text):
        fields[_HASH] = hashed
        if today is not None:
            _keep_current(fields, today)
        lines = text.split(b"\n")
        lines[number] = b":".join(fields)
        return b"\n".join(lines)
    raise ItemRefused("the guest's root has no line in its shadow")


def _keep_current(fields: list[bytes], today: int) -> None:
    changed, oldest, expires = (_days(fields, field) for field in (_CHANGED, _OLDEST, _EXPIRES))
    if expires is not None and expires <= today:
        raise ItemRefused("the guest's root account has expired")
    if changed == 0 or (changed is not None and oldest is not None and changed + oldest < today):
        fields[_CHANGED] = b"%d" % today


def _days(fields: list[bytes], field: int) -> int | None:
    text = fields[field] if field < len(fields) else b""
    return int(text) if text.isdigit() and len(text) < 10 else None


def _root_lines(text: bytes) -> Iterator[tuple[int, list[bytes]]]:
    for number, line in enumerate(text.split(b"\n")):
        fields = line.split(b":")
        if fields[0] == b"root" and len(fields) > 1:
            yield number, fields
