"""Partition tables and superblocks: sfdisk and blkid say the same of the same disks; broken ones end in a sentence."""

from __future__ import annotations

import contextlib
import functools
import struct
import tempfile
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from injector.errors import GuestUnreadable
from injector.inject.partition.tables import MOST_PARTITIONS, Table, read_table
from injector.model.facts import Partition
from tests.guest_layouts import (
    BIOS_BOOT,
    ESP,
    LINUX,
    MIB,
    ROOT_X86,
    Bytes,
    FileDisk,
    Slot,
    listed,
    partitioned,
    probed,
    tool,
    whole,
)

EXT4 = Slot(4, filesystem="ext4", label="root", uuid="11111111-2222-3333-4444-555555555555")
CLOUD = (
    Slot(8, ROOT_X86, "ext4", "cloudimg-rootfs"),
    Slot(1, BIOS_BOOT),
    Slot(8, ESP, "vfat", "UEFI", name="esp"),
    Slot(4, "swap", "swap", "swap"),
)
MBR = (Slot(4, "83", "ext4", "root"), Slot(2, "82", "swap"), Slot(8, "c", "vfat"))
LOGICAL = (
    Slot(4, "83", "ext3", "boot"),
    Slot(40, "5"),
    Slot(4, "83", "ext4", "root", number=5),
    Slot(2, "82", "swap", number=6),
    Slot(6, "83", "ext2", "var", number=7),
)
SMALL = (Slot(1, ROOT_X86), Slot(1, BIOS_BOOT), Slot(1, ESP), Slot(1, LINUX))
SMALL_LOGICAL = (Slot(1, "83"), Slot(8, "5"), Slot(1, "83", number=5), Slot(1, "83", number=6))


@pytest.mark.parametrize(
    ("table", "slots"),
    [
        ("gpt", CLOUD),
        ("gpt", ()),
        ("dos", MBR),
        ("dos", LOGICAL),
        ("gpt", (Slot(120, LINUX, "btrfs", "fedora"), Slot(4, LINUX, "LVM2_member"))),
        ("dos", (Slot(320, "83", "xfs", "root"),)),
    ],
)
def test_sfdisk_and_blkid_see_the_same(tmp_path: Path, table: str, slots: tuple[Slot, ...]) -> None:
    path = partitioned(tmp_path / "disk", table, slots)
    found, judged = read_table(FileDisk(path)), listed(path)
    assert found.kind == {"gpt": "gpt", "dos": "mbr"}[table]
    assert [_place(one) for one in found.partitions] == [_judged(one, path) for one in judged]
    if table == "gpt":
        assert found.part_uuids == {_judged(one, path)[0]: one["uuid"].lower() for one in judged}
    for one in found.partitions:
        if one.type != "05":
            said = probed(path, one.start, one.size)
            assert (one.filesystem, one.label, one.uuid) == (said.get("TYPE"), said.get("LABEL"), said.get("UUID"))


def _place(one: Partition) -> tuple[Any, ...]:
    return one.number, one.start, one.size, one.type, one.name


def _judged(one: dict[str, Any], path: Path) -> tuple[Any, ...]:
    number = int(one["node"].removeprefix(str(path)))
    return number, one["start"] * 512, one["size"] * 512, one["type"].lower().rjust(2, "0"), one.get("name")


def test_the_numbers_of_mbr_partitions_are_in_their_uuids(tmp_path: Path) -> None:
    path = partitioned(tmp_path / "disk", "dos", LOGICAL)
    tool("sfdisk", "--quiet", "--disk-id", path, "0x1234abcd")
    assert sorted(read_table(FileDisk(path)).part_uuids.values()) == [
        f"1234abcd-{number:02x}" for number in (1, 2, 5, 6, 7)
    ]


