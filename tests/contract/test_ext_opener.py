"""What the ``ext`` back end refuses, and that a refusal, a damaged guest or a failing disk leaves every byte alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from injector.errors import CannotServe, GuestUnreadable, ItemRefused
from injector.inject.partition.ext.files import ExtFiles
from injector.inject.partition.ext.opener import ExtOpener
from injector.inject.partition.filesystem import Attributes
from tests.guest_disks import MIB, GuestDisk, RawDisk, debugfs, fsck, make_ext
from tests.guest_recipes import odd_tree

STAMP = 1_700_000_000
NOTHING = Attributes()
PLAIN = ("-O", "^metadata_csum,^64bit")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return odd_tree(tmp_path_factory.mktemp("trees") / "odd")


@pytest.fixture
def disk(tmp_path: Path, tree: Path) -> GuestDisk:
    """Without checksums: whatever is changed is seen by its meaning only."""
    return make_ext(tmp_path / "raw", size=16 * MIB, options=PLAIN, tree=tree)


@pytest.fixture
def raw(disk: GuestDisk) -> Iterator[RawDisk]:
    with RawDisk(disk.path) as raw:
        yield raw


def _inject(files: ExtFiles) -> None:
    files.make_directory("/root", NOTHING)
    files.write("/root/key", b"k" * 5000, NOTHING)
    files.write("/etc/motd", b"m" * 5000, NOTHING)
    files.close()


def _refused(disk: GuestDisk, raw: RawDisk, kind: type[Exception], match: str) -> None:
    before = disk.digest()
    with pytest.raises(kind, match=match):
        _try(disk, raw)
    assert raw.writes == 0
    assert disk.digest() == before


def _try(disk: GuestDisk, raw: RawDisk) -> None:
    with ExtOpener(raw).open(disk.root, writable=True, stamp=STAMP) as files:
        _inject(files)


def test_few_reads_and_one_flush_do(disk: GuestDisk, raw: RawDisk) -> None:
    _try(disk, raw)
    assert raw.reads < 20
    assert raw.flushes == 1
    assert fsck(disk) == ""


def test_a_volume_within_something_else_is_not_for_it(disk: GuestDisk, raw: RawDisk) -> None:
    root = replace(disk.root, volume="/dev/vg/root")
    with pytest.raises(CannotServe), ExtOpener(raw).open(root, writable=False, stamp=STAMP):
        pass


@pytest.mark.parametrize("where", [{"start": 512}, {"size": 1024}, {"start": 0, "size": 2 * MIB}])
def test_a_root_that_is_no_ext_is_not_for_it(disk: GuestDisk, raw: RawDisk, where: dict[str, int]) -> None:
    with pytest.raises(CannotServe), ExtOpener(raw).open(replace(disk.root, **where), writable=False, stamp=STAMP):  # type: ignore[arg-type]
        pass


def test_a_partition_smaller_than_its_file_system_is_damaged(disk: GuestDisk, raw: RawDisk) -> None:
    for size in (disk.size - MIB, disk.size + 2 * MIB):
        with (
            pytest.raises(GuestUnreadable),
            ExtOpener(raw).open(replace(disk.root, size=size), writable=False, stamp=STAMP),
        ):
            pass


@pytest.mark.parametrize("feature", ["encrypt", "inline_data", "quota", "bigalloc", "mmp", "ea_inode", "verity"])
def test_features_that_are_not_edited(feature: str, tmp_path: Path) -> None:
    disk = make_ext(tmp_path / "raw", options=("-O", feature))
    with RawDisk(disk.path) as raw:
        _refused(disk, raw, CannotServe, feature)


@pytest.mark.parametrize("after", range(12))
def test_a_disk_that_fails_is_said_as_it_is(disk: GuestDisk, raw: RawDisk, after: int) -> None:
    """At whichever read it begins."""
    before = disk.digest()
    counted = _Failing(raw, after)
    with pytest.raises(OSError, match="gone"), ExtOpener(counted).open(disk.root, writable=True, stamp=STAMP) as files:
        _inject(files)
    assert raw.writes == 0
    assert disk.digest() == before


class _Failing:
    """A disk that is gone after so many reads."""

    def __init__(self, disk: RawDisk, after: int) -> None:
        self._disk = disk
        self._left = after

    @property
    def size(self) -> int:
        return self._disk.size

    def read(self, start: int, length: int) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise OSError(5, "gone")
        return self._disk.read(start, length)

    def write(self, start: int, data: bytes) -> None:
        raise OSError(5, "gone")

    def flush(self) -> None:
        raise OSError(5, "gone")


DAMAGE = {
    "a name leads to no inode": ("sif /etc/motd links_count 0",),
    "an inode is of no kind": ("sif /etc/motd mode 0",),
    "a name leads to the journal": ("link <8> /etc/other", "unlink /etc/motd", "link <8> /etc/motd"),
    "a file lies outside the partition": ("sif /etc/motd flags 0", "sif /etc/motd block[0] 0x7fffffff"),
    "a file has a broken tree": ("sif /etc/motd block[0] 0x1234",),
    "a directory lies outside": ("sif /etc flags 0", "sif /etc block[0] 0x7fffffff"),
    "a directory has a hole": ("sif /etc flags 0", "sif /etc block[0] 0"),
    "a bitmap lies outside": ("set_bg 0 block_bitmap 0x7fffffff",),
    "an inode table lies outside": ("set_bg 0 inode_table 0x7fffffff",),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_refused(disk: GuestDisk, raw: RawDisk, what: str) -> None:
    debugfs(disk, *DAMAGE[what])
    _refused(disk, raw, GuestUnreadable, "its file system")


def test_a_name_that_leads_beyond_the_inodes(disk: GuestDisk, raw: RawDisk) -> None:
    at = disk.start + _first_block(disk, "/etc")
    names = raw.read(at, 1024)
    raw.write(at + names.index(b"motd") - 8, b"\xff\xff\xff\x7f")
    raw.writes = 0
    _refused(disk, raw, GuestUnreadable, "its file system")


@pytest.mark.parametrize("what", ["inode", "superblock", "descriptors", "directory", "bitmap", "attributes"])
def test_wrong_checksums_are_damage(what: str, tmp_path: Path, tree: Path) -> None:
    disk = make_ext(tmp_path / "raw", size=16 * MIB, tree=tree)
    debugfs(disk, f"ea_set /etc/motd user.large {'x' * 500}")
    at = {
        "inode": lambda: _inode(disk, "/etc/motd") + 4,
        "superblock": lambda: 1024 + 0x78,
        "descriptors": lambda: 2048 + 0x12,
        "directory": lambda: _first_block(disk, "/etc") + 40,
        "bitmap": lambda: _number(debugfs(disk, "stats"), "block bitmap at ") * 1024,
        "attributes": lambda: _number(debugfs(disk, "stat /etc/motd"), "File ACL: ") * 1024 + 900,
    }[what]()
    with disk.path.open("r+b") as file:
        file.seek(disk.start + at)
        old = file.read(1)[0]
        file.seek(disk.start + at)
        file.write(bytes([old ^ 0x10]))
    with RawDisk(disk.path) as raw:
        before = disk.digest()
        with pytest.raises(GuestUnreadable, match="damaged"):
            _look_and_try(disk, raw)
        assert disk.digest() == before


def _number(text: str, after: str) -> int:
    return int(text.split(after)[1].split()[0].strip(","))


def _first_block(disk: GuestDisk, path: str) -> int:
    return int(debugfs(disk, f"blocks {path}").split()[0]) * 1024


def _inode(disk: GuestDisk, path: str) -> int:
    block, offset = debugfs(disk, f"imap {path}").split("located at block ")[1].split(", offset ")
    return int(block) * 1024 + int(offset, 16)


def _look_and_try(disk: GuestDisk, raw: RawDisk) -> None:
    with ExtOpener(raw).open(disk.root, writable=True, stamp=STAMP) as files:
        for name in files.names("/etc"):
            files.entry(f"/etc/{name}")
        _inject(files)


def test_nothing_more_is_written_after_a_change_that_failed(disk: GuestDisk, raw: RawDisk) -> None:
    """It was refused half-way, where no look beforehand could tell."""
    before = disk.digest()
    with ExtOpener(raw).open(disk.root, writable=True, stamp=STAMP) as files:
        files.write("/etc/motd", b"fine", NOTHING)
        with pytest.raises(ItemRefused, match="label"):
            files.write("/etc/new", b"x", Attributes(label="l" * 70_000))
        with pytest.raises(ItemRefused):
            files.write("/etc/motd", b"again", NOTHING)
        with pytest.raises(ItemRefused, match="did not end well"):
            files.close()
    assert disk.digest() == before


@pytest.mark.parametrize("kind", ["ext3", "ext4"])
def test_a_file_that_has_the_last_block_is_rewritten(kind: str, tmp_path: Path) -> None:
    """ext2fs_punch of 1.47.0 calls that block a wrong one."""
    disk = make_ext(tmp_path / "raw", kind=kind, size=8 * MIB, options=("-m", "0"))
    (tmp_path / "filler").write_bytes(b"f" * 8 * MIB)
    with pytest.raises(ValueError, match=r"[Nn]o space|allocate"):
        debugfs(disk, f"write {tmp_path / 'filler'} filler")
    assert str(disk.size // 1024 - 1) in debugfs(disk, "blocks filler").split()
    with RawDisk(disk.path) as raw, ExtOpener(raw).open(disk.root, writable=True, stamp=STAMP) as files:
        files.write("/filler", b"short", NOTHING)
        files.write("/new", b"n" * 6_000_000, NOTHING)
        files.close()
    assert fsck(disk) == ""


def test_a_file_in_many_pieces_is_rewritten(tmp_path: Path) -> None:
    """With a tree of extents, of which some were never written to, and blocks after its end."""
    disk = make_ext(tmp_path / "raw", size=16 * MIB)
    debugfs(disk, f"write {__file__} pieces", *(f"fallocate pieces {at} {at}" for at in range(40, 2400, 2)))
    assert "Depth" in debugfs(disk, "extents pieces") or "1/ 1" in debugfs(disk, "extents pieces")
    for content in (b"x" * 300_000, b"", b"y" * 3_000_000):
        with RawDisk(disk.path) as raw, ExtOpener(raw).open(disk.root, writable=True, stamp=STAMP) as files:
            files.write("/pieces", content, NOTHING)
            files.close()
            assert files.read("/pieces", 3_000_000) == content
        assert fsck(disk) == ""
