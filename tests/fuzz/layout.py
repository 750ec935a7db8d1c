"""Where the structures of a healthy ext file system lie, and how each is sealed by a checksum; for who breaks it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from tests.fuzz.checksums import crc16, crc32c

_ROOT, _JOURNAL, _RESIZE = 2, 8, 7
_EXTENTS = 0x80000
_INDEXED = 0x1000
_GDT_CSUM, _METADATA_CSUM = 0x10, 0x400
_CSUM_SEED = 0x2000
_BIT64 = 0x80
_NONE = 0xFFFFFFFF
_WRITTEN = 32768
_LONGEST = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Structure:
    """``length`` bytes at ``at`` of the file system. ``owner`` is its inode, ``place`` its group or block."""

    kind: str
    at: int
    length: int
    owner: int = 0
    place: int = 0
    name: str = ""


class Layout:
    """Of the file system in ``raw``, which stays the caller's: offsets are found once, seals are made on any copy."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.block = 1024 << self._word(1024 + 0x18)
        self.inodes_per_group = self._word(1024 + 0x28)
        self.inode_size = self._short(1024 + 0x58)
        self.incompat = self._word(1024 + 0x60)
        self.ro_compat = self._word(1024 + 0x64)
        self.descriptor_size = 64 if self.incompat & _BIT64 else 32
        first, per_group = self._word(1024 + 0x14), self._word(1024 + 0x20)
        self.groups = -(-(self._word(1024 + 4) - first) // per_group)
        self._descriptors = (first + 1) * self.block
        self._blocks_per_group = per_group

    @property
    def sealed(self) -> bool:
        """Whether anything has a checksum."""
        return bool(self.ro_compat & (_METADATA_CSUM | _GDT_CSUM))

    # Where things are

    @cached_property
    def structures(self) -> dict[str, list[Structure]]:
        """By kind."""
        found: dict[str, list[Structure]] = {}
        for one in self._everything():
            found.setdefault(one.kind, []).append(one)
        return found

    def inode_at(self, number: int) -> int:
        group, index = divmod(number - 1, self.inodes_per_group)
        return self._word(self._descriptor(group) + 8) * self.block + index * self.inode_size

    def number_of(self, path: str) -> int | None:
        number = _ROOT
        for name in path.strip("/").split("/") if path.strip("/") else ():
            found = dict(self._names(number)).get(name.encode())
            if found is None:
                return None
            number = found
        return number

    def tree(self) -> dict[str, bytes | None]:
        """Every name that leads to something new, and what a regular file holds."""
        found: dict[str, bytes | None] = {}
        for one in self._files():
            if one.kind == "inode" and one.name.startswith("/"):
                regular = self._short(one.at) & 0xF000 == 0x8000
                found[one.name] = self.content(one.owner) if regular else None
        return found

    def _everything(self) -> Iterator[Structure]:
        yield Structure("superblock", 1024, 1024)
        for group in range(self.groups):
            at = self._descriptor(group)
            yield Structure("descriptor", at, self.descriptor_size, place=group)
            yield Structure("block bitmap", self._word(at) * self.block, self._blocks_per_group // 8, place=group)
            yield Structure("inode bitmap", self._word(at + 4) * self.block, self.inodes_per_group // 8, place=group)
        yield from self._files()
        yield from self._journal()

    def _files(self) -> Iterator[Structure]:
        ahead = [(_ROOT, "/"), (_JOURNAL, "<8>"), (_RESIZE, "<7>")]
        if orphan := self._word(1024 + 0x280):
            ahead.append((orphan, f"<{orphan}>"))
        seen = set()
        while ahead:
            number, name = ahead.pop()
            if number in seen:
                continue
            seen.add(number)
            yield from self._file(number, name)
            if self._is_directory(number):
                ahead += [(child, f"{name.rstrip('/')}/{one.decode()}") for one, child in self._names(number)]

    def _file(self, number: int, name: str) -> Iterator[Structure]:
        at = self.inode_at(number)
        if not self._short(at):
            return
        yield Structure("inode", at, self.inode_size, number, name=name)
        if block := self._word(at + 0x68):
            yield Structure("attributes", block * self.block, self.block, number, block, name)
        for node in self._map_blocks(number):
            yield Structure("map", node * self.block, self.block, number, node, name)
        if self._is_directory(number):
            for place, block in enumerate(self.blocks_of(number)):
                yield Structure(
                    self._directory_kind(number, place, block), block * self.block, self.block, number, block, name
                )

    def _directory_kind(self, number: int, place: int, block: int) -> str:
        if not self._word(self.inode_at(number) + 0x20) & _INDEXED:
            return "directory"
        if place == 0:
            return "index root"
        whole = self._word(block * self.block) == 0 and self._short(block * self.block + 4) == self.block
        return "index" if whole else "directory"

    def _journal(self) -> Iterator[Structure]:
        if not self._short(self.inode_at(_JOURNAL)):
            return
        for place, block in enumerate(self.blocks_of(_JOURNAL)[:64]):
            at = block * self.block
            if self.raw[at : at + 4] != b"\xc0\x3b\x39\x98":
                continue
            kind = int.from_bytes(self.raw[at + 4 : at + 8], "big")
            names = {1: "descriptor", 2: "commit", 3: "superblock", 4: "superblock", 5: "revoke"}
            yield Structure(f"journal {names.get(kind, 'block')}", at, self.block, _JOURNAL, place)

    # Files

    def content(self, number: int) -> bytes:
        """A regular file's bytes, its holes as zeros; of a damaged one anything, or any error."""
        at = self.inode_at(number)
        size = self._word(at + 4) | self._word(at + 0x6C) << 32
        found = bytearray(min(size, _LONGEST))
        for place, block in islice(self._mapped(at), _LONGEST // self.block):
            start = place * self.block
            if start < len(found):
                piece = self.raw[block * self.block : (block + 1) * self.block]
                found[start : start + self.block] = piece[: len(found) - start]
        return bytes(found)

    def blocks_of(self, number: int) -> list[int]:
        """In the order of the file, holes left out."""
        at = self.inode_at(number)
        if not self._is_mapped(at):
            return []
        return [block for _, block in self._mapped(at)]

    def _map_blocks(self, number: int) -> list[int]:
        at = self.inode_at(number)
        if not self._is_mapped(at):
            return []
        found = self._extents(at + 0x28) if self._word(at + 0x20) & _EXTENTS else self._pointers(at)
        return [block for place, block in found if place is None]

    def _is_mapped(self, at: int) -> bool:
        form = self._short(at) & 0xF000
        return form in (0x4000, 0x8000) or (form == 0xA000 and self._word(at + 4) >= 60)

    def _mapped(self, at: int) -> Iterator[tuple[int, int]]:
        """The place in the file and the block of everything in it."""
        found = self._extents(at + 0x28) if self._word(at + 0x20) & _EXTENTS else self._pointers(at)
        return ((place, block) for place, block in found if place is not None)

    def _extents(self, at: int) -> Iterator[tuple[int | None, int]]:
        """Blocks of the map itself have no place."""
        _, count, _, depth = struct.unpack_from("<HHHH", self.raw, at)
        for entry in range(at + 12, at + 12 + 12 * count, 12):
            if depth:
                node = self._word(entry + 4)
                yield None, node
                yield from self._extents(node * self.block)
            elif (length := self._short(entry + 4)) <= _WRITTEN:
                first, start = self._word(entry), self._word(entry + 8)
                yield from ((first + skip, start + skip) for skip in range(length))

    def _pointers(self, at: int) -> Iterator[tuple[int | None, int]]:
        place = 0
        for slot in range(15):
            depth = max(0, slot - 11)
            if block := self._word(at + 0x28 + 4 * slot):
                yield from self._below(block, depth, place)
            place += (self.block // 4) ** depth

    def _below(self, block: int, depth: int, place: int) -> Iterator[tuple[int | None, int]]:
        if depth == 0:
            yield place, block
            return
        yield None, block
        for slot in range(self.block // 4):
            if below := self._word(block * self.block + 4 * slot):
                yield from self._below(below, depth - 1, place + slot * (self.block // 4) ** (depth - 1))

    def _is_directory(self, number: int) -> bool:
        return self._short(self.inode_at(number)) & 0xF000 == 0x4000

    def _names(self, number: int) -> Iterator[tuple[bytes, int]]:
        for block in self.blocks_of(number):
            at, end = block * self.block, (block + 1) * self.block
            while at + 8 <= end:
                child, length, size = struct.unpack_from("<IHB", self.raw, at)
                name = self.raw[at + 8 : at + 8 + size]
                if child and name not in (b".", b"..", b""):
                    yield name, child
                if length < 8:
                    break
                at += length

    # Seals

    def seal(self, image: bytearray, one: Structure) -> None:
        """Make the checksum of a structure right again, on an image laid out as this one was."""
        match one.kind:
            case "superblock":
                if self.ro_compat & _METADATA_CSUM:
                    _put(image, 1024 + 0x3FC, crc32c(_NONE, image[1024 : 1024 + 0x3FC]))
            case "descriptor":
                self._seal_descriptor(image, one.place)
            case "block bitmap" | "inode bitmap":
                self._seal_bitmap(image, one)
            case _ if self.ro_compat & _METADATA_CSUM:
                self._seal_of_file(image, one)

    def _seal_descriptor(self, image: bytearray, group: int) -> None:
        at = self._descriptor(group)
        struct.pack_into("<H", image, at + 0x1E, 0)
        body, number = image[at : at + self.descriptor_size], struct.pack("<I", group)
        if self.ro_compat & _METADATA_CSUM:
            made = crc32c(self._seed(image), number, body) & 0xFFFF
        elif self.ro_compat & _GDT_CSUM:
            made = crc16(0xFFFF, image[1024 + 0x68 : 1024 + 0x78], number, body[:0x1E], body[0x20:])
        else:
            return
        struct.pack_into("<H", image, at + 0x1E, made)

    def _seal_bitmap(self, image: bytearray, one: Structure) -> None:
        if self.ro_compat & _METADATA_CSUM:
            made = crc32c(self._seed(image), image[one.at : one.at + one.length])
            low, high = (0x18, 0x38) if one.kind == "block bitmap" else (0x1A, 0x3A)
            at = self._descriptor(one.place)
            struct.pack_into("<H", image, at + low, made & 0xFFFF)
            if self.descriptor_size == 64:
                struct.pack_into("<H", image, at + high, made >> 16)
        self._seal_descriptor(image, one.place)

    def _seal_of_file(self, image: bytearray, one: Structure) -> None:
        body = memoryview(image)[one.at : one.at + one.length]
        match one.kind:
            case "inode":
                self._seal_inode(image, one)
            case "map" if bytes(body[:2]) == b"\x0a\xf3":
                tail = min(12 + 12 * struct.unpack_from("<H", body, 4)[0], self.block - 4)
                _put(image, one.at + tail, crc32c(self._file_seed(image, one.owner), body[:tail]))
            case "directory":
                _put(image, one.at + self.block - 4, crc32c(self._file_seed(image, one.owner), body[: self.block - 12]))
            case "index" | "index root":
                self._seal_index(image, one, 0x20 if one.kind == "index root" else 8)
            case "attributes":
                _put(image, one.at + 16, 0)
                _put(image, one.at + 16, crc32c(self._seed(image), struct.pack("<Q", one.place), body))

    def _seal_inode(self, image: bytearray, one: Structure) -> None:
        large = self.inode_size > 128 and struct.unpack_from("<H", image, one.at + 0x80)[0] >= 4
        struct.pack_into("<H", image, one.at + 0x7C, 0)
        if large:
            struct.pack_into("<H", image, one.at + 0x82, 0)
        made = crc32c(self._file_seed(image, one.owner), image[one.at : one.at + self.inode_size])
        struct.pack_into("<H", image, one.at + 0x7C, made & 0xFFFF)
        if large:
            struct.pack_into("<H", image, one.at + 0x82, made >> 16)

    def _seal_index(self, image: bytearray, one: Structure, entries: int) -> None:
        limit, count = struct.unpack_from("<HH", image, one.at + entries)
        tail = entries + 8 * limit
        if count > limit or tail + 8 > self.block:
            return
        body = image[one.at : one.at + entries + 8 * count]
        reserved = image[one.at + tail : one.at + tail + 4]
        _put(image, one.at + tail + 4, crc32c(self._file_seed(image, one.owner), body, reserved, bytes(4)))

    def _seed(self, image: bytearray) -> int:
        if self.incompat & _CSUM_SEED:
            return int(struct.unpack_from("<I", image, 1024 + 0x270)[0])
        return crc32c(_NONE, image[1024 + 0x68 : 1024 + 0x78])

    def _file_seed(self, image: bytearray, number: int) -> int:
        generation = image[self.inode_at(number) + 0x64 : self.inode_at(number) + 0x68]
        return crc32c(self._seed(image), struct.pack("<I", number), generation)

    def _descriptor(self, group: int) -> int:
        return self._descriptors + group * self.descriptor_size

    def _word(self, at: int) -> int:
        return int(struct.unpack_from("<I", self.raw, at)[0])

    def _short(self, at: int) -> int:
        return int(struct.unpack_from("<H", self.raw, at)[0])


def _put(image: bytearray, at: int, value: int) -> None:
    struct.pack_into("<I", image, at, value)
