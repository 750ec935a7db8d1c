"""The two checksums of ext file systems, computed here so that a mutation gets past them; slow and independent."""

from __future__ import annotations

from collections.abc import Iterable


def _table(polynomial: int) -> tuple[int, ...]:
    made = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (polynomial if byte & 1 else 0)
        made.append(byte)
    return tuple(made)


_CRC32C = _table(0x82F63B78)
_CRC16 = _table(0xA001)


def crc32c(seed: int, *parts: Iterable[int]) -> int:
    """As ext uses it: neither inverted before nor after."""
    table = _CRC32C
    for part in parts:
        for byte in part:
            seed = seed >> 8 ^ table[(seed ^ byte) & 0xFF]
    return seed


def crc16(seed: int, *parts: Iterable[int]) -> int:
    """Of group descriptors without ``metadata_csum``."""
    for part in parts:
        for byte in part:
            seed = seed >> 8 ^ _CRC16[(seed ^ byte) & 0xFF]
    return seed
