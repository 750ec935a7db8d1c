"""Journals replayed by the ``ext`` back end, held to what debugfs and e2fsck make of the same file system."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from injector.errors import CannotServe, GuestUnreadable
from injector.inject.partition.ext.opener import ExtOpener
from injector.inject.partition.filesystem import Attributes
from injector.system.process import run
from tests.guest_disks import MIB, GuestDisk, RawDisk, crashed, debugfs, fsck, make_ext, mounted
from tests.guest_recipes import LAYOUTS

STAMP = 1_700_000_000
JOURNALED = [name for name, (kind, _) in LAYOUTS.items() if kind != "ext2"]
REPLAYED = [name for name in JOURNALED if name not in ("ext4-no-journal", "ext4-fast_commit")]
COMPARED = [name for name in REPLAYED if name != "ext4-meta_bg"]
"""With meta_bg, e2fsck writes its spare descriptors anew whenever it writes anything."""

only_root_mounts = pytest.mark.skipif(os.geteuid() != 0, reason="only root can have the kernel write a journal")


def _disk(path: Path, layout: str) -> GuestDisk:
    kind, options = LAYOUTS[layout]
    return make_ext(path, kind=kind, options=options, start=0, size=24 * MIB)


def _replay(disk: GuestDisk) -> None:
    with RawDisk(disk.path) as raw, ExtOpener(raw).open(disk.root, writable=True, stamp=STAMP) as files:
        files.close()


def _without_accounts(disk: GuestDisk) -> bytes:
    """Every byte but for the superblock's times of writing and checking, its count of writes, and its checksum."""
    raw = bytearray(disk.path.read_bytes()[: disk.size])
    for at, length in ((0x30, 4), (0x40, 4), (0x178, 8), (0x274, 1), (0x3FC, 4)):
        raw[1024 + at : 1024 + at + length] = bytes(length)
    return bytes(raw)


def _by_debugfs(disk: GuestDisk, path: Path) -> GuestDisk:
    copy = disk.copy(path)
    debugfs(copy, "journal_run")
    return copy


def _by_e2fsck(disk: GuestDisk, path: Path) -> GuestDisk:
    copy = disk.copy(path)
    command = ["e2fsck", "-p", "-E", "journal_only", str(copy.path)]
    run(command, purpose="replay a journal", limits=None, timeout=60, accept=(0, 1))
    return copy


@only_root_mounts
@pytest.mark.parametrize("layout", COMPARED)
def test_a_crash_is_recovered_as_by_e2fsck(layout: str, tmp_path: Path) -> None:
    disk = crashed(_disk(tmp_path / "raw", layout), tmp_path / "crashed", tmp_path / "mnt")
    assert "needs_recovery" in debugfs(disk, "features")
    expected = _without_accounts(_by_e2fsck(disk, tmp_path / "e2fsck"))
    assert expected == _without_accounts(_by_debugfs(disk, tmp_path / "debugfs"))
    _replay(disk)
    assert _without_accounts(disk) == expected


@only_root_mounts
@pytest.mark.parametrize("layout", ["ext4", "ext4-orphan_file", "ext3"])
def test_files_without_a_name_are_left_to_the_guest(layout: str, tmp_path: Path) -> None:
    disk = crashed(_disk(tmp_path / "raw", layout), tmp_path / "crashed", tmp_path / "mnt", orphans=True)
    expected = _without_accounts(_by_debugfs(disk, tmp_path / "debugfs"))
    _replay(disk)
    assert _without_accounts(disk) == expected
    with RawDisk(disk.path) as raw, ExtOpener(raw).open(disk.root, writable=True, stamp=STAMP) as files:
        files.make_directory("/root", Attributes())
        files.write("/root/key", b"k" * 9000, Attributes())
        files.write("/etc/late", b"changed", Attributes())
        files.close()
    with mounted(disk, tmp_path / "mnt", writable=True) as root:
        assert (root / "root" / "key").read_bytes() == b"k" * 9000
        assert (root / "etc" / "late").read_text() == "changed"
    assert fsck(disk) == ""


