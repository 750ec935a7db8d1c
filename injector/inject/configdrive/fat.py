"""Reads a vfat config drive back: FAT12 and FAT16 with long names, by a reader that shares nothing with the writer.

Pure, over bytes. Damaged structures raise ValueError. No cluster is read twice, so that damage costs no more than the
image has bytes: chains that join would otherwise make megabytes of every directory.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_ENTRY = 32
_LONG, _DIRECTORY, _LABEL = 0x0F, 0x10, 0x08
_LAST, _DELETED = 0x00, 0xE5
_NAME_PARTS = ((1, 11), (14, 26), (28, 32))
_LOWER_STEM, _LOWER_ENDING = 0x08, 0x10
_FAT12_CLUSTERS, _FAT16_CLUSTERS = 4085, 65525


@dataclass(frozen=True, slots=True)
class _Geometry:
    """Where things lie in the image, in bytes; ``clusters`` are numbered from 2."""

    fat: int
    root: slice
    data: int
    cluster: int
    clusters: int

    @property
    def wide(self) -> bool:
        """Whether the numbers of clusters have 16 bits and not 12."""
        return self.clusters >= _FAT12_CLUSTERS


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    attributes: int
    cluster: int
    size: int


def read_vfat(image: bytes) -> dict[str, bytes]:
    """Every file by its path; ValueError for a damaged image, or one that is neither FAT12 nor FAT16."""
    try:
        return _Reader(image).files()
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError("the image is damaged") from error


def label_of_vfat(image: bytes) -> str:
    """The label in the root directory; empty when there is none."""
    try:
        return _Reader(image).label()
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError("the image is damaged") from error


class _Reader:
    def __init__(self, image: bytes) -> None:
        self._image = image
        self._geometry = _geometry(image)
        self._visited: set[int] = set()

    def label(self) -> str:
        entries = _entries(self._image[self._geometry.root])
        return next((one.name for one in entries if one.attributes & _LABEL), "")

    def files(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        waiting = [("", self._image[self._geometry.root])]
        for path, content in waiting:
            for entry in _entries(content):
                if entry.attributes & _LABEL or entry.name in (".", ".."):
                    continue
                if not entry.name or "/" in entry.name or path + entry.name in found:
                    raise ValueError("a file has no name of its own")
                if entry.attributes & _DIRECTORY:
                    waiting.append((f"{path}{entry.name}/", self._content(entry.cluster)))
                else:
                    found[path + entry.name] = self._file(entry)
        return found

    def _file(self, entry: _Entry) -> bytes:
        content = self._content(entry.cluster) if entry.size else b""
        if len(content) < entry.size:
            raise ValueError("a file is cut off")
        return content[: entry.size]

    def _content(self, cluster: int) -> bytes:
        where, parts = self._geometry, []
        while 2 <= cluster < where.clusters + 2:
            if cluster in self._visited:
                raise ValueError("a cluster is reached twice")
            self._visited.add(cluster)
            start = where.data + (cluster - 2) * where.cluster
            parts.append(self._image[start : start + where.cluster])
            cluster = self._next(cluster)
        if cluster < self._end:
            raise ValueError("a chain of clusters does not end")
        return b"".join(parts)

    @property
    def _end(self) -> int:
        """The smallest number that ends a chain."""
        return 0xFFF8 if self._geometry.wide else 0x0FF8

    def _next(self, cluster: int) -> int:
        fat = self._geometry.fat
        if self._geometry.wide:
            return int(struct.unpack_from("<H", self._image, fat + cluster * 2)[0])
        (pair,) = struct.unpack_from("<H", self._image, fat + cluster * 3 // 2)
        return int(pair >> 4 if cluster % 2 else pair & 0x0FFF)


def _geometry(image: bytes) -> _Geometry:
    sector, per_cluster, reserved, fats, root_entries, small = struct.unpack_from("<HBHBHH", image, 11)
    (fat_sectors,) = struct.unpack_from("<H", image, 22)
    (large,) = struct.unpack_from("<I", image, 32)
    total = small or large
    if image[510:512] != b"\x55\xaa" or 0 in (sector, per_cluster, fats, root_entries, fat_sectors, total):
        raise ValueError("not FAT12 or FAT16")
    root = (reserved + fats * fat_sectors) * sector
    data = root + -(-root_entries * _ENTRY // sector) * sector
    clusters = (total * sector - data) // (per_cluster * sector)
    if total * sector > len(image) or data > len(image) or clusters >= _FAT16_CLUSTERS:
        raise ValueError("the file system is larger than the image")
    return _Geometry(reserved * sector, slice(root, data), data, per_cluster * sector, clusters)


def _entries(directory: bytes) -> Iterator[_Entry]:
    """The entries in use, long names put together from the pieces that precede them."""
    long: list[bytes] = []
    for offset in range(0, len(directory) - _ENTRY + 1, _ENTRY):
        raw = directory[offset : offset + _ENTRY]
        if raw[0] == _LAST:
            return
        if raw[0] == _DELETED:
            long = []
        elif raw[11] == _LONG:
            long.insert(0, b"".join(raw[begin:end] for begin, end in _NAME_PARTS))
        else:
            (cluster,), (size,) = struct.unpack_from("<H", raw, 26), struct.unpack_from("<I", raw, 28)
            yield _Entry(_long_name(long) or _short_name(raw), raw[11], cluster, size)
            long = []


def _long_name(pieces: list[bytes]) -> str:
    return b"".join(pieces).decode("utf-16-le").partition("\0")[0]


def _short_name(raw: bytes) -> str:
    if raw[11] & _LABEL:
        return raw[:11].decode("ascii").rstrip(" ")
    stem, ending = raw[:8].decode("ascii").rstrip(" "), raw[8:11].decode("ascii").rstrip(" ")
    stem = stem.lower() if raw[12] & _LOWER_STEM else stem
    ending = ending.lower() if raw[12] & _LOWER_ENDING else ending
    return f"{stem}.{ending}" if ending else stem
