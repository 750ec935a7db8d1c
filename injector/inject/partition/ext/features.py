"""What a superblock says, and whether this back end edits such a file system; pure, on its 1024 bytes.

It is looked at here before libext2fs gets to see it. Names of flags as in mke2fs(8) and ext4(5).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from injector.errors import CannotServe, GuestUnreadable

SUPERBLOCK_AT = 1024
SUPERBLOCK_SIZE = 1024
INCOMPAT_AT = 0x60

_MAGIC = 0xEF53
_LINUX = 0
_DYNAMIC = 1
_CRC32C = 1

_CLEAN = 0x0001
_ERRORS = 0x0002
_HALF_DONE = 0x0004 | 0x0020
"""Somebody stopped while recovering orphans, or while replaying a fast commit."""

HAS_JOURNAL = 0x0004
FAST_COMMIT = 0x0400
NEEDS_RECOVERY = 0x0004
META_BG = 0x0010
EXTENT = 0x0040
BIT64 = 0x0080
UNINIT_BG = 0x0010
DIR_NLINK = 0x0020
METADATA_CSUM = 0x0400

_COMPAT = {
    0x0001: "dir_prealloc",
    0x0002: "imagic_inodes",
    HAS_JOURNAL: "has_journal",
    0x0008: "ext_attr",
    0x0010: "resize_inode",
    0x0020: "dir_index",
    0x0040: "lazy_bg",
    0x0100: "snapshot_bitmap",
    0x0200: "sparse_super2",
    FAST_COMMIT: "fast_commit",
    0x0800: "stable_inodes",
    0x1000: "orphan_file",
}
_INCOMPAT = {
    0x0001: "compression",
    0x0002: "filetype",
    NEEDS_RECOVERY: "needs_recovery",
    0x0008: "journal_dev",
    META_BG: "meta_bg",
    EXTENT: "extent",
    BIT64: "64bit",
    0x0100: "mmp",
    0x0200: "flex_bg",
    0x0400: "ea_inode",
    0x1000: "dirdata",
    0x2000: "metadata_csum_seed",
    0x4000: "large_dir",
    0x8000: "inline_data",
    0x10000: "encrypt",
    0x20000: "casefold",
}
_RO_COMPAT = {
    0x0001: "sparse_super",
    0x0002: "large_file",
    0x0008: "huge_file",
    UNINIT_BG: "uninit_bg",
    DIR_NLINK: "dir_nlink",
    0x0040: "extra_isize",
    0x0080: "has_snapshot",
    0x0100: "quota",
    0x0200: "bigalloc",
    METADATA_CSUM: "metadata_csum",
    0x0800: "replica",
    0x1000: "read-only",
    0x2000: "project",
    0x4000: "shared_blocks",
    0x8000: "verity",
    0x10000: "orphan_present",
}

_EDITED = frozenset(
    {
        "has_journal", "ext_attr", "resize_inode", "dir_index", "sparse_super2", "fast_commit", "orphan_file",
        "filetype", "needs_recovery", "extent", "64bit", "flex_bg", "meta_bg", "metadata_csum_seed", "large_dir",
        "sparse_super", "large_file", "huge_file", "uninit_bg", "dir_nlink", "extra_isize", "metadata_csum",
        "orphan_present",
    }
)  # fmt: skip
"""What mke2fs of Debian, Ubuntu and Fedora makes, and what a kernel adds to it; the tests edit each of them.

