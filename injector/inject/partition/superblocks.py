"""What lies in a partition, by its magic bytes: file systems and containers by blkid's names, with label and uuid.

A look at fixed places of bounded length. That a magic is there does not say that the rest is sound.
"""

from __future__ import annotations

import itertools
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from injector.model.facts import Partition
from injector.model.hostile import one_line

_HEAD = 0x11000
"""Covers the farthest superblock looked for, that of btrfs at 64 KiB."""

_LABEL = 64
_KIB = 1024


class Readable(Protocol):
    """What of a ``Disk`` is needed here."""

    def read(self, start: int, length: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Found:
    """Blkid's name of what was recognised, and what it calls itself."""

    filesystem: str
    label: str | None = None
    uuid: str | None = None


def recognised(disk: Readable, partition: Partition) -> Partition:
    """The same with what lies in it; unchanged when that is nothing known here."""
    head = disk.read(partition.start, min(_HEAD, partition.size))
    found = _mirrored(disk, partition) or _look(head)
    if found is None:
        return partition
    return replace(partition, filesystem=found.filesystem, label=found.label, uuid=found.uuid)


def is_fat(sector: bytes) -> bool:
    """Whether a boot sector with a signature is that of a FAT file system, not a partition table."""
    return _vfat(sector) is not None


def _look(head: bytes) -> Found | None:
    """Containers first: what is in one may shine through."""
    head = head.ljust(_HEAD, b"\0")
    for look in _LOOKS:
        found = look(head)
        if found is not None:
            return found
    return None


def _text(raw: bytes, encoding: str = "utf-8") -> str | None:
    return one_line(raw.decode(encoding, "replace").partition("\0")[0], _LABEL) or None


def _guid(raw: bytes) -> str | None:
    return str(uuid.UUID(bytes=raw)) if any(raw) else None


@dataclass(frozen=True, slots=True)
class _Magic:
    """A superblock known by ``magic`` at ``at``, with its uuid (16 bytes) and label somewhere."""

    name: str
    at: int
    magic: bytes
    uuid: int | None = None
    label: tuple[int, int] | None = None
    encoding: str = "utf-8"

    def __call__(self, head: bytes) -> Found | None:
        if not head.startswith(self.magic, self.at):
            return None
        label = self.label and _text(head[self.label[0] : sum(self.label)], self.encoding)
        return Found(self.name, label or None, None if self.uuid is None else _guid(head[self.uuid : self.uuid + 16]))


# Features that decide between the three names of ext, as blkid has it.
_EXT_HAS_JOURNAL = 0x4
_EXT_JOURNAL_DEVICE = 0x8
_EXT2_INCOMPAT = 0x2 | 0x10
_EXT3_INCOMPAT = _EXT2_INCOMPAT | 0x4
_EXT3_RO_COMPAT = 0x1 | 0x2 | 0x4


def _ext(head: bytes) -> Found | None:
    block = head[_KIB : 2 * _KIB]
    if block[0x38:0x3A] != b"\x53\xef":
        return None
    compat, incompat, ro_compat = struct.unpack_from("<III", block, 0x5C)
    if incompat & _EXT_JOURNAL_DEVICE:
        return Found("jbd", _text(block[0x78:0x88]), _guid(block[0x68:0x78]))
    if ro_compat & ~_EXT3_RO_COMPAT or incompat & ~_EXT3_INCOMPAT:
        name = "ext4"
    else:
        name = "ext3" if compat & _EXT_HAS_JOURNAL else "ext2"
    return Found(name, _text(block[0x78:0x88]), _guid(block[0x68:0x78]))


def _lvm(head: bytes) -> Found | None:
    for sector in range(0, 2048, 512):
        if head.startswith(b"LABELONE", sector) and head.startswith(b"LVM2 001", sector + 24):
            at = sector + min(struct.unpack_from("<I", head, sector + 20)[0], 480)
            letters = head[at : at + 32].decode("ascii", "replace")
            name = "-".join(letters[a:b] for a, b in itertools.pairwise((0, 6, 10, 14, 18, 22, 26, 32)))
            return Found("LVM2_member", None, one_line(name, 40))
    return None


def _luks(head: bytes) -> Found | None:
    if not head.startswith(b"LUKS\xba\xbe"):
        return None
    label = _text(head[24:72]) if head[6:8] == b"\0\2" else None
    return Found("crypto_LUKS", label, _text(head[168:208], "ascii"))


def _swap(head: bytes) -> Found | None:
    for page in (4096, 8192, 16384, 65536):
        if head[page - 10 : page] in (b"SWAPSPACE2", b"SWAP-SPACE"):
            return Found("swap", _text(head[1052:1068]), _guid(head[1036:1052]))
    return None


def _vfat(head: bytes) -> Found | None:
    if len(head) < 512 or head[510:512] != b"\x55\xaa" or head[0] not in (0xEB, 0xE9):
        return None
    sector, cluster, reserved, fats, media = struct.unpack_from("<HBHB4xB", head, 11)
    if sector not in (512, 1024, 2048, 4096) or cluster.bit_count() != 1 or not reserved or not 1 <= fats <= 2:
        return None
    if media != 0xF0 and media < 0xF8:
        return None
    at = 0x43 if head.startswith(b"FAT32   ", 0x52) else 0x27
    label = _text(head[at + 4 : at + 15], "ascii")
    (serial,) = struct.unpack_from("<I", head, at)
    return Found("vfat", None if label == "NO NAME" else label, f"{serial >> 16:04X}-{serial & 0xFFFF:04X}")


def _raid(block: bytes) -> Found | None:
    """A superblock of md's version 1."""
    if block[:8] != b"\xfc\x4e\x2b\xa9\1\0\0\0":
        return None
    return Found("linux_raid_member", _text(block[32:64]), _guid(block[16:32]))


def _mirrored(disk: Readable, partition: Partition) -> Found | None:
    """Half of a mirror looks like a file system from its start; its superblock is at its end (md's 0.90 and 1.0)."""
    newer = (partition.size // 512 - 16) // 8 * 4096
    older = partition.size // 65536 * 65536 - 65536
    if newer > 0 and (found := _raid(disk.read(partition.start + newer, 64))):
        return found
    if older > 0 and disk.read(partition.start + older, 8) == b"\xfc\x4e\x2b\xa9\0\0\0\0":
        return Found("linux_raid_member")
    return None


_BCACHEFS = bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")
_REISERFS, _JFS, _EROFS, _F2FS = 0x10000, 0x8000, _KIB, _KIB

_LOOKS: tuple[Callable[[bytes], Found | None], ...] = (
    _raid,
    lambda head: _raid(head[4096:]),
    _luks,
    _lvm,
    _Magic("BitLocker", 3, b"-FVE-FS-"),
    _Magic("xfs", 0, b"XFSB", 32, (108, 12)),
    _Magic("squashfs", 0, b"hsqs"),
    _ext,
    _Magic("btrfs", 0x10040, b"_BHRfS_M", 0x10020, (0x1012B, 256)),
    _Magic("erofs", _EROFS, b"\xe2\xe1\xf5\xe0", _EROFS + 48, (_EROFS + 64, 16)),
    _Magic("f2fs", _F2FS, b"\x10\x20\xf5\xf2", _F2FS + 108, (_F2FS + 124, 128), "utf-16-le"),
    _Magic("bcachefs", 4096 + 24, _BCACHEFS, 4096 + 56, (4096 + 72, 32)),
    _Magic("reiserfs", _REISERFS + 52, b"ReIsEr", _REISERFS + 84, (_REISERFS + 100, 16)),
    _Magic("jfs", _JFS, b"JFS1", _JFS + 136, (_JFS + 152, 16)),
    _swap,
    _Magic("iso9660", 0x8001, b"CD001", None, (0x8028, 32)),
    _Magic("ntfs", 3, b"NTFS    "),
    _Magic("exfat", 3, b"EXFAT   "),
    _vfat,
)
