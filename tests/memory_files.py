"""A guest's file system in memory that keeps the back ends' promise: honest, and quick enough for tables of tests."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from injector.errors import GuestUnreadable, ItemRefused
from injector.inject.partition.filesystem import Attributes, Entry, Kind, Room
from injector.model.facts import Root

ROOT = Root(1, 1024**2, 64 * 1024**2, "ext4", "a test")


@dataclass
class Node:
    """An inode. ``claims`` is a size that it says it has, whatever its content."""

    kind: Kind
    mode: int
    uid: int = 0
    gid: int = 0
    label: str | None = None
    content: bytes = b""
    target: str | None = None
    claims: int | None = None
    changed: int = 0


@dataclass
class MemoryDisk:
    """What stays between openings: inodes by number, and their numbers by path; also an Opener.

    ``free`` bytes and ``inodes`` are what is left. ``events`` tell what was done to it, in order.
    """

    nodes: dict[int, Node] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    free: int = 16 * 1024**2
    inodes: int = 1000
    name: str = "memory"
    events: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._add("/", Node(Kind.DIRECTORY, 0o755))

    def directory(self, path: str, mode: int = 0o755, uid: int = 0, gid: int = 0, label: str | None = None) -> None:
        for above in _above(path):
            if above not in self.names:
                self._add(above, Node(Kind.DIRECTORY, 0o755))
        self._add(path, Node(Kind.DIRECTORY, mode, uid, gid, label))

    def file(
        self,
        path: str,
        content: bytes = b"",
        mode: int = 0o644,
        uid: int = 0,
        gid: int = 0,
        label: str | None = None,
        claims: int | None = None,
    ) -> None:
        self._above(path)
        self._add(path, Node(Kind.FILE, mode, uid, gid, label, content, claims=claims))

    def link(self, path: str, target: str) -> None:
        self._above(path)
        self._add(path, Node(Kind.LINK, 0o777, target=target))

    def other(self, path: str) -> None:
        """A device or a FIFO."""
        self._above(path)
        self._add(path, Node(Kind.OTHER, 0o600))

    def hard_link(self, path: str, existing: str) -> None:
        self._above(path)
        self.names[path] = self.names[existing]

    def node(self, path: str) -> Node:
        return self.nodes[self.names[path]]

    def read(self, path: str) -> bytes:
        return self.node(path).content

    @contextmanager
    def open(self, root: Root, *, writable: bool, stamp: int) -> Iterator[MemoryFiles]:
        self.events.append("open to write" if writable else "open to read")
        yield MemoryFiles(self, writable, stamp)

    def _above(self, path: str) -> None:
        above = path.rpartition("/")[0]
        if above and above not in self.names:
            self.directory(above)

    def _add(self, path: str, node: Node) -> None:
        number = len(self.nodes) + 2
        self.nodes[number] = node
        self.names[path] = number


class MemoryFiles:
    """An opening: what is written is held back until ``close``."""

    filesystem = "ext4"

    def __init__(self, disk: MemoryDisk, writable: bool, stamp: int) -> None:
        self._disk = disk
        self._writable = writable
        self._stamp = stamp
        self._nodes = copy.deepcopy(disk.nodes)
        self._names = dict(disk.names)
        self._free, self._inodes = disk.free, disk.inodes

    def entry(self, path: str) -> Entry | None:
        assert path == "/" or not {"", ".", ".."} & set(path.split("/")[1:]), path
        for above in _above(path):
            found = self._node(above)
            if found is None or found.kind in (Kind.FILE, Kind.OTHER):
                return None
            if found.kind is Kind.LINK:
                raise GuestUnreadable(f"{above} is a link")
        number = self._names.get(path)
        if number is None:
            return None
        node = self._nodes[number]
        size = len(node.content) if node.claims is None else node.claims
        links = list(self._names.values()).count(number)
        return Entry(node.kind, node.mode, node.uid, node.gid, size, number, links, node.label, node.target)

    def names(self, path: str) -> Iterator[str]:
        start = path.rstrip("/") + "/"
        for name in self._names:
            if name.startswith(start) and name != "/" and "/" not in name[len(start) :]:
                yield name[len(start) :]

    def read(self, path: str, limit: int) -> bytes:
        entry = self.entry(path)
        if entry is None or entry.kind is not Kind.FILE:
            raise GuestUnreadable(f"{path} is no file")
        if entry.size > limit:
            raise ItemRefused(f"{path} is longer than {limit} bytes")
        return self._nodes[self._names[path]].content

    def room(self) -> Room:
        return Room(self._free, self._inodes, 4096)

    def make_directory(self, path: str, attributes: Attributes) -> None:
        self._require_new(path)
        self._take(4096, 1)
        self._put(path, _with(Node(Kind.DIRECTORY, 0o755), attributes))

    def write(self, path: str, content: bytes, attributes: Attributes) -> None:
        entry = self.entry(path)
        if entry is None:
            self._require_new(path)
            self._take(_whole(len(content)), 1)
            self._put(path, _with(Node(Kind.FILE, 0o644, content=content), attributes))
            return
        if entry.kind is not Kind.FILE:
            raise GuestUnreadable(f"{path} is no file")
        self._take(_whole(len(content)) - _whole(entry.size), 0)
        node = self._nodes[self._names[path]]
        node.content, node.claims = content, None
        self._change(node, attributes)

    def change(self, path: str, attributes: Attributes) -> None:
        node = self._node(path)
        if node is None:
            raise GuestUnreadable(f"{path} is not there")
        self._change(node, attributes)

    def close(self) -> None:
        if self._writable:
            self._disk.nodes, self._disk.names = self._nodes, self._names
            self._disk.free, self._disk.inodes = self._free, self._inodes
            self._disk.events.append("close")

    def _node(self, path: str) -> Node | None:
        return self._nodes.get(self._names.get(path, 0))

    def _require_new(self, path: str) -> None:
        assert self._writable
        above = self._node(path.rpartition("/")[0] or "/")
        if path in self._names or above is None or above.kind is not Kind.DIRECTORY:
            raise GuestUnreadable(f"{path} cannot be made")

    def _put(self, path: str, node: Node) -> None:
        number = max(self._nodes) + 1
        node.changed = self._stamp
        self._nodes[number] = node
        self._names[path] = number

    def _change(self, node: Node, attributes: Attributes) -> None:
        assert self._writable
        changed = _with(node, attributes)
        node.mode, node.uid, node.gid, node.label = changed.mode, changed.uid, changed.gid, changed.label
        node.changed = self._stamp

    def _take(self, size: int, inodes: int) -> None:
        if size > self._free or inodes > self._inodes:
            raise ItemRefused("the guest's file system is full")
        self._free -= size
        self._inodes -= inodes


def a_guest() -> MemoryDisk:
    """A small Debian with ifupdown, an sshd and two users."""
    disk = MemoryDisk()
    disk.directory("/root", 0o700)
    disk.file("/etc/passwd", PASSWD)
    disk.file("/etc/group", b"root:x:0:\nshadow:x:42:\nwww-data:x:33:\nada:x:1000:\n")
    disk.file("/etc/shadow", SHADOW, 0o640, 0, 42)
    disk.file("/etc/login.defs", b"# a comment\nENCRYPT_METHOD SHA512\n")
    disk.directory("/home/ada", 0o755, 1000, 1000)
    disk.file("/sbin/ifup", b"\x7fELF", 0o755)
    disk.file("/etc/network/interfaces", b"auto lo\niface lo inet loopback\n")
    disk.directory("/etc/systemd/system/multi-user.target.wants")
    disk.link(
        "/etc/systemd/system/multi-user.target.wants/networking.service", "/lib/systemd/system/networking.service"
    )
    disk.file("/lib/systemd/system/networking.service", b"[Service]\n")
    disk.file("/etc/os-release", b"ID=debian\n")
    return disk


PASSWD = (
    b"root:x:0:0:root:/root:/bin/bash\n"
    b"www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n"
    b"ada:x:1000:1000:Ada,,,:/home/ada:/bin/bash\n"
)
SHADOW = b"root:*:19000:0:99999:7:::\nwww-data:*:19000:0:99999:7:::\nada:!:19000:0:99999:7:::\n"


def _above(path: str) -> list[str]:
    names = path.split("/")[1:-1]
    return ["/" + "/".join(names[: end + 1]) for end in range(len(names))]


def _with(node: Node, attributes: Attributes) -> Node:
    return replace(
        node,
        mode=node.mode if attributes.mode is None else attributes.mode,
        uid=node.uid if attributes.uid is None else attributes.uid,
        gid=node.gid if attributes.gid is None else attributes.gid,
        label=node.label if attributes.label is None else attributes.label,
    )


def _whole(size: int) -> int:
    return -(-size // 4096) * 4096
