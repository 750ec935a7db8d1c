"""ISO9660 as it lies on the disk (ECMA-119, Joliet, SUSP 1.12, Rock Ridge): the records of an image, one by one.

Knows nothing of how the image was made. Damaged structures raise ValueError.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

Image = bytes | bytearray | memoryview

SECTOR = 2048
_FIRST_DESCRIPTOR = 16 * SECTOR
_ROOT_RECORD = 156
_DIRECTORY = 0x02
_MORE_EXTENTS = 0x80

_FIXED_PART = struct.Struct("<B x I 4x I 4x 7x B 6x B")

PRIMARY, SUPPLEMENTARY, TERMINATOR = 1, 2, 255


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A volume descriptor: its kind, and where in the image it begins."""

    kind: int
    offset: int


class Record(NamedTuple):
    """One directory record at ``offset``; ``start`` and ``size`` (bytes) are of the content it names."""

    offset: int
    identifier: bytes
    start: int
    size: int
    is_directory: bool
    system_use: tuple[int, int]

    @property
    def is_self_or_parent(self) -> bool:
        return self.identifier in (b"\x00", b"\x01")


def descriptors(image: Image) -> Iterator[Descriptor]:
    """The primary descriptor and the supplementary (Joliet) ones."""
    for offset in range(_FIRST_DESCRIPTOR, len(image), SECTOR):
        if image[offset + 1 : offset + 6] != b"CD001":
            raise ValueError("no volume descriptor where one must be")
        kind = image[offset]
        if kind == TERMINATOR:
            return
        if kind in (PRIMARY, SUPPLEMENTARY):
            yield Descriptor(kind, offset)
    raise ValueError("the volume descriptors do not end")


def root(image: Image, descriptor: Descriptor) -> Record:
    """The record of the root directory."""
    return _record(image, descriptor.offset + _ROOT_RECORD)


def children(image: Image, directory: Record) -> Iterator[Record]:
    """Every record in the directory, those of itself and its parent included."""
    offset, end = directory.start, directory.start + directory.size
    if end > len(image):
        raise ValueError("a directory lies outside the image")
    while offset < end:
        if image[offset] == 0:  # a record never crosses a sector: the rest of this one is empty
            offset += SECTOR - offset % SECTOR
            continue
        record = _record(image, offset)
        yield record
        offset += image[offset]


def _record(image: Image, offset: int) -> Record:
    length, extent, size, flags, name_length = _FIXED_PART.unpack_from(image, offset)
    if flags & _MORE_EXTENTS:
        raise ValueError("a file in several extents")
    name_end = offset + 33 + name_length
    padded = name_end + (name_length + 1) % 2
    if padded > offset + length or offset + length > len(image):
        raise ValueError("a directory record is cut off")
    return Record(
        offset=offset,
        identifier=bytes(image[offset + 33 : name_end]),
        start=extent * SECTOR,
        size=size,
        is_directory=bool(flags & _DIRECTORY),
        system_use=(padded, offset + length),
    )


def entries(image: Image, record: Record) -> Iterator[tuple[bytes, int, int]]:
    """The SUSP entries inside a record: signature, and where the entry begins and ends.

    Continuation areas are not followed: names on a drive are short enough for the record itself.
    """
    offset, end = record.system_use
    while offset + 4 <= end and image[offset + 2] >= 4:
        signature, stop = bytes(image[offset : offset + 2]), offset + image[offset + 2]
        if stop > end:
            raise ValueError("a system use entry is cut off")
        yield signature, offset, stop
        offset = stop
