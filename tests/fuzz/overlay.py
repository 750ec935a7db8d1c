"""A qcow2 overlay read without QEMU: which of its clusters were written, and what the guest's disk holds with them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

_OFFSET = 0x00FFFFFFFFFFFE00
_ZERO = 1


def written(overlay: Path) -> dict[int, bytes]:
    """Contents by their offset on the guest's disk, a cluster each. AssertionError for what no writer here makes."""
    raw = overlay.read_bytes()
    magic, _, _, _, bits, _, _, entries, table = struct.unpack_from(">IIQIIQIIQ", raw)
    assert magic == 0x514649FB, "an overlay is qcow2"
    return dict(_clusters(raw, 1 << bits, struct.unpack_from(f">{entries}Q", raw, table)))


def merged(base: bytes, clusters: dict[int, bytes]) -> bytes:
    """The disk as the guest would see it."""
    disk = bytearray(base)
    for start, content in clusters.items():
        disk[start : start + len(content)] = content[: len(base) - start]
    return bytes(disk)


def _clusters(raw: bytes, size: int, tables: tuple[int, ...]) -> Iterator[tuple[int, bytes]]:
    for index, table in enumerate(tables):
        if not table & _OFFSET:
            continue
        for place, entry in enumerate(struct.unpack_from(f">{size // 8}Q", raw, table & _OFFSET)):
            assert not entry >> 62 & 1, "nobody compresses here"
            at, start = entry & _OFFSET, (index * (size // 8) + place) * size
            if entry & _ZERO:
                yield start, bytes(size)
            elif at:
                yield start, raw[at : at + size].ljust(size, b"\0")
