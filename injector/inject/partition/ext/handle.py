"""A file system as libext2fs has it open: its calls, with errors raised, on inode numbers and bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ctypes import (
    byref,
    c_int,
    c_size_t,
    c_uint,
    c_uint32,
    c_uint64,
    c_void_p,
    create_string_buffer,
    memmove,
    string_at,
)
from typing import Any

from injector.errors import CannotServe, GuestUnreadable, InternalError, ItemRefused
from injector.inject.partition.ext import library as lib
from injector.inject.partition.ext.channel import Channel
from injector.inject.partition.ext.features import EXTENT, META_BG, METADATA_CSUM, UNINIT_BG, Superblock
from injector.inject.partition.ext.ground import Ground, groups_in
from injector.inject.partition.ext.inode import Inode

ROOT = 2
_WRITABLE = 0x01
_BITS64 = 0x20000
_BIT_ARRAY = 1
_SMALL_BITMAP = 1 << 28
_FILE_WRITE = 1
_RAW_ATTRIBUTES = 1
_UNINITIALISED = 1
_READ_ONLY = 8
_ABORT = 2
MOST_BLOCKS = (1 << 20) + (1 << 13)
"""Of a file that is walked over: 1 GiB in the smallest blocks, and what maps them."""
_LABEL = b"security.selinux"
_LARGEST_EXTRA = 32


_walks: dict[int, list[tuple[int, int]]] = {}
"""Walks over a file's blocks that are going on, by its inode."""


def _step(_fs: int, block: Any, place: int, _reference: int, _offset: int, number: int) -> int:
    walk = _walks[number]
    walk.append((place, block[0]))
    return _ABORT if len(walk) > MOST_BLOCKS else 0


# Made now, as those of the channel.
_each_block = lib.EachBlock(_step)