Orphans (of ``orphan_file``, or of the older list) are inodes still marked in use: no edit takes one, and the guest's
kernel ends them as it would have.
"""

_EXT2_INCOMPAT = 0x0002 | 0x0010
_EXT3_INCOMPAT = _EXT2_INCOMPAT | NEEDS_RECOVERY
_EXT2_RO_COMPAT = 0x0001 | 0x0002 | 0x0004


@dataclass(frozen=True, slots=True)
class Superblock:
    """Of the fields, those that are used; sizes in bytes, ``groups`` of blocks."""

    block: int
    blocks: int
    reserved: int
    inodes: int
    inode_size: int
    first_inode: int
    groups: int
    descriptor_size: int
    state: int
    compat: int
    incompat: int
    ro_compat: int
    journal_inode: int
    external_journal: bool
    inodes_per_group: int
    orphan_file: int
    first_block: int
    blocks_per_group: int

    @property
    def name(self) -> str:
        """ext2, ext3 or ext4, by the rule of blkid."""
        if self.ro_compat & ~_EXT2_RO_COMPAT:
            return "ext4"
        if self.compat & HAS_JOURNAL:
            return "ext4" if self.incompat & ~_EXT3_INCOMPAT else "ext3"
        return "ext4" if self.incompat & ~_EXT2_INCOMPAT else "ext2"

    @property
    def needs_recovery(self) -> bool:
        return bool(self.incompat & NEEDS_RECOVERY)

    @property
    def private(self) -> frozenset[int]:
        """Inodes of the file system itself, which no name leads to."""
        return frozenset({self.journal_inode, self.orphan_file} - {0})


def examine(raw: bytes, size: int) -> Superblock:
    """The superblock, if it is sound and this back end edits what it describes; ``size`` of its partition in bytes.

    Raises CannotServe naming the feature, GuestUnreadable for what is damaged.
    """
    if len(raw) < SUPERBLOCK_SIZE or _short(raw, 0x38) != _MAGIC:
        raise CannotServe("there is no ext2, ext3 or ext4 file system")
    _refuse_features(raw)
    _refuse_oddities(raw)
    found = _parse(raw)
    _refuse_geometry(raw, found, size)
    _refuse_state(found)
    return found


def _refuse_features(raw: bytes) -> None:
    refused = (
        *_not_edited(_word(raw, 0x5C), _COMPAT, "compat"),
        *_not_edited(_word(raw, 0x60), _INCOMPAT, "incompat"),
        *_not_edited(_word(raw, 0x64), _RO_COMPAT, "ro_compat"),
    )
    if refused:
        raise CannotServe(f"its file system uses {', '.join(refused)}")
    if _word(raw, 0x5C) & FAST_COMMIT and _word(raw, 0x60) & NEEDS_RECOVERY:
        raise CannotServe("its journal needs recovery and may hold fast commits (fast_commit)")


def _not_edited(flags: int, names: Mapping[int, str], kind: str) -> list[str]:
    found = [bit for bit in (1 << place for place in range(32)) if flags & bit and names.get(bit) not in _EDITED]
    return [names.get(bit, f"an unknown feature ({kind} {bit:#x})") for bit in found]


def _refuse_oddities(raw: bytes) -> None:
    """What is sound, and nothing that a distribution makes."""
    if _word(raw, 0x4C) != _DYNAMIC:
        raise CannotServe(f"its file system is of revision {_word(raw, 0x4C)}")
    if _word(raw, 0x48) != _LINUX:
        raise CannotServe("its file system was not made for Linux")
    if _word(raw, 0x64) & METADATA_CSUM and raw[0x175] != _CRC32C:
        raise CannotServe(f"its file system has checksums of an unknown kind ({raw[0x175]})")
    if _word(raw, 0x60) & BIT64 and _short(raw, 0xFE) != 64:
        raise CannotServe(f"its group descriptors have {_short(raw, 0xFE)} bytes")


def _parse(raw: bytes) -> Superblock:
    bits = _word(raw, 0x60)
    high = bits & BIT64
    log_block = _word(raw, 0x18)
    blocks = _word(raw, 0x04) | (_word(raw, 0x150) << 32 if high else 0)
    per_group = _word(raw, 0x20)
    first = _word(raw, 0x14)
    if log_block > 6 or per_group == 0 or first >= blocks:
        raise GuestUnreadable("its superblock makes no sense: size of blocks or of block groups")
    return Superblock(
        block=1024 << log_block,
        blocks=blocks,
        reserved=_word(raw, 0x08) | (_word(raw, 0x154) << 32 if high else 0),
        inodes=_word(raw, 0x00),
        inode_size=_short(raw, 0x58),
        first_inode=_word(raw, 0x54),
        groups=-(-(blocks - first) // per_group),
        descriptor_size=64 if high else 32,
        state=_short(raw, 0x3A),
        compat=_word(raw, 0x5C),
        incompat=bits,
        ro_compat=_word(raw, 0x64),
        journal_inode=_word(raw, 0xE0) if _word(raw, 0x5C) & HAS_JOURNAL else 0,
        external_journal=_word(raw, 0xE4) != 0 or any(raw[0xD0:0xE0]),
        inodes_per_group=_word(raw, 0x28),
        orphan_file=_word(raw, 0x280),
        first_block=first,
        blocks_per_group=per_group,
    )


def _refuse_geometry(raw: bytes, found: Superblock, size: int) -> None:
    if found.blocks * found.block > size:
        raise GuestUnreadable(f"its file system is larger ({found.blocks * found.block} bytes) than its partition")
    per_group = _word(raw, 0x20)
    sound = (
        _word(raw, 0x1C) == _word(raw, 0x18)
        and _word(raw, 0x24) == per_group
        and _word(raw, 0x14) == (1 if found.block == 1024 else 0)
        and 8 <= per_group <= 8 * found.block
        and per_group % 8 == 0
        and 8 <= found.inodes_per_group <= 8 * found.block
        and found.inodes_per_group % 8 == 0
        and found.inodes == found.groups * found.inodes_per_group
        and 128 <= found.inode_size <= found.block
        and found.inode_size & (found.inode_size - 1) == 0
        and 11 <= found.first_inode <= found.inodes
        and raw[0x174] <= 31
    )
    if not sound:
        raise GuestUnreadable("its superblock makes no sense: counts and sizes that do not belong together")


def _refuse_state(found: Superblock) -> None:
    if found.compat & HAS_JOURNAL and (found.external_journal or not found.journal_inode):
        raise CannotServe("its journal lies on another device")
    if found.needs_recovery and not found.compat & HAS_JOURNAL:
        raise GuestUnreadable("its file system needs recovery and has no journal")
    if found.state & (_ERRORS | _HALF_DONE):
        raise GuestUnreadable("its file system is marked as having errors: it needs e2fsck")
    if not found.compat & HAS_JOURNAL and not found.state & _CLEAN:
        raise GuestUnreadable("its file system was not cleanly unmounted and has no journal: it needs e2fsck")


def _word(raw: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", raw, at)[0])


def _short(raw: bytes, at: int) -> int:
    return int(struct.unpack_from("<H", raw, at)[0])
