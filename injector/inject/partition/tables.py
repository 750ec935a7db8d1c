"""Partition tables of a stranger's disk, read as its guest's kernel would: GPT, MBR with logical partitions, or none.

Everything here comes from the guest and may be hostile: what is read is bounded, a chain that returns to where it was
is refused, and nothing is computed that the disk's own size does not bound.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from injector.errors import GuestUnreadable
from injector.inject.partition import superblocks
from injector.model.facts import Partition
from injector.model.hostile import one_line

MOST_PARTITIONS = 128
"""More are refused: no image has them, and each costs a look."""

WHOLE_DISK = 0
"""The number of what is no partition but all of the disk."""

_SECTOR = 512
_GPT_SECTORS = (512, 4096)
_GPT_SIGNATURE = b"EFI PART"
_GPT_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_GPT_ENTRY = struct.Struct("<16s16sQQQ72s")
_GPT_MOST_BYTES = 1024 * 1024
_MBR_SIGNATURE = b"\x55\xaa"
_MBR_ENTRY = struct.Struct("<B3xB3xII")
_PROTECTIVE = 0xEE
_EXTENDED = frozenset({0x05, 0x0F, 0x85})
_HOLDERS = frozenset(f"{kind:02x}" for kind in _EXTENDED)
_FIRST_LOGICAL = 5


class Readable(Protocol):
    """What of a ``Disk`` is needed here."""

    @property
    def size(self) -> int: ...

    def read(self, start: int, length: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Table:
    """``kind`` is gpt, mbr or none; ``part_uuids`` by the partition's number, as ``PARTUUID=`` names them."""

    kind: str
    partitions: tuple[Partition, ...]
    part_uuids: dict[int, str]


@dataclass(frozen=True, slots=True)
class _Found:
    """A partition and its PARTUUID, on the way into a Table."""

    partition: Partition
    part_uuid: str


def read_table(disk: Readable) -> Table:
    """The table, each partition with the file system in it; a disk without one is one "partition" of number 0.

    Raises GuestUnreadable for a table that is damaged, hostile or larger than any real one.
    """
    boot = _read(disk, 0, _SECTOR)
    entries = _mbr_entries(boot)
    if any(entry.type == _PROTECTIVE for entry in entries):
        return _table("gpt", _gpt(disk), disk)
    if entries and not superblocks.is_fat(boot):
        return _table("mbr", _mbr(disk, boot, entries), disk)
    whole = superblocks.recognised(disk, Partition(WHOLE_DISK, 0, disk.size, ""))
    return Table("none", (whole,) if whole.filesystem else (), {})


def _table(kind: str, found: Iterator[_Found], disk: Readable) -> Table:
    listed: list[_Found] = []
    for one in found:
        if len(listed) == MOST_PARTITIONS:
            raise GuestUnreadable(f"the image has more than {MOST_PARTITIONS} partitions")
        listed.append(one)
    return Table(
        kind,
        tuple(_looked_into(disk, one.partition) for one in listed),
        {one.partition.number: one.part_uuid for one in listed},
    )


def _looked_into(disk: Readable, partition: Partition) -> Partition:
    """An extended partition holds partitions, and nothing itself."""
    return partition if partition.type in _HOLDERS else superblocks.recognised(disk, partition)


def _read(disk: Readable, start: int, length: int) -> bytes:
    """What is there of these bytes; empty beyond the end."""
    length = min(length, disk.size - start)
    return disk.read(start, length) if start >= 0 and length > 0 else b""


# GPT


@dataclass(frozen=True, slots=True)
class _Header:
    """What of a GPT header is needed: entries begin at ``entries`` (bytes); ``count`` of ``size`` bytes each."""

    sector: int
    alternate: int
    entries: int
    count: int
    size: int
    checksum: int