class Handle:
    """One opening. ``close`` lets go of the library's memory and writes nothing; ``flush`` writes to the channel."""

    def __init__(self, channel: Channel, found: Superblock, *, writable: bool, stamp: int) -> None:
        self.superblock = found
        self._library = lib.library()
        self._channel = channel
        self._fs = lib.FilesystemPointer()
        self._ground: Ground | None = None
        self._trusted = set[int]()
        flags = _BITS64 | (_WRITABLE if writable else 0)
        self._call("ext2fs_open", channel.name, flags, 0, 0, channel.manager, byref(self._fs), bare=True)
        self._expect(found)
        self._fs[0].now = stamp
        if found.blocks <= _SMALL_BITMAP:
            # A tree of runs, the default, costs more to fill than these few megabytes.
            self._fs[0].default_bitmap_type = _BIT_ARRAY

    def close(self) -> None:
        if self._fs:
            self._library.ext2fs_free(self._fs)
            self._fs = lib.FilesystemPointer()

    def flush(self) -> None:
        self._call("ext2fs_flush")

    # Reading

    def lookup(self, directory: int, name: bytes) -> int | None:
        found = c_uint32()
        code = self._code("ext2fs_lookup", directory, name, len(name), None, byref(found))
        if code == lib.FILE_NOT_FOUND:
            return None
        self._raise(code)
        return found.value

    def inode(self, number: int) -> Inode:
        raw = bytearray(self.superblock.inode_size)
        view = (c_uint32 * (len(raw) // 4)).from_buffer(raw)
        self._call("ext2fs_read_inode_full", number, view, len(raw))
        del view
        return Inode(raw)

    def content(self, number: int, length: int) -> bytes:
        """At most that many bytes from the beginning."""
        buffer = create_string_buffer(length)
        got = c_uint()
        with self._file(number, 0) as file:
            self._bare("ext2fs_file_read", file, buffer, length, byref(got))
        return buffer.raw[: got.value]

    def directory_blocks(self, number: int, inode: Inode) -> Iterator[bytes]:
        """One after the other, checksums verified."""
        block = self.superblock.block
        buffer = create_string_buffer(block)
        for logical in range(-(-inode.size // block)):
            physical, flags = c_uint64(), c_int()
            self._call("ext2fs_bmap2", number, None, None, 0, logical, byref(flags), byref(physical))
            if physical.value == 0 or flags.value & _UNINITIALISED:
                raise GuestUnreadable("its file system is damaged: a directory has a hole")
            self._call("ext2fs_read_dir_block4", physical.value, buffer, 0, number)
            yield buffer.raw

    def blocks_of(self, number: int) -> list[tuple[int, int]]:
        """Every block of a file, those of its map included: (place in the file or negative, block)."""
        walk = _walks[number] = []
        try:
            self._call("ext2fs_block_iterate3", number, _READ_ONLY, None, _each_block, number)
        finally:
            del _walks[number]
        if len(walk) > MOST_BLOCKS:
            raise CannotServe(f"its file of inode {number} has more than {MOST_BLOCKS} blocks")
        return walk

    def label(self, number: int) -> bytes | None:
        value, length = c_void_p(), c_size_t()
        with _Attributes(self, number) as attributes:
            code = self._library.ext2fs_xattr_get(attributes, _LABEL, byref(value), byref(length))
        if code == lib.KEY_NOT_FOUND:
            return None
        self._raise(code)
        try:
            return string_at(value, length.value) if value.value else b""
        finally:
            if value.value:
                lib.free(value.value)

    def free(self) -> tuple[int, int]:
        """Blocks and inodes, counted over the groups: a kernel keeps the superblock's own sums only now and then."""
        size = self.superblock.descriptor_size
        raw = string_at(self._fs[0].group_desc, self.superblock.groups * size)
        layout = "<12xHH16x" if size == 32 else "<12xHH28xHH16x"
        blocks = inodes = 0
        for low_blocks, low_inodes, *high in struct.iter_unpack(layout, raw):
            blocks += low_blocks | (high[0] << 16 if high else 0)
            inodes += low_inodes | (high[1] << 16 if high else 0)
        return blocks, inodes

    # Changing: ``need_bitmaps`` first

    def need_bitmaps(self) -> None:
        """And trust in them and in the group descriptors: the library takes a bitmap outside for one of free blocks."""
        if self._ground is not None:
            return
        self._call("ext2fs_check_desc")
        if self.superblock.ro_compat & (UNINIT_BG | METADATA_CSUM):
            for group in range(self.superblock.groups):
                if not self._library.ext2fs_group_desc_csum_verify(self._fs, group):
                    raise GuestUnreadable(f"its file system is damaged: the checksum of block group {group} is wrong")
        self._call("ext2fs_read_bitmaps")
        blocks, inodes = self.free()
        summary = self._fs[0].super
        if self._library.ext2fs_free_blocks_count(summary) != blocks:
            self._library.ext2fs_free_blocks_count_set(summary, blocks)
        memmove(summary + 0x10, struct.pack("<I", inodes), 4)
        self._ground = self._surveyed()

    def _surveyed(self) -> Ground:
        superblock, fs = self.superblock, self._fs[0]
        count = superblock.blocks - superblock.first_block
        blocks = create_string_buffer(-(-count // 8))
        inodes = create_string_buffer(-(-superblock.inodes // 8))
        self._bare("ext2fs_get_block_bitmap_range2", fs.block_map, superblock.first_block, count, blocks)
        self._bare("ext2fs_get_inode_bitmap_range2", fs.inode_map, 1, superblock.inodes, inodes)
        raw = string_at(fs.group_desc, superblock.groups * superblock.descriptor_size)
        groups = groups_in(raw, superblock.descriptor_size)
        return Ground(superblock, groups, blocks.raw, inodes.raw, self._backups(), fs.inode_blocks_per_group)

    def _backups(self) -> Iterator[tuple[int, int]]:
        """Blocks of the superblocks and of the descriptors, as first block and count."""
        superblock, summary = self.superblock, self._fs[0].super
        whole = self._fs[0].desc_blocks + int.from_bytes(string_at(summary + 0xCE, 2), "little")
        if superblock.incompat & META_BG:
            whole = int.from_bytes(string_at(summary + 0x104, 4), "little")
        for group in range(superblock.groups):
            own, old, new, used = c_uint64(), c_uint64(), c_uint64(), c_uint()
            places = byref(own), byref(old), byref(new)
            self._call("ext2fs_super_and_bgd_loc2", group, *places, byref(used))
            yield from ((own.value, 1),) if own.value or group == 0 else ()
            yield from ((old.value, whole),) if old.value else ()
            yield from ((new.value, 1),) if new.value else ()

    def _sure(self) -> Ground:
        if self._ground is None:
            raise InternalError("a file system is changed before its bitmaps were read")
        return self._ground

    def _trust(self, number: int) -> None:
        """That the blocks of a file or directory are its own."""
        if number not in self._trusted:
            self._sure().require_foreign(block for _, block in self.blocks_of(number))
            self._trusted.add(number)

    def write_inode(self, number: int, inode: Inode) -> None:
        self._call("ext2fs_write_inode_full", number, bytes(inode.raw), len(inode.raw))

    def new_inode(self, directory: int) -> int:
        found = c_uint32()
        self._call("ext2fs_new_inode", directory, 0, None, byref(found))
        if self._sure().was_used(found.value) and self.inode(found.value).links:
            raise GuestUnreadable(f"its file system is damaged: inode {found.value} is free by its bitmap, and in use")
        return found.value

    def take_inode(self, number: int) -> None:
        self._library.ext2fs_inode_alloc_stats2(self._fs, number, 1, 0)
        self._raise(0)

    @property
    def extra_size(self) -> int:
        """Bytes of fields that a new inode has after its first 128."""
        wanted = int.from_bytes(string_at(self._fs[0].super + 0x15E, 2), "little")
        room = self.superblock.inode_size - 128
        return min(room, wanted if wanted >= 4 and wanted % 4 == 0 else _LARGEST_EXTRA)

    @property
    def extents(self) -> bool:
        return bool(self.superblock.incompat & EXTENT)

    def make_directory(self, parent: int, number: int) -> None:
        """The directory and its own two names, and the parent's count of links; not its name in the parent."""
        self._call("ext2fs_mkdir", parent, number, None)

    def link(self, directory: int, name: bytes, number: int, file_type: int) -> None:
        self._trust(directory)
        code = self._code("ext2fs_link", directory, name, number, file_type)
        if code == lib.DIR_NO_SPACE:
            self._raise(0)
            self._call("ext2fs_expand_dir", directory)
            code = self._code("ext2fs_link", directory, name, number, file_type)
        self._raise(code)

    def empty(self, number: int, inode: Inode) -> None:
        """Of all content, the blocks that map it included.

        Not by ext2fs_punch: up to 1.47.2 it does not free a file system's last block, and takes too much of a map
        of blocks (e2fsprogs 509da989, c49656b1).
        """
        blocks = [block for _, block in self.blocks_of(number)]
        # The walk ends quietly at a map that it cannot read.
        if len(blocks) != inode.content_blocks(self.superblock.block):
            raise GuestUnreadable(f"its file system is damaged: inode {number} does not say how many blocks it has")
        for block in blocks:
            if not 0 < block < self.superblock.blocks:
                raise GuestUnreadable("its file system is damaged: a file lies outside of it")
        self._sure().require_foreign(blocks)
        for block in blocks:
            self._library.ext2fs_block_alloc_stats2(self._fs, block, -1)
        inode.empty(self.superblock.block)
        self.write_inode(number, inode)

    def fill(self, number: int, content: bytes) -> None:
        """An empty file."""
        if not content:
            return
        written = c_uint()
        with self._file(number, _FILE_WRITE) as file:
            self._bare("ext2fs_file_write", file, content, len(content), byref(written))
            if written.value != len(content):
                raise ItemRefused("the guest's file system is full")

    def set_label(self, number: int, label: bytes) -> None:
        if block := self.inode(number).attribute_block:
            self._sure().require_foreign((block,))
        with _Attributes(self, number) as attributes:
            self._bare("ext2fs_xattr_set", attributes, _LABEL, label, len(label))

    # Calling

    def _file(self, number: int, flags: int) -> _File:
        return _File(self, number, flags)

    def _call(self, name: str, *arguments: Any, bare: bool = False) -> None:
        self._raise(getattr(self._library, name)(*arguments) if bare else self._code(name, *arguments))

    def _bare(self, name: str, *arguments: Any) -> None:
        self._call(name, *arguments, bare=True)

    def _code(self, name: str, *arguments: Any) -> int:
        return int(getattr(self._library, name)(self._fs, *arguments))

    def _raise(self, code: int) -> None:
        """What happened in the channel comes first: the library makes something else of it, or says nothing."""
        if self._channel.error is not None:
            raise self._channel.error
        if code:
            raise lib.failure(code)

    def _expect(self, found: Superblock) -> None:
        """The library's structures are laid out as they are declared here, or nothing is done with them."""
        fs = self._fs[0]
        seen = (fs.magic, fs.blocksize, fs.group_desc_count, fs.umask, fs.now)
        if seen != (lib.FILESYSTEM_MAGIC, found.block, found.groups, 0o22, 0):
            raise InternalError("libext2fs keeps a file system in another form than it is known here")


class _File:
    """An open file of the library, closed whatever happens; closing writes the last block."""

    def __init__(self, handle: Handle, number: int, flags: int) -> None:
        self._handle = handle
        self._file = c_void_p()
        handle._call("ext2fs_file_open", number, flags, byref(self._file))

    def __enter__(self) -> c_void_p:
        return self._file

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        code = self._handle._library.ext2fs_file_close(self._file)
        if kind is None:
            self._handle._raise(code)


class _Attributes:
    """The extended attributes of an inode, read."""

    def __init__(self, handle: Handle, number: int) -> None:
        self._handle = handle
        self._number = number
        self._attributes = c_void_p()

    def __enter__(self) -> c_void_p:
        self._handle._call("ext2fs_xattrs_open", self._number, byref(self._attributes))
        raw = c_uint(_RAW_ATTRIBUTES)
        try:
            # Else the library turns access lists into another form, and back when another attribute is written.
            self._handle._bare("ext2fs_xattrs_flags", self._attributes, byref(raw), None)
            self._handle._bare("ext2fs_xattrs_read", self._attributes)
        except BaseException:
            self.__exit__()
            raise
        return self._attributes

    def __exit__(self, *_exception: object) -> None:
        self._handle._library.ext2fs_xattrs_close(byref(self._attributes))
