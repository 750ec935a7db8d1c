"""A guest's ext2, ext3 or ext4 root, open: the GuestFiles of this back end."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

from injector.errors import GuestUnreadable, ItemRefused
from injector.inject.partition.ext.features import DIR_NLINK
from injector.inject.partition.ext.handle import ROOT, Handle
from injector.inject.partition.ext.held import Held
from injector.inject.partition.ext.inode import Inode, new_file
from injector.inject.partition.filesystem import Attributes, Entry, Kind, Room

_LONGEST_NAME = 255
_LONGEST_TARGET = 4096
_SHORT_TARGET = 60
_MOST_LINKS = 65000
_TYPE_FILE = 1
_TYPE_DIRECTORY = 2
_SPARE = 5
"""Blocks beside a content's own that a write may take: a larger directory, its index, a map of blocks, a label."""


class ExtFiles:
    """Over a handle of libext2fs and the partition that holds its writes back.

    Whatever fails between the first change and the last makes the whole opening unfit for ``close``: nothing of it
    gets to the disk.
    """

    def __init__(self, handle: Handle, held: Held, *, writable: bool, stamp: int) -> None:
        self._handle = handle
        self._held = held
        self._writable = writable
        self._stamp = stamp
        self._changed = False
        self._half_done = False
        self._known: dict[bytes, int] = {b"": ROOT}

    @property
    def filesystem(self) -> str:
        return self._handle.superblock.name

    def entry(self, path: str) -> Entry | None:
        number = self._find(_names(path))
        if number is None:
            return None
        inode = self._inode(number)
        return Entry(
            kind=_kind(inode),
            mode=inode.mode,
            uid=inode.uid,
            gid=inode.gid,
            size=inode.size,
            inode=number,
            links=inode.links,
            label=self._label(number, inode),
            target=self._target(number, inode) if inode.kind is Kind.LINK else None,
        )

    def names(self, path: str) -> Iterator[str]:
        number, inode = self._existing(path)
        if inode.kind is not Kind.DIRECTORY:
            raise ItemRefused(f"{path} is no directory")
        for block in self._handle.directory_blocks(number, inode):
            for name in _names_in(block):
                yield name.decode("utf-8", "surrogateescape")

    def read(self, path: str, limit: int) -> bytes:
        number, inode = self._existing(path)
        self._plain(path, inode)
        if inode.size > limit:
            raise ItemRefused(f"{path} has {inode.size} bytes, more than {limit}")
        content = self._handle.content(number, inode.size)
        if len(content) != inode.size:
            raise GuestUnreadable(f"its file system is damaged: {path} is shorter than it says")
        return content

    def room(self) -> Room:
        blocks, inodes = self._handle.free()
        superblock = self._handle.superblock
        return Room(max(0, blocks - superblock.reserved) * superblock.block, inodes, superblock.block)

    def make_directory(self, path: str, attributes: Attributes) -> None:
        parent, name = self._parent(path)
        self._more_links(parent)
        self._enough(blocks=1, inodes=1)
        with self._change():
            number = self._handle.new_inode(parent)
            links = self._handle.inode(parent).links
            self._handle.make_directory(parent, number)
            self._handle.link(parent, name, number, _TYPE_DIRECTORY)
            self._finish(number, attributes, born=True)
            self._touch_parent(parent, links + 1 if links > 1 else links)
            self._remember(path, number)

    def write(self, path: str, content: bytes, attributes: Attributes) -> None:
        names = _names(path)
        number = self._find(names)
        if number is None:
            self._create(path, content, attributes)
            return
        inode = self._inode(number)
        self._plain(path, inode)
        self._enough(blocks=self._blocks(len(content)) - inode.content_blocks(self._handle.superblock.block))
        with self._change():
            self._handle.empty(number, inode)
            self._handle.fill(number, content)
            self._finish(number, attributes, content=True)

    def change(self, path: str, attributes: Attributes) -> None:
        number, _ = self._existing(path)
        with self._change():
            self._finish(number, attributes)

    def close(self) -> None:
        if self._half_done:
            raise ItemRefused("a change before did not end well: nothing of them is written")
        if not self._writable:
            return
        if self._changed:
            self._handle.flush()
        self._held.commit()

    # Names

    def _find(self, names: tuple[bytes, ...]) -> int | None:
        """The inode's number. What was found stays found: names are only ever added here."""
        place = b"/".join(names)
        number = self._known.get(place)
        if number is not None or not names:
            return number
        above = self._find(names[:-1])
        if above is None or len(names[-1]) > _LONGEST_NAME:
            return None
        inode = self._inode(above)
        if inode.kind is Kind.LINK:
            raise GuestUnreadable("a symbolic link is where a directory was")
        if inode.kind is not Kind.DIRECTORY:
            return None
        number = self._handle.lookup(above, names[-1])
        if number is not None:
            self._known[place] = number
        return number

    def _existing(self, path: str) -> tuple[int, Inode]:
        number = self._find(_names(path))
        if number is None:
            raise ItemRefused(f"there is no {path}")
        return number, self._inode(number)

    def _parent(self, path: str) -> tuple[int, bytes]:
        """Where a new name goes. ItemRefused when it cannot."""
        names = _names(path)
        if not names or self._find(names) is not None:
            raise ItemRefused(f"{path} is there already")
        if len(names[-1]) > _LONGEST_NAME:
            raise ItemRefused(f"the name of {path} is longer than {_LONGEST_NAME} bytes")
        parent = self._find(names[:-1])
        if parent is None or self._inode(parent).kind is not Kind.DIRECTORY:
            raise ItemRefused(f"the directory of {path} is not there")
        return parent, names[-1]

    def _remember(self, path: str, number: int) -> None:
        self._known[b"/".join(_names(path))] = number

    # Inodes

    def _inode(self, number: int) -> Inode:
        superblock = self._handle.superblock
        if number != ROOT and (number < superblock.first_inode or number in superblock.private):
            raise GuestUnreadable(f"its file system is damaged: a name leads to the reserved inode {number}")
        inode = self._handle.inode(number)
        if inode.kind is None or inode.links == 0:
            raise GuestUnreadable(f"its file system is damaged: a name leads to inode {number}, which is not in use")
        return inode

    def _plain(self, path: str, inode: Inode) -> None:
        if inode.kind is not Kind.FILE:
            raise ItemRefused(f"{path} is no regular file")
        if inode.strange is not None:
            raise ItemRefused(f"{path} is {inode.strange}")

    def _label(self, number: int, inode: Inode) -> str | None:
        raw = self._handle.label(number) if inode.has_attributes else None
        return None if raw is None else raw.removesuffix(b"\0").decode("utf-8", "surrogateescape")

    def _target(self, number: int, inode: Inode) -> str:
        if inode.size > _LONGEST_TARGET:
            raise GuestUnreadable("its file system is damaged: a symbolic link is too long")
        if inode.size < _SHORT_TARGET and inode.content_blocks(self._handle.superblock.block) <= 0:
            raw = inode.pointers[: inode.size]
        else:
            raw = self._handle.content(number, inode.size)
        return raw.decode("utf-8", "surrogateescape")

    # Changes

    @contextmanager
    def _change(self) -> Iterator[None]:
        if not self._writable:
            raise ItemRefused("it was opened for reading only")
        if self._half_done:
            raise ItemRefused("a change before did not end well")
        self._half_done = self._changed = True
        self._handle.need_bitmaps()
        yield
        self._half_done = False

    def _create(self, path: str, content: bytes, attributes: Attributes) -> None:
        parent, name = self._parent(path)
        self._enough(blocks=self._blocks(len(content)), inodes=1)
        with self._change():
            number = self._handle.new_inode(parent)
            inode = new_file(
                self._handle.superblock.inode_size, extents=self._handle.extents, extra=self._handle.extra_size
            )
            self._handle.write_inode(number, inode)
            self._handle.take_inode(number)
            self._handle.fill(number, content)
            self._finish(number, attributes, born=True)
            self._handle.link(parent, name, number, _TYPE_FILE)
            self._touch_parent(parent)
            self._remember(path, number)

    def _finish(self, number: int, attributes: Attributes, *, born: bool = False, content: bool = False) -> None:
        """Attributes and times, on the inode as the library has left it."""
        if attributes.label is not None:
            # With its NUL, as the kernel stores it.
            label = attributes.label.encode("utf-8", "surrogateescape") + b"\0"
            self._handle.set_label(number, label)
        inode = self._handle.inode(number)
        if attributes.mode is not None:
            inode.mode = attributes.mode
        if attributes.uid is not None:
            inode.uid = attributes.uid
        if attributes.gid is not None:
            inode.gid = attributes.gid
        if born:
            inode.born(self._stamp)
        else:
            inode.touch(self._stamp, content=content)
        self._handle.write_inode(number, inode)

    def _touch_parent(self, number: int, links: int | None = None) -> None:
        inode = self._handle.inode(number)
        inode.touch(self._stamp, content=True)
        if links is not None:
            # With dir_nlink a directory of very many says 1; the library counts on from there.
            inode.links = links if links <= _MOST_LINKS else 1
        self._handle.write_inode(number, inode)

    def _more_links(self, number: int) -> None:
        full = self._handle.inode(number).links >= _MOST_LINKS
        if full and not self._handle.superblock.ro_compat & DIR_NLINK:
            raise ItemRefused("its directory holds as many directories as it can")

    def _blocks(self, length: int) -> int:
        """With the map that very large files need, generously."""
        count = -(-length // self._handle.superblock.block)
        return count + count // 200

    def _enough(self, *, blocks: int, inodes: int = 0) -> None:
        """Before the first change. ItemRefused when what is free (and not reserved for root) does not do."""
        room = self.room()
        if inodes > room.inodes:
            raise ItemRefused("the guest's file system has no free inode")
        if blocks + inodes > 0 and (blocks + _SPARE) * room.block > room.bytes:
            raise ItemRefused(f"the guest's file system is full: {room.bytes} bytes are free")


def _names(path: str) -> tuple[bytes, ...]:
    raw = path.encode("utf-8", "surrogateescape")
    names = tuple(name for name in raw.split(b"/") if name)
    if not raw.startswith(b"/") or b"\0" in raw or b"." in names or b".." in names:
        raise ItemRefused(f"{path!r} is no plain absolute path")
    return names


def _kind(inode: Inode) -> Kind:
    if inode.kind is None:
        raise GuestUnreadable("its file system is damaged: an inode is of no known kind")
    return inode.kind


def _names_in(block: bytes) -> Iterator[bytes]:
    """Of a directory's block. Blocks of an index look like ones with a single, unused entry."""
    at = 0
    while at + 8 <= len(block):
        number, length, size = struct.unpack_from("<IHB", block, at)
        # 64 KiB does not fit in the field, and is written as 65535 or 0.
        length = len(block) if length in (0, 65535) and len(block) == 65536 else length
        if length < 8 or length % 4 or at + length > len(block) or (number and 8 + size > length):
            raise GuestUnreadable("its file system is damaged: a directory's entries overlap")
        name = block[at + 8 : at + 8 + size]
        if number and name not in (b"", b".", b".."):
            yield name
        at += length
