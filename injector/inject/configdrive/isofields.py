"""What an ISO9660 disk is written from: numbers, dates, records and descriptors (ECMA-119, Joliet, SUSP, Rock Ridge).

Pure, and shares nothing with the reader in ``ecma119``: what one of them gets wrong, the other must notice.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime

SECTOR = 2048
FILE_MODE = 0o100444
DIRECTORY_MODE = 0o040555

SELF, PARENT = b"\x00", b"\x01"
_IS_DIRECTORY = 0x02
_RECORD_LIMIT = 255

PRIMARY, JOLIET = 1, 2
TERMINATOR = b"\xffCD001\x01".ljust(SECTOR, b"\x00")
_JOLIET_LEVEL_3 = b"%/E"
_NOT_GIVEN = b"0" * 16 + b"\x00"


@dataclass(frozen=True, slots=True)
class Extent:
    """Where something lies: its first sector, and its size in bytes."""

    sector: int
    size: int


@dataclass(frozen=True, slots=True)
class Moment:
    """One date in the two forms of ECMA-119 (8.4.26 and 9.1.5), in UTC to the second."""

    long: bytes
    short: bytes

    @classmethod
    def of(cls, date: datetime) -> Moment:
        """``date`` is aware."""
        utc = date.astimezone(UTC)
        short = bytes((utc.year - 1900, utc.month, utc.day, utc.hour, utc.minute, utc.second, 0))
        return cls(utc.strftime("%Y%m%d%H%M%S00").encode() + b"\x00", short)


def _both16(number: int) -> bytes:
    return struct.pack("<H", number) + struct.pack(">H", number)


_LITTLE, _BIG = struct.Struct("<I").pack, struct.Struct(">I").pack


def _both32(number: int) -> bytes:
    return _LITTLE(number) + _BIG(number)


def sectors(size: int) -> int:
    return -(-size // SECTOR)


def padded(content: bytes | bytearray) -> bytes:
    """``content`` filled up to whole sectors."""
    return bytes(content) + bytes(-len(content) % SECTOR)


# Directory records.

_RECORD = struct.Struct("<BB8s8s7sBBB4sB")
_VOLUME = _both16(1)


def record_length(identifier: bytes, system_use: bytes) -> int:
    """Bytes of a directory record; ValueError when it has no room for its name."""
    length = 33 + len(identifier) + (len(identifier) + 1) % 2 + len(system_use)
    length += length % 2
    if length > _RECORD_LIMIT:
        raise ValueError("a name is too long for a config drive")
    return length


def record(identifier: bytes, extent: Extent, date: Moment, *, directory: bool, system_use: bytes = b"") -> bytes:
    """A directory record (ECMA-119, 9.1)."""
    length = record_length(identifier, system_use)
    sector, size, flags = _both32(extent.sector), _both32(extent.size), _IS_DIRECTORY if directory else 0
    fixed = _RECORD.pack(length, 0, sector, size, date.short, flags, 0, 0, _VOLUME, len(identifier))
    return (fixed + identifier + bytes((len(identifier) + 1) % 2) + system_use).ljust(length, b"\x00")


# System use entries: SUSP 1.12 and Rock Ridge 1.09, the versions that every reader knows.

_SHARING = b"SP\x07\x01\xbe\xef\x00"
_EXTENSION = (
    b"RRIP_1991A",
    b"THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS",
    b"PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  SEE PUBLISHER IDENTIFIER IN PRIMARY VOLUME DESCRIPTOR "
    b"FOR CONTACT INFORMATION.",
)
EXTENSION_ENTRY = b"ER" + bytes((8 + sum(map(len, _EXTENSION)), 1, *map(len, _EXTENSION), 1)) + b"".join(_EXTENSION)
"""Names the extension; too long for a record, so it has a sector of its own that the root's record points to."""

_HAS_ATTRIBUTES_AND_TIMES = 0x81
_HAS_NAME = 0x08
_MODIFIED_ACCESSED_CHANGED = 0x0E
_RR = b"RR\x05\x01" + bytes((_HAS_ATTRIBUTES_AND_TIMES | _HAS_NAME,))
_TF = b"TF\x1a\x01" + bytes((_MODIFIED_ACCESSED_CHANGED,))
_OWNED_BY_ROOT = _both32(0) * 2


def attributes(mode: int, links: int, date: Moment) -> bytes:
    """Mode, number of links, owner root, and all three times."""
    return b"PX\x24\x01" + _both32(mode) + _both32(links) + _OWNED_BY_ROOT + _TF + date.short * 3


def named(name: str, mode: int, links: int, date: Moment) -> bytes:
    """Everything Rock Ridge says of a file or directory under its parent; ValueError for a name that is too long."""
    text = name.encode()
    if len(text) + 5 > _RECORD_LIMIT:
        raise ValueError("a name is too long for a config drive")
    return _RR + b"NM" + bytes((5 + len(text), 1, 0)) + text + attributes(mode, links, date)


def root_itself(links: int, date: Moment, extension: Extent) -> bytes:
    """What the root says of itself: that entries follow, and where the name of the extension lies."""
    elsewhere = b"CE\x1c\x01" + _both32(extension.sector) + _both32(0) + _both32(extension.size)
    return _SHARING + attributes(DIRECTORY_MODE, links, date) + elsewhere


# Path tables.


def path_record(identifier: bytes, sector: int, parent: int, order: str) -> bytes:
    """One directory in a path table; ``order`` is ``<`` for the L table and ``>`` for the M table."""
    fixed = struct.pack(f"{order}BBIH", len(identifier), 0, sector, parent)
    return fixed + identifier + bytes(len(identifier) % 2)


# Volume descriptors.


@dataclass(frozen=True, slots=True)
class Described:
    """What a volume descriptor says of its tree.

    ``sectors`` is of the whole disk. ``table`` is where the L path table lies; the M table, of equal size, follows it.
    ``root`` is the record of the root directory.
    """

    kind: int
    sectors: int
    table: Extent
    root: bytes


def descriptor(one: Described, label: str, publisher: str, date: Moment) -> bytes:
    """The primary or the Joliet volume descriptor: one sector (ECMA-119, 8.4 and 8.5)."""

    def text(value: str, width: int) -> bytes:
        if one.kind == PRIMARY:
            return value.encode("ascii").ljust(width)
        return value.ljust(width // 2).encode("utf-16-be").ljust(width, b"\x00")

    return padded(
        b"".join(
            (
                bytes((one.kind,)),
                b"CD001\x01\x00",
                text("LINUX", 32),
                text(label, 32),
                bytes(8),
                _both32(one.sectors),
                (_JOLIET_LEVEL_3 if one.kind == JOLIET else b"").ljust(32, b"\x00"),
                _both16(1) * 2,
                _both16(SECTOR),
                _both32(one.table.size),
                struct.pack("<II", one.table.sector, 0),
                struct.pack(">II", one.table.sector + sectors(one.table.size), 0),
                one.root,
                text("", 128),
                text(publisher, 128),
                text("", 128),
                text(publisher, 128),
                text("", 37) * 3,
                date.long * 2 + _NOT_GIVEN + date.long,
                b"\x01",
            )
        )
    )
