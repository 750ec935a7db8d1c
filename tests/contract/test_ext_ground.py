"""Guests whose file system gives away what is in use: refused before a byte is written, checksums right or not."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from injector.errors import GuestUnreadable
from injector.inject.partition.carry_out import carry_out
from injector.inject.partition.ext.opener import ExtOpener
from tests.fuzz import asked
from tests.fuzz.bases import KINDS, make
from tests.fuzz.layout import Layout, Structure
from tests.guest_disks import RawDisk

Harm = Callable[[Layout, bytearray], Structure]


def _emptied(kind: str) -> Harm:
    def harm(layout: Layout, image: bytearray) -> Structure:
        one = layout.structures[kind][0]
        image[one.at : one.at + one.length] = bytes(one.length)
        return one

    return harm


def _inode_given_away(layout: Layout, image: bytearray) -> Structure:
    """That of /etc, and another is taken for it: the sums are right."""
    one = layout.structures["inode bitmap"][0]
    index = _number(layout, "/etc") - 1
    image[one.at + index // 8] &= ~(1 << index % 8)
    image[one.at + one.length - 1] |= 0x80
    return one


def _at(field: int) -> Callable[[str], Harm]:
    """The first block of a file is that of its own inode's table."""

    def of(path: str) -> Harm:
        def harm(layout: Layout, image: bytearray) -> Structure:
            one = next(one for one in layout.structures["inode"] if one.owner == _number(layout, path))
            struct.pack_into("<I", image, one.at + field, one.at // layout.block)
            return one

        return harm

    return of


_extent, _pointer = _at(0x3C), _at(0x28)
_CASES: dict[str, tuple[str, Harm]] = {
    "no block is used": ("ext4-1k-csum", _emptied("block bitmap")),
    "no block is used, ext2": ("ext2-1k", _emptied("block bitmap")),
    "no inode is used": ("ext4-4k-csum", _emptied("inode bitmap")),
    "an inode is free, and in use": ("ext4-1k-csum", _inode_given_away),
    "an inode is free, and in use, ext3": ("ext3-1k", _inode_given_away),
    "a file lies in the table of inodes": ("ext4-4k-csum", _extent("/etc/motd")),
    "a file lies in the table of inodes, ext2": ("ext2-1k", _pointer("/etc/motd")),
}


@pytest.mark.parametrize("name", _CASES)
def test_what_is_in_use_is_not_taken(name: str, tmp_path: Path) -> None:
    kind_name, harm = _CASES[name]
    base = make(next(kind for kind in KINDS if kind.name == kind_name), tmp_path)
    image = bytearray(base.layout.raw)
    base.layout.seal(image, harm(base.layout, image))
    disk = tmp_path / "disk"
    disk.write_bytes(base.disk[: base.root.start] + image + base.disk[base.root.start + len(image) :])
    errand = asked.inject(base.root, random.Random(name), required=True)
    with RawDisk(disk) as raw:
        with pytest.raises(GuestUnreadable):
            carry_out(errand, ExtOpener(raw))
        assert raw.writes == 0


def _number(layout: Layout, path: str) -> int:
    number = layout.number_of(path)
    assert number is not None
    return number
