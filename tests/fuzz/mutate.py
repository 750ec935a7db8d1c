"""Breaks a disk in one to four places, as a seed says: fields with hostile values, bits, bytes, whole structures."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from tests.fuzz.bases import Base, mend_gpt
from tests.fuzz.fields import Field, fields_of
from tests.fuzz.layout import Layout, Structure

_WANTED = ("/", "/root", "/root/.ssh", "/root/.ssh/authorized_keys", "/etc", "/etc/shadow", "/etc/passwd", "<8>", "<7>")
_UNTOUCHED = "/many/"
"""No errand leads to these: they only make their directory large."""
_PREFERRED = 0.6
_SEALED = 0.6
_TABLE = 0.3
_WEIGHTS = {
    "superblock": 5, "descriptor": 4, "block bitmap": 2, "inode bitmap": 2, "inode": 12, "map": 3, "directory": 8,
    "index root": 4, "index": 2, "attributes": 3, "journal superblock": 4, "journal descriptor": 3, "journal commit": 2,
    "journal revoke": 2,
}  # fmt: skip
_SIZES = {1: "B", 2: "<H", 4: "<I", -4: ">I"}
_NAMES = (b"..", b".", b"a/b", b"/", b"\n\n\n", b"\x1b]0;x", b"\0\0\0", b"root", b"passwd", b"shadow", b"\xff\xfe")
_FORMS = (0x1000, 0x2000, 0x4000, 0x6000, 0x8000, 0xA000, 0xC000, 0x0000, 0xF000)


@dataclass(frozen=True)
class Broken:
    """The disk as it is now, and in words what was done to it; ``table``: to its partition table."""

    disk: bytes
    changes: tuple[str, ...]
    table: bool = False


def broken(base: Base, chance: random.Random) -> Broken:
    """The same for the same seed and base."""
    if base.kind.table is not None and chance.random() < _TABLE:
        return _broken_table(base, chance)
    image = bytearray(base.layout.raw)
    breaker = _Breaker(base.layout, image, chance)
    changes = tuple(breaker.once() for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))))
    disk = bytearray(base.disk)
    disk[base.root.start : base.root.start + len(image)] = image
    return Broken(bytes(disk), changes)


class _Breaker:
    """Changes ``image`` in place; ``layout`` is of what it was."""

    def __init__(self, layout: Layout, image: bytearray, chance: random.Random) -> None:
        self._layout = layout
        self._image = image
        self._chance = chance
        self._ways = (self._field, self._field, self._field, self._field, self._bits, self._noise, self._swap)

    def once(self) -> str:
        target = self._target()
        change = self._special(target) if self._chance.random() < 0.3 else ""
        change = change or self._chance.choice(self._ways)(target)
        sealed = self._chance.random() < _SEALED
        if sealed:
            self._layout.seal(self._image, target)
        where = f"{target.kind} {target.name or target.place}"
        return f"{where}: {change}{', sealed' if sealed else ''}"

    def _target(self) -> Structure:
        kinds = self._layout.structures
        kind = self._chance.choices(list(kinds), [_WEIGHTS.get(kind, 1) for kind in kinds])[0]
        touched = [one for one in kinds[kind] if _UNTOUCHED not in one.name]
        wanted = [one for one in touched if one.name in _WANTED]
        return self._chance.choice(wanted if wanted and self._chance.random() < _PREFERRED else touched)

    def _field(self, target: Structure) -> str:
        if target.kind in ("directory", "index root") and self._chance.random() < 0.7:
            return self._name(target)
        fields = fields_of(target.kind, target.length)
        if not fields:
            return self._noise(target)
        name = self._chance.choice(list(fields))
        at, width = fields[name]
        return f"{name} {self._set((target.at + at, width))}"

    def _name(self, target: Structure) -> str:
        """An entry of a directory: where it leads, how long it is, what it is called."""
        entries = self._entries(target)
        at = self._chance.choice(entries)
        field = self._chance.choice(("inode", "length", "size", "type", "name", "loop"))
        if field == "loop":
            struct.pack_into("<I", self._image, at, self._chance.choice((2, target.owner)))
            return f"entry at {at - target.at} leads back"
        if field == "name":
            name = self._chance.choice(_NAMES)
            room = target.at + target.length - at - 8
            self._image[at + 8 : at + 8 + min(len(name), room)] = name[:room]
            return f"entry at {at - target.at} is called {name!r}"
        place, width = {"inode": (0, 4), "length": (4, 2), "size": (6, 1), "type": (7, 1)}[field]
        return f"entry at {at - target.at}: {field} {self._set((at + place, width))}"

    def _entries(self, target: Structure) -> list[int]:
        at, end, found = target.at, target.at + target.length, []
        while at + 12 <= end:
            found.append(at)
            at += max(12, struct.unpack_from("<H", self._image, at + 4)[0])
        return found

    def _set(self, field: Field) -> str:
        at, width = field
        old = int(struct.unpack_from(_SIZES[width], self._image, at)[0])
        most = (1 << 8 * abs(width)) - 1
        near = (old + 1, old - 1, old * 2, old // 2, old ^ 1 << self._chance.randrange(8 * abs(width)), ~old)
        new = self._chance.choice((0, 1, most, most // 2, most // 2 + 1, self._known(), self._known(), *near)) & most
        if self._chance.random() < 0.1:
            new = self._chance.randint(0, most)
        struct.pack_into(_SIZES[width], self._image, at, new)
        return f"{old:#x} -> {new:#x}"

    def _known(self) -> int:
        """A number that means something elsewhere: of a block with structures in it, or of an inode."""
        kind = self._chance.choice(list(self._layout.structures.values()))
        one = self._chance.choice(kind)
        return self._chance.choice((one.at // self._layout.block, one.owner, self._chance.randrange(16)))

    def _special(self, target: Structure) -> str:
        if target.kind != "inode":
            return ""
        chance, at = self._chance, target.at
        match chance.randrange(5):
            case 0:
                form = chance.choice(_FORMS)
                mode = struct.unpack_from("<H", self._image, at)[0] & 0xFFF | form
                struct.pack_into("<H", self._image, at, mode)
                return f"of the form {form:#x}"
            case 1:
                # Its content is where the file system keeps its own.
                place = self._known()
                struct.pack_into("<I", self._image, at + chance.choice((0x28, 0x3C)), place)
                return f"its content is in block {place}"
            case 2:
                size = chance.choice((1 << 31, 1 << 40, (1 << 63) - 1, (1 << 64) - 1, 64 << 20))
                struct.pack_into("<I", self._image, at + 4, size & 0xFFFFFFFF)
                struct.pack_into("<I", self._image, at + 0x6C, size >> 32)
                return f"of {size} bytes"
            case 3:
                flag = 1 << chance.randrange(32)
                flags = struct.unpack_from("<I", self._image, at + 0x20)[0] ^ flag
                struct.pack_into("<I", self._image, at + 0x20, flags)
                return f"flag {flag:#x} turned"
            case _:
                other = chance.choice(self._layout.structures["inode"])
                keep = self._layout.inode_size
                self._image[at : at + keep] = self._layout.raw[other.at : other.at + keep]
                return f"a copy of {other.name}"

    def _bits(self, target: Structure) -> str:
        count = self._chance.choice((1, 1, 2, 8, 32))
        for _ in range(count):
            self._image[target.at + self._chance.randrange(target.length)] ^= 1 << self._chance.randrange(8)
        return f"{count} bits"

    def _noise(self, target: Structure) -> str:
        length = min(target.length, self._chance.choice((1, 4, 16, 64, 1024)))
        at = target.at + self._chance.randrange(target.length - length + 1)
        fill = self._chance.choice((b"\0" * length, b"\xff" * length, self._chance.randbytes(length)))
        self._image[at : at + length] = fill
        return f"{length} bytes at {at - target.at}"

    def _swap(self, target: Structure) -> str:
        """With another of its kind, or of any."""
        kinds = self._layout.structures
        kind = target.kind if self._chance.random() < 0.7 else self._chance.choice(list(kinds))
        other = self._chance.choice(kinds[kind])
        length = min(target.length, other.length)
        self._image[target.at : target.at + length] = self._layout.raw[other.at : other.at + length]
        return f"a copy of {other.kind} {other.name or other.place}"


def _broken_table(base: Base, chance: random.Random) -> Broken:
    disk = bytearray(base.disk)
    fields = _table_fields(base)
    changes = []
    for _ in range(chance.choice((1, 1, 2, 3))):
        name, at, width = chance.choice(fields)
        old = int.from_bytes(disk[at : at + width], "little")
        most = (1 << 8 * width) - 1
        sectors = len(disk) // 512
        some = (
            0,
            1,
            most,
            old + 1,
            old - 1,
            old ^ 1 << chance.randrange(8 * width),
            sectors,
            sectors - 1,
            2048,
            5,
            0xEE,
        )
        new = chance.choice(some) & most
        disk[at : at + width] = new.to_bytes(width, "little")
        changes.append(f"table, {name}: {old:#x} -> {new:#x}")
    if base.kind.table == "gpt" and chance.random() < 0.8:
        mend_gpt(disk)
        changes.append("table mended")
    return Broken(bytes(disk), tuple(changes), True)


def _table_fields(base: Base) -> Sequence[tuple[str, int, int]]:
    found = [("signature", 510, 2)]
    tables = [0]
    if base.kind.table == "logical":
        tables += [at for at in range(512, len(base.disk), 512) if base.disk[at + 510 : at + 512] == b"\x55\xaa"][:3]
    for table in tables:
        for place in range(4):
            entry = table + 446 + 16 * place
            found += [("boot", entry, 1), ("type", entry + 4, 1), ("start", entry + 8, 4), ("size", entry + 12, 4)]
    if base.kind.table == "gpt":
        for header in (512, len(base.disk) - 512):
            found += [("revision", header + 8, 4), ("header size", header + 12, 4), ("own", header + 24, 8)]
            found += [("other", header + 32, 8), ("entries", header + 72, 8), ("count", header + 80, 4)]
            found += [("entry size", header + 84, 4), ("checksum", header + 88, 4)]
        for entry in (1024, 1024 + 128):
            found += [("type", entry, 8), ("first", entry + 32, 8), ("last", entry + 40, 8), ("name", entry + 56, 8)]
    return found
