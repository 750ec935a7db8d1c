"""The reader that proves vfat drives: right on whole images, and never worse than ValueError on damaged ones."""

from __future__ import annotations

import contextlib
import io
import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from injector.inject.configdrive.fat import label_of_vfat, read_vfat
from injector.inject.configdrive.packer import Volume
from injector.inject.configdrive.vfat import VfatPacker
from tests import builders as a

TREE = {
    "openstack/content/0000": b"hello" * 1000,
    "openstack/latest/meta_data.json": b'{"uuid": "x"}',
    "openstack/latest/empty": b"",
    "openstack/2012-08-10/meta_data.json": b'{"uuid": "x"}',
}


def packed(tree: dict[str, bytes]) -> bytes:
    into = io.BytesIO()
    VfatPacker().pack(tree, Volume(a.NOON), into)
    return into.getvalue()


IMAGE = packed(TREE)
_SECTOR, _PER_CLUSTER, _RESERVED, _FATS, _ROOT_ENTRIES = struct.unpack_from("<HBHBH", IMAGE, 11)
_FAT = _RESERVED * _SECTOR
_ROOT = _FAT + _FATS * struct.unpack_from("<H", IMAGE, 22)[0] * _SECTOR
_DATA = _ROOT + _ROOT_ENTRIES * 32
_CLUSTER = _SECTOR * _PER_CLUSTER


def _with(offset: int, content: bytes, image: bytes = IMAGE) -> bytes:
    return image[:offset] + content + image[offset + len(content) :]


def _link(image: bytes, cluster: int, target: int) -> bytes:
    """The image with ``cluster`` followed by ``target`` in its FAT12."""
    offset = _FAT + cluster * 3 // 2
    (pair,) = struct.unpack_from("<H", image, offset)
    pair = (pair & 0x000F) | target << 4 if cluster % 2 else (pair & 0xF000) | target
    return _with(offset, struct.pack("<H", pair), image)


def _entry(name: bytes) -> int:
    """Where the entry of this short name lies."""
    return IMAGE.index(name.ljust(11))


def _cluster(name: bytes) -> int:
    """The first one of a file or directory."""
    return int(struct.unpack_from("<H", IMAGE, _entry(name) + 26)[0])


def test_what_was_packed_is_read() -> None:
    assert read_vfat(IMAGE) == TREE
    assert label_of_vfat(IMAGE) == "config-2"


@pytest.mark.parametrize("mib", [1, 12])
def test_both_widths_are_read(mib: int) -> None:
    """Of 2 KiB clusters FAT12 has less than 8 MiB."""
    tree = {f"openstack/content/{number:04}": bytes([number]) * 1024**2 for number in range(mib)}
    image = packed(tree)
    assert image[54:59] == (b"FAT12" if mib == 1 else b"FAT16")
    assert read_vfat(image) == tree


@pytest.mark.parametrize(
    ("image", "complaint"),
    [
        (b"", "damaged"),
        (b"\0" * 65536, "not FAT"),
        (_with(510, b"\0\0"), "not FAT"),
        (_with(13, b"\0"), "not FAT"),
        (_with(22, b"\0\0"), "not FAT"),
        (IMAGE[: len(IMAGE) // 2], "larger than the image"),
        (_with(_entry(b"0000") + 28, b"\xff\xff\xff\x7f"), "cut off"),
        (_link(IMAGE, _cluster(b"0000"), 0xFFF), "cut off"),
        (_link(IMAGE, _cluster(b"0000"), 0), "does not end"),
        (_link(IMAGE, _cluster(b"0000"), 0xFF7), "does not end"),
        (_with(_entry(b"0000"), b"EMPTY /"), "no name of its own"),
        (_with(_entry(b"0000"), b"\xff"), "damaged"),
    ],
)
def test_damage_is_named(image: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_vfat(image)


def test_one_name_twice_is_no_tree() -> None:
    image = packed({"openstack/0000": b"1", "openstack/0001": b"2"})
    with pytest.raises(ValueError, match="no name of its own"):
        read_vfat(image.replace(b"0001       ", b"0000       "))


def test_a_directory_inside_itself_does_not_read_for_ever() -> None:
    inside = struct.pack("<H", _cluster(b"OPENST~1"))
    with pytest.raises(ValueError, match="reached twice"):
        read_vfat(_with(_entry(b"CONTENT") + 26, inside))


def test_a_chain_that_bites_its_tail_does_not_read_for_ever() -> None:
    first = _cluster(b"0000")
    with pytest.raises(ValueError, match="reached twice"):
        read_vfat(_link(IMAGE, first + 1, first))


def test_directories_that_share_one_chain_do_not_grow_with_each_other() -> None:
    """All clusters are one chain, and a directory begins at each: of 1 MiB that would make 250."""
    clusters = (len(IMAGE) - _DATA) // _CLUSTER
    image = IMAGE
    for cluster in range(2, clusters + 1):
        image = _link(image, cluster, cluster + 1)
    image = _link(image, clusters + 1, 0xFFF)
    entries = b"".join(
        b"D%-10d" % cluster + b"\x10" + bytes(14) + struct.pack("<HI", cluster, 0)
        for cluster in range(clusters + 1, 1, -1)
    )
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="reached twice"):
            read_vfat(_with(_ROOT, entries[: _ROOT_ENTRIES * 32], image))
        assert tracemalloc.get_traced_memory()[1] < 8 * len(IMAGE)
    finally:
        tracemalloc.stop()


# Where something is written, and what tells how to read it: damage there has an effect.
_WRITTEN = [offset for offset in range(11, _DATA + 64 * _CLUSTER) if IMAGE[offset]]
_TELLING = [offset for offset in _WRITTEN if offset < 64 or _FAT <= offset < _DATA]


@settings(max_examples=500)
@given(
    some.lists(
        some.tuples(some.sampled_from(_TELLING) | some.sampled_from(_WRITTEN), some.integers(0, 255)),
        min_size=1,
        max_size=8,
    )
)
def test_flipped_bytes_are_read_or_refused(flips: list[tuple[int, int]]) -> None:
    image = bytearray(IMAGE)
    for offset, value in flips:
        image[offset] = value
    with contextlib.suppress(ValueError):
        read_vfat(bytes(image))
    with contextlib.suppress(ValueError):
        label_of_vfat(bytes(image))


@given(some.integers(0, len(IMAGE) - 1))
def test_a_cut_image_is_refused(length: int) -> None:
    with pytest.raises(ValueError):
        read_vfat(IMAGE[:length])