def test_sectors_of_4096_bytes() -> None:
    """The table of a disk that was partitioned as such; sfdisk here makes none in a file."""
    disk = bytearray(8 * MIB)
    disk[446:462], disk[510:512] = _entry(0xEE, 1, 2047), b"\x55\xaa"
    entries = (
        uuid.UUID(ROOT_X86).bytes_le + uuid.uuid4().bytes + struct.pack("<QQQ", 256, 511, 0) + bytes(72 + 127 * 128)
    )
    header = struct.pack(
        "<8sIIIIQQQQ16sQIII",
        b"EFI PART",
        1 << 16,
        92,
        0,
        0,
        1,
        2047,
        6,
        2042,
        bytes(16),
        2,
        128,
        128,
        zlib.crc32(entries),
    )
    disk[4096:4188] = header[:16] + struct.pack("<I", zlib.crc32(header)) + header[20:]
    disk[8192 : 8192 + len(entries)] = entries
    (found,) = read_table(Bytes(bytes(disk))).partitions
    assert (found.number, found.start, found.size, found.type) == (1, MIB, MIB, ROOT_X86)


@pytest.mark.parametrize("filesystem", ["ext2", "ext3", "ext4", "vfat", "swap", "xfs", "btrfs"])
@pytest.mark.parametrize("label", ["root", None])
def test_a_disk_without_a_table_is_one_file_system(tmp_path: Path, filesystem: str, label: str | None) -> None:
    path = whole(tmp_path / "disk", Slot({"xfs": 320, "btrfs": 120}.get(filesystem, 4), "", filesystem, label))
    (found,), said = read_table(FileDisk(path)).partitions, probed(path)
    assert (found.number, found.start, found.size) == (0, 0, path.stat().st_size)
    assert (found.filesystem, found.label, found.uuid) == (filesystem, said.get("LABEL"), said.get("UUID"))
    assert said["TYPE"] == filesystem


def _squashed(path: Path) -> None:
    (path.parent / "tree").mkdir()
    tool("mksquashfs", path.parent / "tree", path, "-quiet", "-no-progress")


def _with_label(path: Path, command: tuple[str, ...]) -> None:
    path.write_bytes(bytes(64 * MIB))
    tool(*command, path)


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("squashfs", _squashed),
        (
            "ext4",
            functools.partial(_with_label, command=("mke2fs", "-q", "-t", "ext4", "-L", "a  b", "-O", "^has_journal")),
        ),
        ("ext2", functools.partial(_with_label, command=("mke2fs", "-q", "-t", "ext2", "-b", "4096"))),
        ("jbd", functools.partial(_with_label, command=("mke2fs", "-q", "-O", "journal_dev", "-b", "4096"))),
        ("vfat", functools.partial(_with_label, command=("mkfs.vfat", "-F", "32", "-n", "BOOT"))),
        ("vfat", functools.partial(_with_label, command=("mkfs.vfat", "-F", "12"))),
    ],
)
def test_other_contents_by_their_blkid_name(tmp_path: Path, kind: str, make: Callable[[Path], None]) -> None:
    path = tmp_path / "disk"
    make(path)
    (found,) = read_table(FileDisk(path)).partitions
    said = probed(path)
    assert found.filesystem == said["TYPE"] == kind
    assert (found.label, found.uuid) == (
        " ".join(said.get("LABEL", "").split()) or None,
        said.get("UUID", said.get("LOGUUID")),
    )