@only_root_mounts
def test_for_reading_it_is_replayed_in_memory_only(tmp_path: Path) -> None:
    disk = crashed(_disk(tmp_path / "raw", "ext4"), tmp_path / "crashed", tmp_path / "mnt")
    before = disk.digest()
    for writable in (False, True):
        with RawDisk(disk.path) as raw, ExtOpener(raw).open(disk.root, writable=writable, stamp=STAMP) as files:
            assert files.read("/etc/late", 100) == b"in the journal only\n"
            if not writable:
                files.close()
    assert disk.digest() == before


@only_root_mounts
@pytest.mark.parametrize("layout", REPLAYED)
def test_what_is_written_on_top_of_a_replay_stays(layout: str, tmp_path: Path) -> None:
    disk = crashed(_disk(tmp_path / "raw", layout), tmp_path / "crashed", tmp_path / "mnt")
    with RawDisk(disk.path) as raw, ExtOpener(raw).open(disk.root, writable=True, stamp=STAMP) as files:
        assert files.read("/etc/late", 100) == b"in the journal only\n"
        files.write("/etc/late", b"l" * 10_000, Attributes())
        files.close()
    if layout != "ext4-orphan_file":
        # There a mark is left that only a mount takes away, by e2fsck's replay as well.
        assert fsck(disk) == ""
    with mounted(disk, tmp_path / "mnt", writable=True) as root:
        assert (root / "etc" / "late").read_bytes() == b"l" * 10_000
    assert fsck(disk) == ""


@only_root_mounts
def test_fast_commits_are_another_back_ends(tmp_path: Path) -> None:
    disk = crashed(_disk(tmp_path / "raw", "ext4-fast_commit"), tmp_path / "crashed", tmp_path / "mnt")
    with pytest.raises(CannotServe, match="fast_commit"):
        _replay(disk)


# By debugfs, which writes whatever it is told into a journal. Its numbers are blocks of the file system.


def _written(tmp_path: Path, layout: str, *commands: str) -> GuestDisk:
    """A file of ten blocks, /target, and a journal that changes them; ``{n}`` is the n-th, ``{new}`` what to write.

    ``{escaped}`` begins like a block of the journal.
    """
    disk = _disk(tmp_path / "raw", layout)
    block = int(debugfs(disk, "stats").split("Block size:")[1].split()[0])
    old, new, escaped = (tmp_path / name for name in ("old", "new", "escaped"))
    old.write_bytes(b"o" * block * 10)
    new.write_bytes(b"n" * block * 2)
    escaped.write_bytes(struct.pack(">2I", 0xC03B3998, 1) + b"e" * (block - 8))
    debugfs(disk, f"write {old} target")
    blocks = debugfs(disk, "blocks target").split()
    debugfs(disk, *(command.format(*blocks, new=new, escaped=escaped) for command in commands))
    assert "needs_recovery" in debugfs(disk, "features")
    return disk


