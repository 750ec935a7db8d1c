"""What is asked of a broken guest: every kind of item, at paths that lead through all of its structures."""

from __future__ import annotations

import random
from collections.abc import Iterator

from injector.inject.partition.errand import Inject, Look, Wanted
from injector.model.facts import Root
from injector.model.payload import Item, ItemKind
from injector.model.secret import Secret
from tests import builders as a

KEY = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINewKeyForTheGuest fuzz@host"
PASSWORD = b"correct horse"
STAMP = 1_700_000_000
INTERFACES = b"auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet static\n    address 10.0.0.5/24\n"
_META = b'{"role": "fuzz"}'
_PATHS = (
    ("/etc/motd", b"rewritten, with its twin\n"),
    ("/srv/far/hello", b"through a link out of the root\n"),
    ("/opt/a/b/c/new", b"deep\n" * 3000),
    ("/var/lib/many/one more", b"in a sorted directory\n"),
    ("/var/big", b"where the holes were" * 4000),
    ("/etc/shadow.new", b""),
)


def inject(root: Root, chance: random.Random, *, required: bool | None = None) -> Inject:
    """All of it or some; half of the time what fails is left out, so that one broken place hides no other."""
    required = chance.random() < 0.5 if required is None else required
    wanted = tuple(one for one in _wanted(required) if chance.random() < 0.8 or one.item.name == "/etc/motd")
    return Inject(
        root=root,
        wanted=wanted,
        stamp=STAMP,
        nics=(a.a_nic(),),
        interfaces=Secret(INTERFACES),
        admin_user="ada" if chance.random() < 0.5 else None,
    )


def look(root: Root) -> Look:
    return Look(
        root, ("/etc/shadow", "/root/.ssh/authorized_keys", "/var/big", "/srv/far/.profile", "/nothing"), 1 << 20
    )


def _wanted(required: bool) -> Iterator[Wanted]:
    yield _one(ItemKind.KEY, "mine", KEY, required)
    yield _one(ItemKind.NETWORK, "network", b"", required)
    yield _one(ItemKind.METADATA, "metadata", _META, required)
    yield _one(ItemKind.PASSWORD, "password", PASSWORD, required)
    for path, content in _PATHS:
        yield _one(ItemKind.FILE, path, content, required)


def _one(kind: ItemKind, name: str, content: bytes, required: bool) -> Wanted:
    return Wanted(Item(kind, name, len(content), required), Secret(content))
