"""Who is who in a guest: its own passwd and group, as its C library reads them; pure, on bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from injector.errors import ItemRefused
from injector.model.hostile import one_line

PASSWD = "/etc/passwd"
GROUP = "/etc/group"
LIMIT = 1024 * 1024
"""Bytes; a longer passwd, group or shadow is no such thing."""

_HIGHEST_ID = 2**32 - 2


@dataclass(frozen=True, slots=True)
class Account:
    """A line of passwd; ``home`` has a leading ``/``."""

    name: str
    uid: int
    gid: int
    home: str


ROOT = Account("root", 0, 0, "/root")
"""Of a guest whose passwd does not say."""


def account(passwd: bytes, name: str) -> Account | None:
    """The first line of that name whose numbers are some, as the C library takes it."""
    for fields in _lines(passwd, 7):
        uid, gid = _number(fields[2]), _number(fields[3])
        if fields[0] == name and uid is not None and gid is not None:
            return Account(name, uid, gid, "/" + fields[5].lstrip("/"))
    return None


def owner(spec: str, passwd: bytes, group: bytes) -> tuple[int, int]:
    """The numbers of ``user``, ``user:group``, or either as a number; a user alone brings his own group along.

    A number that passwd does not know is taken as it is, with group 0 unless one is named. ItemRefused for a name
    that the guest does not know.
    """
    user, colon, name = spec.partition(":")
    known = account(passwd, user)
    uid = known.uid if known else _number(user)
    if uid is None:
        raise ItemRefused(f"the guest has no user '{one_line(user, 64)}'")
    if not colon:
        return uid, known.gid if known else 0
    gid = _group(group, name)
    if gid is None:
        raise ItemRefused(f"the guest has no group '{one_line(name, 64)}'")
    return uid, gid


def _group(group: bytes, name: str) -> int | None:
    numbers = (_number(fields[2]) for fields in _lines(group, 3) if fields[0] == name)
    return next((number for number in numbers if number is not None), _number(name))


def _lines(text: bytes, fewest: int) -> Iterator[list[str]]:
    for line in text.split(b"\n"):
        fields = line.decode("utf-8", "surrogateescape").split(":")
        if len(fields) >= fewest:
            yield fields


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        return None
    return int(text) if int(text) <= _HIGHEST_ID else None
