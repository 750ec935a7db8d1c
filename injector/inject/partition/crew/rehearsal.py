"""A nursery's rehearsal: errands in a guest in memory, so that no worker has to load anything once it is sealed."""

from __future__ import annotations

import codecs
import contextlib
import os

from injector import wire
from injector.errors import CannotServe
from injector.inject.partition.crew.disk import warm_up as warm_up_connections
from injector.inject.partition.crew.worker import Trade
from injector.inject.partition.errand import Errand, Inject, Look, Survey, Wanted
from injector.model.facts import Root
from injector.model.network import Address, Network, NetworkKind, Nic, Subnet
from injector.model.payload import Item, ItemKind
from injector.model.secret import Secret
from injector.system.process import Limits, run

_SIZE = 1 << 20
_ROOT = Root(0, 0, _SIZE, "ext4", "made")
# Of partitions' names, of labels, of SELinux's policies: Python looks for them on the disk when they are first used.
_CODECS = ("utf-16-le", "ascii", "latin-1")
_GUEST = {
    "/etc/passwd": b"root:x:0:0::/root:/bin/sh\n",
    "/etc/group": b"root:x:0:\n",
    "/etc/shadow": b"root:*:1::::::\n",
    "/etc/login.defs": b"ENCRYPT_METHOD SHA512\n",
    "/etc/os-release": b"ID=rehearsal\n",
    "/sbin/init": b"a program",
    "/etc/inittab": b"::sysinit:/sbin/openrc sysinit\n",
    **dict.fromkeys(("/sbin/ifup", "/usr/sbin/NetworkManager", "/usr/lib/systemd/systemd-networkd"), b"a program"),
    **{f"/etc/runlevels/boot/{name}": b"" for name in ("networking", "NetworkManager", "systemd-networkd")},
    "/etc/network/interfaces": b"\n",
    "/etc/selinux/config": b"SELINUX=enforcing\nSELINUXTYPE=rehearsal\n",
    "/etc/selinux/rehearsal/contexts/files/file_contexts": b"/etc(/.*)?\tsystem_u:object_r:etc_t:s0\n",
}


class _Memory:
    """A Disk."""

    def __init__(self, content: bytes) -> None:
        self._content = bytearray(content)

    @property
    def size(self) -> int:
        return len(self._content)

    def read(self, start: int, length: int) -> bytes:
        return bytes(self._content[start : start + length])

    def write(self, start: int, data: bytes) -> None:
        self._content[start : start + len(data)] = data

    def flush(self) -> None:
        """It is there already."""


def warm_up(trade: Trade) -> None:
    """ProgramFailed when there is no mke2fs. A trade that serves no such guest has still been loaded."""
    for name in _CODECS:
        codecs.lookup(name)
    warm_up_connections()
    disk = _Memory(_empty())
    for errand in _errands():
        with contextlib.suppress(CannotServe):
            wire.to_clear(trade(errand, disk))


def _empty() -> bytes:
    """A file system that never had a name on this host."""
    descriptor = os.memfd_create("rehearsal")
    try:
        os.ftruncate(descriptor, _SIZE)
        path = f"/proc/{os.getpid()}/fd/{descriptor}"
        run(
            ["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", path],
            purpose="rehearse partition injection",
            limits=Limits(cpu_seconds=10, file_size=_SIZE),
            timeout=10,
        )
        return os.pread(descriptor, _SIZE, 0)
    finally:
        os.close(descriptor)


def _errands() -> tuple[Errand, ...]:
    subnets = (Subnet("192.0.2.0/24", pool_first="192.0.2.9"), Subnet("2001:db8::/64"))
    network = Network("rehearsal", "rehearsal", NetworkKind.USER, "rehearsal", subnets=subnets)
    nic = Nic("52:54:00:00:00:01", network, (Address(subnets[0], "192.0.2.9"), Address(subnets[1], "2001:db8::9")))
    return (
        Inject(_ROOT, tuple(_wanted(ItemKind.FILE, path, text) for path, text in _GUEST.items()), 0),
        Survey(),
        Inject(
            _ROOT,
            (
                _wanted(ItemKind.KEY, "rehearsal", b"ssh-ed25519 AAAA rehearsal"),
                _wanted(ItemKind.NETWORK, "network", b""),
                _wanted(ItemKind.METADATA, "metadata", b"{}"),
                _wanted(ItemKind.PASSWORD, "password", b"rehearsal"),
            ),
            0,
            (nic,),
            Secret(b"auto lo\niface lo inet loopback\n"),
        ),
        Look(_ROOT, tuple(_GUEST), _SIZE),
    )


def _wanted(kind: ItemKind, name: str, content: bytes) -> Wanted:
    return Wanted(Item(kind, name, len(content), required=False), Secret(content))