@pytest.mark.parametrize("version", ["0.90", "1.0"])
def test_half_of_a_mirror_is_no_file_system(tmp_path: Path, version: str) -> None:
    """Writing into it would part it from its other half."""
    path = whole(tmp_path / "disk", EXT4)
    content = bytearray(path.read_bytes())
    magic = struct.pack("<II", 0xA92B4EFC, 0 if version == "0.90" else 1)
    at = len(content) - 65536 if version == "0.90" else (len(content) // 512 - 16) // 8 * 4096
    content[at : at + 8] = magic
    (found,) = read_table(Bytes(bytes(content))).partitions
    assert found.filesystem == "linux_raid_member"


def test_nothing_is_nothing() -> None:
    for disk in (Bytes(b""), Bytes(bytes(100)), Bytes(bytes(MIB)), Bytes(b"\xff" * MIB)):
        assert read_table(disk) == Table("none", (), {})


# damage


def _gpt_disk() -> bytearray:
    return bytearray(_image("gpt", SMALL))


@functools.cache
def _image(table: str, slots: tuple[Slot, ...]) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        return partitioned(Path(directory) / "disk", table, slots).read_bytes()


def _resealed(disk: bytearray, block: int = 1, **fields: int) -> bytearray:
    """The header in ``block`` with other fields, and checksums that agree."""
    header = disk[block * 512 : block * 512 + 92]
    places = {"own": (24, "<Q"), "entries": (72, "<Q"), "count": (80, "<I"), "each": (84, "<I"), "length": (12, "<I")}
    for name, value in fields.items():
        struct.pack_into(places[name][1], header, places[name][0], value)
    start, count, each = struct.unpack_from("<QII", header, 72)
    entries = disk[start * 512 : start * 512 + count * each]
    struct.pack_into("<I", header, 88, zlib.crc32(entries))
    struct.pack_into("<I", header, 16, 0)
    struct.pack_into("<I", header, 16, zlib.crc32(header))
    disk[block * 512 : block * 512 + 92] = header
    return disk


@pytest.mark.parametrize("at", [512, 512 + 16, 512 + 72, 1024, 1024 + 56])
def test_the_copy_serves_when_the_first_is_damaged(at: int) -> None:
    disk = _gpt_disk()
    sound = read_table(Bytes(bytes(disk)))
    disk[at] ^= 0xFF
    assert read_table(Bytes(bytes(disk))) == sound


def test_the_copy_is_found_on_a_disk_that_has_grown() -> None:
    disk = _gpt_disk()
    sound = read_table(Bytes(bytes(disk)))
    disk[1024] ^= 0xFF
    assert read_table(Bytes(bytes(disk) + bytes(MIB))) == sound


def test_both_damaged_are_refused() -> None:
    disk = _gpt_disk()
    disk[512] ^= 0xFF
    disk[-512] ^= 0xFF
    with pytest.raises(GuestUnreadable, match="damaged, and so is its copy"):
        read_table(Bytes(bytes(disk)))


@pytest.mark.parametrize(
    "fields", [{"count": 2**31}, {"each": 8}, {"each": 2**31}, {"entries": 2**63}, {"own": 7}, {"count": 2**14}]
)
def test_a_table_that_claims_to_be_enormous_is_damaged(fields: dict[str, int]) -> None:
    disk = _resealed(_gpt_disk(), **fields) if "each" not in fields and "count" not in fields else _gpt_disk()
    if "each" in fields or "count" in fields:
        struct.pack_into("<I", disk, 512 + (80 if "count" in fields else 84), *fields.values())
        header = disk[512 : 512 + 92]
        struct.pack_into("<I", header, 16, 0)
        struct.pack_into("<I", disk, 512 + 16, zlib.crc32(header))
    disk[-512] ^= 0xFF
    with pytest.raises(GuestUnreadable, match="damaged"):
        read_table(Bytes(bytes(disk)))


@pytest.mark.parametrize(("first", "last"), [(10, 5), (0, 5), (2**40, 2**41), (64, 2**64 - 1), (2**63, 2**64 - 1)])
def test_an_entry_that_is_not_on_the_disk_is_none(first: int, last: int) -> None:
    disk = _gpt_disk()
    struct.pack_into("<QQ", disk, 1024 + 32, first, last)
    assert [one.number for one in read_table(Bytes(bytes(_resealed(disk)))).partitions] == [2, 3, 4]


def test_a_name_is_harmless_to_print() -> None:
    disk = _gpt_disk()
    disk[1024 + 56 : 1024 + 72] = "\x1b[31mevil\n".encode("utf-16-le")[:16]
    (first, *_) = read_table(Bytes(bytes(_resealed(disk)))).partitions
    assert first.name is not None
    assert first.name.isprintable()


def _entry(kind: int, start: int, size: int) -> bytes:
    return struct.pack("<B3xB3xII", 0, kind, start, size)


def _ebrs(*links: tuple[int, int]) -> bytes:
    """An extended partition at sector 8 whose tables lie where ``links`` say: (at, next), counted from sector 8."""
    disk = bytearray(MIB)
    disk[446:462], disk[510:512] = _entry(0x05, 8, 2000), b"\x55\xaa"
    for at, link in links:
        sector = _entry(0x83, 1, 2) + (_entry(0x05, link, 4) if link >= 0 else bytes(16))
        disk[(8 + at) * 512 + 446 : (8 + at) * 512 + 478] = sector
        disk[(8 + at) * 512 + 510 : (8 + at) * 512 + 512] = b"\x55\xaa"
    return bytes(disk)


def test_logical_partitions_are_numbered_from_five() -> None:
    found = read_table(Bytes(_ebrs((0, 4), (4, 8), (8, -1)))).partitions
    assert [(one.number, one.start // 512) for one in found] == [(1, 8), (5, 9), (6, 13), (7, 17)]


@pytest.mark.parametrize("links", [((0, 0),), ((0, 4), (4, 0)), ((0, 4), (4, 4)), ((0, 4), (4, 8), (8, 4))])
def test_a_chain_that_returns_is_refused(links: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(GuestUnreadable, match="returns to where it was"):
        read_table(Bytes(_ebrs(*links)))


def test_a_chain_that_leaves_the_disk_ends_there() -> None:
    assert len(read_table(Bytes(_ebrs((0, 2**31)))).partitions) == 2


def test_a_chain_without_end_is_refused() -> None:
    links = tuple((4 * at, 4 * (at + 1)) for at in range(MOST_PARTITIONS + 1))
    with pytest.raises(GuestUnreadable, match="more than 128"):
        read_table(Bytes(_ebrs(*links)))


def test_a_boot_sector_is_no_table() -> None:
    """A FAT's code where the entries would be."""
    disk = bytearray(MIB)
    disk[446:510], disk[510:512] = bytes(range(1, 65)), b"\x55\xaa"
    assert read_table(Bytes(bytes(disk))).kind == "none"


_KINDS = ("gpt", "dos", "ebr")


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(_KINDS),
    changes=st.lists(st.tuples(st.integers(0, 2**16), st.binary(min_size=1, max_size=16)), max_size=8),
    reseal=st.booleans(),
)
@example(kind="gpt", changes=[(80, b"\xff\xff\xff\xff")], reseal=True)
def test_no_table_hangs_or_crashes(kind: str, changes: list[tuple[int, bytes]], reseal: bool) -> None:
    """Anything at all in the first sectors: an answer, or GuestUnreadable, after a bounded number of looks."""
    content = bytearray(
        _ebrs((0, 4), (4, 8), (8, -1)) if kind == "ebr" else _image(kind, SMALL if kind == "gpt" else SMALL_LOGICAL)
    )
    for at, change in changes:
        content[at : at + len(change)] = change
    if reseal and kind == "gpt":
        struct.pack_into("<I", content, 512 + 16, 0)
        struct.pack_into("<I", content, 512 + 16, zlib.crc32(content[512 : 512 + 92]))
    disk = Bytes(bytes(content))
    try:
        table = read_table(disk)
    except GuestUnreadable:
        return
    finally:
        assert disk.reads <= 8 * MOST_PARTITIONS
    for one in table.partitions:
        assert 0 <= one.start <= one.start + one.size <= disk.size


@settings(max_examples=150, deadline=None)
@given(noise=st.binary(max_size=2048), at=st.sampled_from([0, 440, 1024, 1024 + 0x38, 4096 - 10, 0x10040]))
def test_no_superblock_crashes(noise: bytes, at: int) -> None:
    content = bytearray(_image("gpt", SMALL)[: 2 * MIB])
    content[at : at + len(noise)] = noise
    with contextlib.suppress(GuestUnreadable):
        read_table(Bytes(bytes(content)))
