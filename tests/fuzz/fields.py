"""The fields of ext's structures that a mutation aims at: offset and width in bytes; widths below 0 are big-endian."""

from __future__ import annotations

from collections.abc import Mapping

Field = tuple[int, int]

_SUPERBLOCK: Mapping[str, Field] = {
    "inodes": (0x00, 4), "blocks": (0x04, 4), "reserved": (0x08, 4), "free blocks": (0x0C, 4), "free inodes": (0x10, 4),
    "first block": (0x14, 4), "log block": (0x18, 4), "log cluster": (0x1C, 4), "blocks per group": (0x20, 4),
    "clusters per group": (0x24, 4), "inodes per group": (0x28, 4), "magic": (0x38, 2), "state": (0x3A, 2),
    "errors": (0x3C, 2), "creator": (0x48, 4), "revision": (0x4C, 4), "first inode": (0x54, 4), "inode size": (0x58, 2),
    "compat": (0x5C, 4), "incompat": (0x60, 4), "ro_compat": (0x64, 4), "uuid": (0x68, 4), "journal uuid": (0xD0, 4),
    "reserved descriptors": (0xCE, 2), "journal inode": (0xE0, 4), "journal device": (0xE4, 4), "orphan": (0xE8, 4),
    "hash seed": (0xEC, 4), "hash version": (0xFC, 1), "journal backup": (0xFD, 1), "descriptor size": (0xFE, 2),
    "first meta group": (0x104, 4), "blocks high": (0x150, 4), "reserved high": (0x154, 4), "free high": (0x158, 4),
    "least extra": (0x15C, 2), "wanted extra": (0x15E, 2), "flags": (0x160, 4), "raid stride": (0x164, 2),
    "log flex": (0x174, 1), "checksum type": (0x175, 1), "backups": (0x24C, 4), "seed": (0x270, 4),
    "orphan file": (0x280, 4), "checksum": (0x3FC, 4),
}  # fmt: skip

_DESCRIPTOR: Mapping[str, Field] = {
    "block bitmap": (0x00, 4), "inode bitmap": (0x04, 4), "inode table": (0x08, 4), "free blocks": (0x0C, 2),
    "free inodes": (0x0E, 2), "directories": (0x10, 2), "flags": (0x12, 2), "block checksum": (0x18, 2),
    "inode checksum": (0x1A, 2), "unused": (0x1C, 2), "checksum": (0x1E, 2),
}  # fmt: skip

_WIDE: Mapping[str, Field] = {"block bitmap high": (0x20, 4), "table high": (0x28, 4), "free high": (0x2C, 2)}

_INODE: Mapping[str, Field] = {
    "mode": (0x00, 2), "uid": (0x02, 2), "size": (0x04, 4), "gid": (0x18, 2), "links": (0x1A, 2), "sectors": (0x1C, 4),
    "flags": (0x20, 4), "version": (0x24, 4), "generation": (0x64, 4), "attributes": (0x68, 4), "size high": (0x6C, 4),
    "sectors high": (0x74, 2), "attributes high": (0x76, 2), "checksum": (0x7C, 2),
    **{f"block {slot}": (0x28 + 4 * slot, 4) for slot in range(15)},
    "extent magic": (0x28, 2), "extent entries": (0x2A, 2), "extent most": (0x2C, 2), "extent depth": (0x2E, 2),
    "extent first": (0x34, 4), "extent length": (0x38, 2), "extent high": (0x3A, 2), "extent start": (0x3C, 4),
}  # fmt: skip

_LARGE: Mapping[str, Field] = {"extra": (0x80, 2), "checksum high": (0x82, 2), "own attributes": (0xA0, 4)}

_MAP: Mapping[str, Field] = {
    "magic": (0, 2), "entries": (2, 2), "most": (4, 2), "depth": (6, 2), "first": (12, 4), "length": (16, 2),
    "high": (18, 2), "start": (20, 4), "second": (24, 4), "a pointer": (256, 4), "another": (64, 4),
}  # fmt: skip

_INDEX: Mapping[str, Field] = {
    "own length": (4, 2), "above length": (16, 2), "reserved": (0x18, 4), "hash": (0x1C, 1), "info": (0x1D, 1),
    "levels": (0x1E, 1), "limit": (0x20, 2), "count": (0x22, 2), "first block": (0x24, 4), "second hash": (0x28, 4),
    "second block": (0x2C, 4), "third block": (0x34, 4),
}  # fmt: skip

_ATTRIBUTES: Mapping[str, Field] = {
    "magic": (0, 4), "references": (4, 4), "blocks": (8, 4), "hash": (12, 4), "checksum": (16, 4),
    "name length": (32, 1), "index": (33, 1), "value offset": (34, 2), "value inode": (36, 4), "value size": (40, 4),
    "entry hash": (44, 4), "next": (52, 4),
}  # fmt: skip

_JOURNAL_SUPERBLOCK: Mapping[str, Field] = {
    "magic": (0, -4), "type": (4, -4), "sequence": (8, -4), "block size": (12, -4), "length": (16, -4),
    "first": (20, -4), "first sequence": (24, -4), "start": (28, -4), "error": (32, -4), "compat": (36, -4),
    "incompat": (40, -4), "ro_compat": (44, -4), "uuid": (48, -4), "users": (64, -4), "checksum type": (80, 1),
    "fast commits": (84, -4), "head": (88, -4), "checksum": (252, -4), "own feature": (0x50, 1),
}  # fmt: skip

_JOURNAL_BLOCK: Mapping[str, Field] = {
    "magic": (0, -4), "type": (4, -4), "sequence": (8, -4), "word 12": (12, -4), "word 16": (16, -4),
    "word 20": (20, -4), "word 24": (24, -4), "word 28": (28, -4), "word 36": (36, -4), "word 44": (44, -4),
}  # fmt: skip

_BY_KIND: Mapping[str, Mapping[str, Field]] = {
    "superblock": _SUPERBLOCK,
    "descriptor": _DESCRIPTOR,
    "inode": _INODE,
    "map": _MAP,
    "index root": _INDEX,
    "index": {"limit": (8, 2), "count": (10, 2), "first block": (12, 4), "second block": (20, 4)},
    "attributes": _ATTRIBUTES,
    "journal superblock": _JOURNAL_SUPERBLOCK,
}


def fields_of(kind: str, length: int) -> Mapping[str, Field]:
    """None for what is only bits or bytes."""
    if kind == "descriptor" and length == 64:
        return {**_DESCRIPTOR, **_WIDE}
    if kind == "inode" and length > 160:
        return {**_INODE, **_LARGE}
    if kind.startswith("journal ") and kind not in _BY_KIND:
        return _JOURNAL_BLOCK
    return _BY_KIND.get(kind, {})
