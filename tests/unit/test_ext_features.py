"""Which superblocks the ``ext`` back end edits; those of mke2fs, and those with a field changed."""

from __future__ import annotations

import functools
import struct
import tempfile
from pathlib import Path

import pytest

from injector.errors import CannotServe, GuestUnreadable
from injector.inject.partition.ext.features import examine
from tests.guest_disks import MIB, make_ext

SIZE = 16 * MIB


@functools.cache
def _superblock(kind: str = "ext4", *options: str) -> bytes:
    with tempfile.TemporaryDirectory() as work:
        disk = make_ext(Path(work) / "raw", kind=kind, size=SIZE, start=0, options=options)
        return disk.path.read_bytes()[1024:2048]


def _changed(at: int, layout: str, value: int, raw: bytes | None = None) -> bytes:
    changed = bytearray(_superblock() if raw is None else raw)
    struct.pack_into(layout, changed, at, value)
    return bytes(changed)


def _with_flag(at: int, flag: int) -> bytes:
    return _changed(at, "<I", struct.unpack_from("<I", _superblock(), at)[0] | flag)


@pytest.mark.parametrize("kind", ["ext2", "ext3", "ext4"])
def test_each_kind_is_named_as_blkid_does(kind: str) -> None:
    found = examine(_superblock(kind), SIZE)
    assert found.name == kind
    assert found.needs_recovery is False
    assert found.blocks * found.block == SIZE


def test_ext4_without_a_journal_is_ext4() -> None:
    assert examine(_superblock("ext4", "-O", "^has_journal"), SIZE).name == "ext4"


@pytest.mark.parametrize(
    ("feature", "options"),
    [
        ("encrypt", ()),
        ("verity", ()),
        ("casefold", ("-E", "encoding=utf8")),
        ("inline_data", ()),
        ("quota", ()),
        ("project", ("-O", "quota")),
        ("mmp", ()),
        ("bigalloc", ()),
        ("ea_inode", ()),
        ("stable_inodes", ("-O", "encrypt")),
    ],
)
def test_a_feature_that_is_not_edited_is_named(feature: str, options: tuple[str, ...]) -> None:
    with pytest.raises(CannotServe, match=feature):
        examine(_superblock("ext4", "-O", feature, *options), SIZE)


@pytest.mark.parametrize(
    ("at", "flag", "name"),
    [
        (0x5C, 0x40, "lazy_bg"),
        (0x5C, 0x2000, "unknown feature .compat 0x2000"),
        (0x5C, 0x80000000, "unknown feature .compat 0x80000000"),
        (0x60, 0x1, "compression"),
        (0x60, 0x8, "journal_dev"),
        (0x60, 0x1000, "dirdata"),
        (0x60, 0x20, "unknown feature .incompat 0x20"),
        (0x60, 0x40000, "unknown feature .incompat 0x40000"),
        (0x64, 0x80, "has_snapshot"),
        (0x64, 0x1000, "read-only"),
        (0x64, 0x4000, "shared_blocks"),
        (0x64, 0x20000, "unknown feature .ro_compat 0x20000"),
    ],
)
def test_a_flag_that_is_not_edited_is_named(at: int, flag: int, name: str) -> None:
    with pytest.raises(CannotServe, match=name):
        examine(_with_flag(at, flag), SIZE)


def test_every_unknown_flag_is_refused() -> None:
    """The list says what is edited, not what is not."""
    served = {0x5C: 0, 0x60: 0, 0x64: 0}
    for at in served:
        for flag in (1 << bit for bit in range(32)):
            try:
                examine(_with_flag(at, flag), SIZE)
            except (CannotServe, GuestUnreadable):
                continue
            served[at] |= flag
    assert {at: f"{flags:#x}" for at, flags in served.items()} == {0x5C: "0x163c", 0x60: "0x62d6", 0x64: "0x1047b"}


def test_fast_commits_in_a_journal_are_not_replayed() -> None:
    raw = _superblock("ext4", "-O", "fast_commit")
    assert examine(raw, SIZE).compat & 0x400
    incompat = struct.unpack_from("<I", raw, 0x60)[0]
    with pytest.raises(CannotServe, match="fast_commit"):
        examine(_changed(0x60, "<I", incompat | 4, raw), SIZE)


@pytest.mark.parametrize("raw", [b"", bytes(1023), bytes(1024), b"XFSB" + bytes(1020), b"\xff" * 1024])
def test_other_file_systems_are_other_back_ends(raw: bytes) -> None:
    with pytest.raises(CannotServe):
        examine(raw, SIZE)


@pytest.mark.parametrize(
    ("at", "layout", "value"),
    [
        (0x00, "<I", 0),
        (0x00, "<I", 0xFFFFFFFF),
        (0x04, "<I", 0xFFFFFFFF),
        (0x14, "<I", 0),
        (0x14, "<I", 0xFFFFFFFF),
        (0x18, "<I", 7),
        (0x18, "<I", 0xFFFFFFFF),
        (0x1C, "<I", 3),
        (0x20, "<I", 0),
        (0x20, "<I", 8200),
        (0x20, "<I", 4095),
        (0x24, "<I", 1),
        (0x28, "<I", 0),
        (0x28, "<I", 0xFFFFFFF8),
        (0x54, "<I", 0),
        (0x58, "<H", 0),
        (0x58, "<H", 192),
        (0x58, "<H", 64),
        (0x58, "<H", 4096),
        (0x150, "<I", 1),
        (0x174, "<B", 32),
        (0x3A, "<H", 2),
        (0x3A, "<H", 3),
        (0x3A, "<H", 5),
        (0x3A, "<H", 0x21),
    ],
)
def test_a_damaged_superblock_is_unreadable(at: int, layout: str, value: int) -> None:
    with pytest.raises(GuestUnreadable):
        examine(_changed(at, layout, value), SIZE)


@pytest.mark.parametrize(
    ("at", "layout", "value"),
    [(0x48, "<I", 1), (0x4C, "<I", 0), (0x4C, "<I", 2), (0xE4, "<I", 7), (0xE0, "<I", 0), (0xFE, "<H", 128)],
)
def test_what_nobody_makes_is_another_back_ends(at: int, layout: str, value: int) -> None:
    with pytest.raises(CannotServe):
        examine(_changed(at, layout, value), SIZE)


def test_it_has_to_fit_in_its_partition() -> None:
    examine(_superblock(), SIZE)
    with pytest.raises(GuestUnreadable, match="larger"):
        examine(_superblock(), SIZE - 1024)


def test_not_unmounted_is_harmless_with_a_journal_only() -> None:
    examine(_changed(0x3A, "<H", 0), SIZE)
    with pytest.raises(GuestUnreadable, match="not cleanly unmounted"):
        examine(_changed(0x3A, "<H", 0, _superblock("ext2")), SIZE)
    with pytest.raises(GuestUnreadable, match="no journal"):
        examine(_changed(0x60, "<I", 0x2C6, _superblock("ext4", "-O", "^has_journal")), SIZE)