def _gpt(disk: Readable) -> Iterator[_Found]:
    for sector in _GPT_SECTORS:
        first = _header(disk, sector, 1)
        backups = {disk.size // sector - 1} | ({first.alternate} if first else set())
        headers = [first, *(_header(disk, sector, block) for block in sorted(backups))]
        for header in headers:
            if header is not None and (entries := _entries(disk, header)) is not None:
                return _gpt_partitions(disk, header, entries)
    raise GuestUnreadable("the image's partition table (GPT) is damaged, and so is its copy")


def _header(disk: Readable, sector: int, block: int) -> _Header | None:
    """The header in this block; None when there is none, or its checksum is wrong."""
    raw = _read(disk, sector * block, sector)
    if len(raw) < sector or not raw.startswith(_GPT_SIGNATURE):
        return None
    _, _, size, checksum, _, own, alternate, _, _, _, entries, count, each, entries_checksum = _GPT_HEADER.unpack_from(
        raw
    )
    if not _GPT_HEADER.size <= size <= sector or own != block:
        return None
    if zlib.crc32(raw[:16] + bytes(4) + raw[20:size]) != checksum:
        return None
    return _Header(sector, alternate, entries * sector, count, each, entries_checksum)


def _entries(disk: Readable, header: _Header) -> bytes | None:
    if header.size < _GPT_ENTRY.size or header.size % 8 or header.count * header.size > _GPT_MOST_BYTES:
        return None
    length = header.count * header.size
    raw = _read(disk, header.entries, length)
    return raw if len(raw) == length and zlib.crc32(raw) == header.checksum else None


def _gpt_partitions(disk: Readable, header: _Header, entries: bytes) -> Iterator[_Found]:
    for index in range(header.count):
        kind, unique, first, last, _, name = _GPT_ENTRY.unpack_from(entries, index * header.size)
        start, end = first * header.sector, (last + 1) * header.sector
        # As the kernel: an entry that is empty, upside down or reaches beyond the disk is no partition.
        if not any(kind) or first == 0 or first > last or end > disk.size:
            continue
        text = name.decode("utf-16-le", "replace").partition("\0")[0]
        guid = str(uuid.UUID(bytes_le=kind))
        yield _Found(
            Partition(index + 1, start, end - start, guid, one_line(text, 36) or None), str(uuid.UUID(bytes_le=unique))
        )


# MBR


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry of an MBR or EBR; ``start`` and ``size`` in sectors."""

    place: int
    type: int
    start: int
    size: int


def _mbr_entries(sector: bytes) -> tuple[_Entry, ...]:
    """Those in use; none when this is no partition table."""
    if len(sector) < _SECTOR or sector[510:] != _MBR_SIGNATURE:
        return ()
    raw = [_MBR_ENTRY.unpack_from(sector, 446 + 16 * place) for place in range(4)]
    if any(active & 0x7F for active, *_ in raw):
        return ()  # the kernel's own way to tell a table from a boot sector's code
    return tuple(_Entry(place, *rest) for place, (_, *rest) in enumerate(raw) if rest[0] and rest[2])


def _mbr(disk: Readable, boot: bytes, entries: tuple[_Entry, ...]) -> Iterator[_Found]:
    signature = struct.unpack_from("<I", boot, 440)[0]
    numbered = [(entry.place + 1, entry.start, entry) for entry in entries]
    for entry in entries:
        if entry.type in _EXTENDED:
            numbered += _logical(disk, entry, _FIRST_LOGICAL + sum(number >= _FIRST_LOGICAL for number, *_ in numbered))
    for number, first, entry in numbered:
        start, size = first * _SECTOR, entry.size * _SECTOR
        if start >= disk.size:
            continue
        partition = Partition(number, start, min(size, disk.size - start), f"{entry.type:02x}")
        yield _Found(partition, f"{signature:08x}-{number:02x}")


def _logical(disk: Readable, extended: _Entry, number: int) -> list[tuple[int, int, _Entry]]:
    """Number, first sector and entry of the partitions in an extended one: a chain of tables, each with one and a link.

    Links count from the extended partition's start, partitions from their own table.
    """
    found: list[tuple[int, int, _Entry]] = []
    here, seen = extended.start, set[int]()
    while True:
        if here in seen:
            raise GuestUnreadable("the image's chain of logical partitions returns to where it was")
        seen.add(here)
        if len(seen) > MOST_PARTITIONS:
            raise GuestUnreadable(f"the image has more than {MOST_PARTITIONS} partitions")
        entries = _mbr_entries(_read(disk, here * _SECTOR, _SECTOR))
        for entry in entries:
            if entry.type not in _EXTENDED:
                found.append((number + len(found), here + entry.start, entry))
        link = next((entry for entry in entries if entry.type in _EXTENDED), None)
        if link is None:
            return found
        here = extended.start + link.start
