"""An inode's bytes and what they mean (struct ext2_inode_large of ext2_fs.h); pure."""

from __future__ import annotations

import stat
import struct

from injector.inject.partition.filesystem import Kind

SMALL = 128
"""Bytes of the first inodes there were; what comes after them has its own length."""

EXTENTS = 0x00080000
_HUGE = 0x00040000
"""Its size on disk is counted in blocks, not in units of 512 bytes."""
_INDEX_MAGIC = 0xEA020000
_EXTENT_HEADER = struct.pack("<HHHHI", 0xF30A, 0, 4, 0, 0) + bytes(48)
_NOT_PLAIN = {
    0x00000004: "compressed",
    0x00000800: "encrypted",
    0x00100000: "sealed by fs-verity",
    0x00200000: "an attribute's value",
    0x10000000: "kept in its inode",
    0x40000000: "case-folded",
}
_KINDS = {stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.DIRECTORY, stat.S_IFLNK: Kind.LINK}
_OTHERS = frozenset({stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK})


class Inode:
    """A view on a bytearray of the size that this file system's inodes have; the setters change it."""

    def __init__(self, raw: bytearray) -> None:
        self.raw = raw

    @property
    def kind(self) -> Kind | None:
        """None for what no kernel makes."""
        form = stat.S_IFMT(self._short(0))
        return Kind.OTHER if form in _OTHERS else _KINDS.get(form)

    @property
    def mode(self) -> int:
        return stat.S_IMODE(self._short(0))

    @mode.setter
    def mode(self, mode: int) -> None:
        struct.pack_into("<H", self.raw, 0, stat.S_IFMT(self._short(0)) | mode & 0o7777)

    @property
    def uid(self) -> int:
        return self._short(0x02) | self._short(0x78) << 16

    @uid.setter
    def uid(self, uid: int) -> None:
        struct.pack_into("<H", self.raw, 0x02, uid & 0xFFFF)
        struct.pack_into("<H", self.raw, 0x78, uid >> 16)

    @property
    def gid(self) -> int:
        return self._short(0x18) | self._short(0x7A) << 16

    @gid.setter
    def gid(self, gid: int) -> None:
        struct.pack_into("<H", self.raw, 0x18, gid & 0xFFFF)
        struct.pack_into("<H", self.raw, 0x7A, gid >> 16)

    @property
    def size(self) -> int:
        return self._word(0x04) | self._word(0x6C) << 32

    @property
    def links(self) -> int:
        return self._short(0x1A)

    @links.setter
    def links(self, links: int) -> None:
        struct.pack_into("<H", self.raw, 0x1A, links)

    def content_blocks(self, block: int) -> int:
        """How many it occupies, in a file system of such blocks, with those that map it and without its attributes."""
        count = self._word(0x1C) | self._short(0x74) << 32
        if not self._word(0x20) & _HUGE:
            count = count * 512 // block
        return count - (1 if self.attribute_block else 0)

    @property
    def attribute_block(self) -> int:
        return self._word(0x68) | self._short(0x76) << 32

    @property
    def pointers(self) -> bytes:
        """Where its blocks are; of a short link, its target."""
        return bytes(self.raw[0x28:0x64])

    @property
    def has_attributes(self) -> bool:
        """Whether a look at its extended attributes can find something."""
        if self.attribute_block:
            return True
        at = SMALL + self._extra
        return self._extra >= 4 and at + 8 <= len(self.raw) and self._word(at) == _INDEX_MAGIC

    @property
    def strange(self) -> str | None:
        """How its content is kept, when that is not in blocks of its own."""
        flags = self._word(0x20)
        return next((what for bit, what in _NOT_PLAIN.items() if flags & bit), None)

    def empty(self, block: int) -> None:
        """Without content, in a file system of such blocks; its attributes keep theirs."""
        flags = self._word(0x20) & ~_HUGE
        own = block // 512 if self.attribute_block else 0
        struct.pack_into("<I", self.raw, 0x04, 0)
        struct.pack_into("<I", self.raw, 0x6C, 0)
        struct.pack_into("<I", self.raw, 0x1C, own)
        struct.pack_into("<H", self.raw, 0x74, 0)
        struct.pack_into("<I", self.raw, 0x20, flags)
        self.raw[0x28:0x64] = _EXTENT_HEADER if flags & EXTENTS else bytes(60)

    def touch(self, stamp: int, *, content: bool) -> None:
        """Changed at ``stamp``: its attributes, and its content too."""
        self._time(0x0C, 0x84, stamp)
        if content:
            self._time(0x10, 0x88, stamp)

    def born(self, stamp: int) -> None:
        self._time(0x08, 0x8C, stamp)
        self._time(0x90, 0x94, stamp)
        self.touch(stamp, content=True)

    @property
    def _extra(self) -> int:
        return self._short(SMALL) if len(self.raw) > SMALL else 0

    def _time(self, at: int, extra_at: int, stamp: int) -> None:
        """Seconds in 34 bits, as the kernel has them: the low 32 signed, and how many times they went round."""
        low = (stamp + 0x80000000 & 0xFFFFFFFF) - 0x80000000
        if at < SMALL or at + 4 <= SMALL + self._extra:
            struct.pack_into("<i", self.raw, at, low)
        if extra_at + 4 <= SMALL + self._extra:
            struct.pack_into("<I", self.raw, extra_at, (stamp - low) >> 32 & 3)

    def _word(self, at: int) -> int:
        return int(struct.unpack_from("<I", self.raw, at)[0])

    def _short(self, at: int) -> int:
        return int(struct.unpack_from("<H", self.raw, at)[0])


def new_file(size: int, *, extents: bool, extra: int) -> Inode:
    """An empty regular file 0644 of root with one name; ``extra``: bytes of fields after the first 128."""
    inode = Inode(bytearray(size))
    struct.pack_into("<H", inode.raw, 0, stat.S_IFREG | 0o644)
    inode.links = 1
    if extents:
        struct.pack_into("<I", inode.raw, 0x20, EXTENTS)
        inode.raw[0x28:0x64] = _EXTENT_HEADER
    if size > SMALL:
        struct.pack_into("<H", inode.raw, SMALL, extra)
    return inode