KINDS = {
    "none": ("ext3", "jo"),
    "none, 64 bits": ("ext4-plain", "jo"),
    "version 2": ("ext4", "jo -c -v 2"),
    "version 3": ("ext4", "jo -c -v 3"),
    "none, 32 bits": ("ext4-uninit_bg", "jo"),
    "version 3, 4k": ("ext4-4k", "jo -c -v 3"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_transactions_revocations_and_escapes(kind: str, tmp_path: Path) -> None:
    layout, begin = KINDS[kind]
    disk = _written(
        tmp_path,
        layout,
        begin,
        "jw -b {0},{1} {new}",
        "jw -b {2},{3} {new}",
        "jw -r {0},{2}",
        "jw -b {4} {escaped}",
        "jw -b {2} {new}",
        "jw -r {5}",
        "jw -b {6},{7} {new} -c",
        "jc",
    )
    expected = _without_accounts(_by_e2fsck(disk, tmp_path / "e2fsck"))
    _replay(disk)
    assert _without_accounts(disk) == expected
    with RawDisk(disk.path) as raw, ExtOpener(raw).open(disk.root, writable=False, stamp=STAMP) as files:
        content = files.read("/target", 1 << 20)
    seen = [content[at : at + 1] for at in range(0, len(content), len(content) // 10)]
    assert seen == [b"o", b"n", b"n", b"n", b"\xc0", b"o", b"o", b"o", b"o", b"o"]


@pytest.mark.parametrize("kind", ["version 2", "version 3"])
def test_a_wrong_checksum_is_damage(kind: str, tmp_path: Path) -> None:
    layout, begin = KINDS[kind]
    disk = _written(tmp_path, layout, begin, "jw -b {0},{1} {new}", "jw -b {2} {new}", "jc")
    raw = bytearray(disk.path.read_bytes())
    journal = debugfs(disk, "blocks <8>").split()
    block = int(debugfs(disk, "stats").split("Block size:")[1].split()[0])
    # After the superblock: a descriptor, two blocks, a commit, a descriptor, …
    for place in (1, 2, 4, 5):
        at = int(journal[place]) * block + block // 2
        damaged = raw[:at] + bytes([raw[at] ^ 0x55]) + raw[at + 1 :]
        copy = GuestDisk(tmp_path / "damaged", 0, disk.size)
        copy.path.write_bytes(damaged)
        before = copy.digest()
        with pytest.raises(GuestUnreadable, match="journal"):
            _replay(copy)
        assert copy.digest() == before


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, 0),
        (4, 7),
        (12, 512),
        (16, 1 << 31),
        (20, 0),
        (28, 1 << 30),
        (32, 5),
        (36, 1),
        (40, 0x20),
        (40, 0x40),
        (44, 1),
    ],
)
def test_a_journal_that_makes_no_sense_is_refused(at: int, value: int, tmp_path: Path) -> None:
    disk = _written(tmp_path, "ext3", "jo", "jw -b {0} {new}", "jc")
    place = int(debugfs(disk, "blocks <8>").split()[0]) * 1024
    with disk.path.open("r+b") as file:
        file.seek(place + at)
        file.write(struct.pack(">I", value))
    before = disk.digest()
    with pytest.raises((GuestUnreadable, CannotServe), match=r"journal|errors"):
        _replay(disk)
    assert disk.digest() == before


def test_a_block_outside_the_file_system_is_refused(tmp_path: Path) -> None:
    disk = _written(tmp_path, "ext3", "jo", "jw -b {0} {new}", "jc")
    journal = debugfs(disk, "blocks <8>").split()
    with disk.path.open("r+b") as file:
        file.seek(int(journal[1]) * 1024 + 12)
        file.write(struct.pack(">I", disk.size // 1024))
    with pytest.raises(GuestUnreadable, match="outside"):
        _replay(disk)


@pytest.mark.parametrize("before_the_end", range(1, 9))
def test_the_journal_is_a_ring(before_the_end: int, tmp_path: Path) -> None:
    disk = _written(
        tmp_path, "ext4-plain", "jo", "jw -b {0},{1} {new}", "jw -b {2},{3} {new}", "jw -r {3}", "jw -b {5} {new}", "jc"
    )
    journal = [int(block) for block in debugfs(disk, "blocks <8>").split()]
    with disk.path.open("r+b") as file:
        superblock = bytearray(os.pread(file.fileno(), 1024, journal[0] * 1024))
        last, first, start = (struct.unpack_from(">I", superblock, at)[0] for at in (16, 20, 28))
        ring = [os.pread(file.fileno(), 1024, journal[place] * 1024) for place in range(first, last)]
        shift = len(ring) - before_the_end
        for place, block in enumerate(ring):
            os.pwrite(file.fileno(), block, journal[first + (place + shift) % len(ring)] * 1024)
        struct.pack_into(">I", superblock, 28, first + (start - first + shift) % len(ring))
        os.pwrite(file.fileno(), superblock, journal[0] * 1024)
    expected = _without_accounts(_by_e2fsck(disk, tmp_path / "e2fsck"))
    _replay(disk)
    assert _without_accounts(disk) == expected
    assert debugfs(disk, "cat target").startswith("n" * 3072 + "o")
