"""What every back end promises of a guest's files: what was written is there, the rest is as it was, and sound.

Judges are e2fsck, debugfs and this host's kernel. A back end is a line in ``BACK_ENDS``: it gets its own copy of every
disk at once, so that one that is slow to start can take them all in one go.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from injector.errors import GuestUnreadable, ItemRefused
from injector.inject.partition.ext.opener import ExtOpener
from injector.inject.partition.filesystem import Attributes, GuestFiles, Kind, Opener
from injector.inject.partition.mounted.opener import MountedOpener
from tests.guest_appliance import Slots
from tests.guest_disks import MIB, GuestDisk, RawDisk, debugfs, fsck, mounted
from tests.guest_mount import RawFile
from tests.guest_recipes import LAYOUTS, OLD, Maker, make_all

STAMP = 1_700_000_000
FEW = ("ext4-4k", "ext4-orphan_file", "ext3", "ext2-bare")
LABEL = "system_u:object_r:admin_home_t:s0"
NOTHING = Attributes()


@dataclass(frozen=True)
class BackEnd:
    """``opener`` of one of the suite's disks. ``exact``: leaving without ``close`` leaves every byte as it was.

    A kernel is not exact: it writes when it mounts, keeps some blocks for itself, and has its own clock for changes of
    inodes. ``any_bytes``: names need not be UTF-8. ``quick``: it costs nothing to ask it often.
    """

    name: str
    exact: bool
    opener: Callable[[GuestDisk], AbstractContextManager[Opener]]
    any_bytes: bool = True
    quick: bool = True


@contextmanager
def _ext(disks: Mapping[str, GuestDisk], _place: Path, _request: pytest.FixtureRequest) -> Iterator[BackEnd]:
    with ExitStack() as open_disks:
        raw = {disk.path: open_disks.enter_context(RawDisk(disk.path)) for disk in disks.values()}
        yield BackEnd("ext", True, lambda disk: nullcontext(ExtOpener(raw[disk.path])))


@contextmanager
def _guestfs(_disks: Mapping[str, GuestDisk], _place: Path, request: pytest.FixtureRequest) -> Iterator[BackEnd]:
    slots: Slots = request.getfixturevalue("appliance_slots")
    yield BackEnd("guestfs", False, slots.opener, any_bytes=False, quick=False)


@contextmanager
def _mounted(_disks: Mapping[str, GuestDisk], place: Path, _request: pytest.FixtureRequest) -> Iterator[BackEnd]:
    yield BackEnd("mounted", False, lambda disk: nullcontext(MountedOpener(RawFile(disk.path, place))))


Opening = Callable[[Mapping[str, GuestDisk], Path, pytest.FixtureRequest], AbstractContextManager[BackEnd]]

BACK_ENDS: dict[str, Opening] = {
    "ext": _ext,
    "guestfs": _guestfs,
    # Only root can have the kernel mount a disk.
    **({"mounted": _mounted} if os.geteuid() == 0 else {}),
}


@pytest.fixture(scope="session")
def masters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, GuestDisk]:
    return make_all(Maker.at(tmp_path_factory.mktemp("masters")))


@dataclass(frozen=True)
class House:
    """A back end and its disks, by the names of the recipes; a test names those that are its own."""

    back_end: BackEnd
    disks: Mapping[str, GuestDisk]

    @contextmanager
    def open(self, disk: GuestDisk, *, writable: bool = True) -> Iterator[GuestFiles]:
        with (
            self.back_end.opener(disk) as opener,
            opener.open(disk.root, writable=writable, stamp=STAMP) as files,
        ):
            yield files

    def reaches(self, name: str) -> bool:
        """Refused is what it cannot reach, and not written elsewhere."""
        return self.back_end.any_bytes or not any("\udc80" <= letter <= "\udcff" for letter in name)

    @contextmanager
    def writing(self, disk: GuestDisk) -> Iterator[GuestFiles]:
        with self.open(disk) as files:
            yield files
            files.close()

    def untouched(self, disk: GuestDisk, before: tuple[str, str]) -> bool:
        return before == self.state(disk)

    def state(self, disk: GuestDisk) -> tuple[str, str]:
        """Every byte, where that can be promised; else what is in it."""
        return (disk.digest() if self.back_end.exact else "", debugfs(disk, "ls -lr /", "ls -l /etc", "cat /etc/motd"))


@pytest.fixture(scope="session", params=BACK_ENDS)
def house(
    request: pytest.FixtureRequest, masters: Mapping[str, GuestDisk], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    place = tmp_path_factory.mktemp(request.param)
    disks = {name: disk.copy(place / disk.path.name) for name, disk in masters.items()}
    with BACK_ENDS[request.param](disks, place, request) as back_end:
        yield House(back_end, disks)


def _as_the_kernel_reads(disk: GuestDisk, at: Path, paths: tuple[str, ...]) -> dict[str, tuple[bytes, int, int, int]]:
    """Content, mode, owner and group."""
    with mounted(disk, at) as root:
        found = {}
        for path in paths:
            place = root / path.lstrip("/")
            seen = place.lstat()
            content = place.read_bytes() if stat.S_ISREG(seen.st_mode) else b""
            found[path] = (content, stat.S_IMODE(seen.st_mode), seen.st_uid, seen.st_gid)
        return found


only_root_mounts = pytest.mark.skipif(os.geteuid() != 0, reason="only root can have the kernel mount a disk")


@only_root_mounts
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_an_injection_does_on_every_layout(house: House, layout: str, tmp_path: Path) -> None:
    if layout not in FEW and not house.back_end.quick:
        return
    disk = house.disks[f"layout {layout}"]
    labelled = Attributes() if layout == "ext2-bare" else Attributes(label=LABEL)
    with house.writing(disk) as files:
        assert files.filesystem == disk.filesystem
        files.make_directory("/root", Attributes(mode=0o700))
        files.make_directory("/root/.ssh", Attributes(mode=0o700, label=labelled.label))
        files.write("/root/.ssh/authorized_keys", b"ssh-ed25519 AAAA\n", Attributes(mode=0o600, label=labelled.label))
        files.write("/etc/large", b"0123456789abcdef" * 65536, Attributes(mode=0o4711, uid=100_000, gid=4_000_000_000))
        files.write("/etc/none", b"", NOTHING)
        files.write("/etc/motd", b"new\n", NOTHING)
        files.write("/etc/one", b"grown" * 50_000, NOTHING)
        files.write("/etc/empty", b"not any more", Attributes(mode=0o600))
        files.change("/home/ubuntu", Attributes(mode=0o711, uid=1000, gid=1001))
    assert fsck(disk) == ""
    with house.open(disk, writable=False) as files:
        entry = files.entry("/root/.ssh/authorized_keys")
        assert entry is not None
        assert entry.label == labelled.label
        assert files.read("/etc/one", 250_000) == b"grown" * 50_000
    expected = {
        "/root": (b"", 0o700, 0, 0),
        "/root/.ssh": (b"", 0o700, 0, 0),
        "/root/.ssh/authorized_keys": (b"ssh-ed25519 AAAA\n", 0o600, 0, 0),
        "/etc/large": (b"0123456789abcdef" * 65536, 0o4711, 100_000, 4_000_000_000),
        "/etc/none": (b"", 0o644, 0, 0),
        "/etc/motd": (b"new\n", 0o640, 0, 0),
        "/etc/one": (b"grown" * 50_000, 0o644, 0, 0),
        "/etc/empty": (b"not any more", 0o600, 0, 0),
        "/etc/big": (bytes(range(256)) * 4096, 0o644, 0, 0),
        "/home/ubuntu": (b"", 0o711, 1000, 1001),
    }
    assert _as_the_kernel_reads(disk, tmp_path / "mnt", tuple(expected)) == expected


@only_root_mounts
def test_the_kernel_goes_on_where_we_wrote(house: House, tmp_path: Path) -> None:
    """A guest's kernel writes beside and into what was written."""
    disk = house.disks["twice"]
    with house.writing(disk) as files:
        files.make_directory("/root", NOTHING)
        for number in range(40):
            files.write(f"/root/ours-{number}", b"o" * 3000, NOTHING)
    with mounted(disk, tmp_path / "mnt", writable=True) as root:
        for number in range(40):
            (root / "root" / f"theirs-{number}").write_bytes(b"t" * 3000)
            (root / "root" / f"ours-{number}").write_bytes(b"changed" * 500)
    assert fsck(disk) == ""
    with house.writing(disk) as files:
        assert files.read("/root/ours-7", 4000) == b"changed" * 500
        files.write("/root/theirs-7", b"ours now", NOTHING)
    assert fsck(disk) == ""
    assert _as_the_kernel_reads(disk, tmp_path / "mnt", ("/root/theirs-7",))["/root/theirs-7"][0] == b"ours now"


@only_root_mounts
def test_what_is_in_the_journal_only_is_read_and_kept(house: House, tmp_path: Path) -> None:
    disk = house.disks["crashed"]
    assert "needs_recovery" in debugfs(disk, "features")
    with house.writing(disk) as files:
        assert files.read("/etc/late", 100) == b"in the journal only\n"
        files.write("/etc/late", b"l" * 10_000, NOTHING)
        files.write("/etc/motd", b"new\n", NOTHING)
    assert fsck(disk) == ""
    assert "needs_recovery" not in debugfs(disk, "features")
    found = _as_the_kernel_reads(disk, tmp_path / "mnt", ("/etc/late", "/etc/motd", "/etc/big"))
    assert [content for content, *_ in found.values()] == [b"l" * 10_000, b"new\n", bytes(range(256)) * 4096]


def test_entries_of_every_kind(house: House) -> None:
    with house.open(house.disks["odd"], writable=False) as files:
        listed = set(files.names("/odd"))
        assert "caf\udce9" in listed
        found = {name: files.entry(f"/odd/{name}") for name in listed if house.reaches(name)}
    kinds = {name: entry.kind for name, entry in found.items() if entry is not None}
    others = {"fifo", "socket", "character", "block"}
    links = {"short", "long", "loop"}
    assert {name for name, kind in kinds.items() if kind is Kind.OTHER} == others
    assert {name for name, kind in kinds.items() if kind is Kind.LINK} == links
    files_of_names = {"naïve ☃ name", "quote\"s 'n\nnewlines", "caf\udce9", "n" * 255, "holes"}
    assert kinds.keys() - others - links == {name for name in files_of_names if house.reaches(name)}
    assert {name: found[name].target for name in links if (found[name])} == {  # type: ignore[union-attr]
        "short": "../etc/motd",
        "long": "/" + "/".join(["far"] * 40),
        "loop": "loop",
    }


def test_reading_is_bounded_and_of_files_only(house: House) -> None:
    with house.open(house.disks["odd"], writable=False) as files:
        assert files.read("/odd/naïve ☃ name", 4) == b"snow"
        if house.reaches("/odd/caf\udce9"):
            assert files.read("/odd/caf\udce9", 100) == b"latin"
        assert files.read("/odd/quote\"s 'n\nnewlines", 100) == b"script"
        assert files.read("/odd/holes", 400_000) == bytes(300_000) + b"end"
        assert files.entry("/odd/nowhere") is None
        assert files.entry("/odd/holes/below") is None
        assert files.entry("/nowhere/at/all") is None
        for path in ("/odd/fifo", "/odd/character", "/odd/socket", "/odd/short", "/odd", "/odd/nowhere"):
            with pytest.raises(ItemRefused):
                files.read(path, 100)
        with pytest.raises(ItemRefused):
            files.read("/odd/holes", 300_002)
        with pytest.raises(ItemRefused):
            list(files.names("/etc/motd"))


def test_the_root_itself(house: House) -> None:
    with house.open(house.disks["read"], writable=False) as files:
        entry = files.entry("/")
        assert entry is not None
        assert (entry.kind, entry.inode) == (Kind.DIRECTORY, 2)
        assert set(files.names("/")) == {"etc", "home", "lost+found"}


def test_reading_writes_nothing(house: House) -> None:
    disk = house.disks["read"]
    before = house.state(disk)
    with house.open(disk, writable=False) as files:
        files.read("/etc/motd", 1000)
        list(files.names("/etc"))
        files.room()
        files.close()
    assert house.untouched(disk, before)


def test_reading_only_refuses_to_write(house: House) -> None:
    with house.open(house.disks["read"], writable=False) as files, pytest.raises(ItemRefused):
        files.write("/etc/motd", b"x", NOTHING)


def test_leaving_without_close_writes_nothing(house: House) -> None:
    if not house.back_end.exact:
        return
    disk = house.disks["left"]
    before = house.state(disk)
    with house.open(disk) as files:
        files.write("/etc/motd", b"half of it", NOTHING)
        files.make_directory("/half", NOTHING)
    with pytest.raises(ItemRefused):
        _fail_half_way(house, disk)
    assert house.untouched(disk, before)


def _fail_half_way(house: House, disk: GuestDisk) -> None:
    with house.open(disk) as files:
        files.write("/etc/motd", b"half of it", NOTHING)
        files.read("/nowhere", 1)
        files.close()


def test_a_rewritten_file_keeps_all_that_it_is(house: House) -> None:
    disk = house.disks["kept"]
    with house.writing(disk) as files:
        before = files.entry("/etc/motd")
        files.write("/etc/motd", b"new and longer than before\n" * 200, NOTHING)
    assert fsck(disk) == ""
    with house.open(disk, writable=False) as files:
        after = files.entry("/etc/motd")
        assert before is not None
        assert after is not None
        kept = ("kind", "mode", "uid", "gid", "inode", "links", "label")
        assert {name: getattr(after, name) for name in kept} == {name: getattr(before, name) for name in kept}
        assert (after.uid, after.gid, after.mode, after.links) == (70000, 70001, 0o6750, 2)
        assert after.label == "system_u:object_r:etc_t:s0"
        assert files.read("/etc/issue", 10_000) == b"new and longer than before\n" * 200
    said = debugfs(disk, "stat /etc/motd", "ea_get /etc/motd user.owner", "ea_get /etc/motd user.story")
    assert "Flags: 0x80050" in said
    assert "crtime: 0x5e0be100" in said
    assert 'user.owner (8) = "somebody"' in said
    assert "x" * 300 in said
    assert f"mtime: {STAMP:#x}" in said


@only_root_mounts
def test_attributes_are_set_beside_others(house: House, tmp_path: Path) -> None:
    disk = house.disks["kept"]
    with house.writing(disk) as files:
        files.change("/etc/motd", Attributes(label=LABEL, mode=0o600))
        files.change("/etc/one", Attributes(label="u:r:" + "long" * 100 + ":s0"))
        files.write("/etc/fresh", b"fresh", Attributes(label=LABEL))
    assert fsck(disk) == ""
    with mounted(disk, tmp_path / "mnt") as root:
        motd = root / "etc" / "motd"
        assert os.getxattr(motd, "user.owner") == b"somebody"
        assert os.getxattr(motd, "user.story") == b"x" * 300
        assert _label(motd) == LABEL
        assert _label(root / "etc" / "one") == "u:r:" + "long" * 100 + ":s0"
        assert _label(root / "etc" / "fresh") == LABEL
        assert motd.stat().st_mode & 0o7777 == 0o600


def _label(path: Path) -> str:
    return os.getxattr(path, "security.selinux").removesuffix(b"\0").decode()


SIZES = (0, 1, 1023, 1024, 4097, 13 * 1024, 300_000, 3 * MIB, 299_999, 12 * 1024, 1, 0, 1024 * 1024, 0)


@pytest.mark.parametrize("kind", ["ext3", "ext4"])
def test_contents_grow_and_shrink_in_place(house: House, kind: str) -> None:
    disk = house.disks[f"sizes {kind}"]
    for size in SIZES if house.back_end.quick else SIZES[6:9]:
        content = os.urandom(size)
        with house.writing(disk) as files:
            files.write("/etc/motd", content, NOTHING)
        with house.open(disk, writable=False) as files:
            assert files.read("/etc/motd", size) == content
            assert files.read("/etc/big", 1024 * 1024) == bytes(range(256)) * 4096
        assert fsck(disk) == ""


def test_several_sizes_in_one_opening(house: House) -> None:
    disk = house.disks["whole"]
    with house.writing(disk) as files:
        for size in (500_000, 10, 200_000, 0, 70_000):
            files.write("/etc/motd", b"s" * size, NOTHING)
            assert files.read("/etc/motd", size) == b"s" * size
            assert files.entry("/etc/motd").size == size  # type: ignore[union-attr]
    assert fsck(disk) == ""


@only_root_mounts
@pytest.mark.parametrize("disk_name", ["linear", "indexed"])
def test_directories_of_thousands(house: House, disk_name: str, tmp_path: Path) -> None:
    disk = house.disks[disk_name]
    count = 3000 if house.back_end.quick else 60
    names = [f"newcomer-{number:05}-{'x' * (number % 60)}" for number in range(count)]
    with house.writing(disk) as files:
        if disk_name == "linear":
            files.make_directory("/crowd", NOTHING)
        for name in names:
            files.write(f"/crowd/{name}", b"", NOTHING)
        for number in range(count // 30):
            files.make_directory(f"/crowd/inner-{number}", NOTHING)
        assert set(names) <= set(files.names("/crowd"))
    assert fsck(disk) == ""
    with mounted(disk, tmp_path / "mnt") as root:
        crowd = root / "crowd"
        assert crowd.stat().st_nlink == count // 30 + 2
        assert {name for name in names if not (crowd / name).is_file()} == set()
        assert len(list(crowd.iterdir())) == count + count // 30 + (0 if disk_name == "linear" else 3000)


def test_a_full_file_system_is_refused_and_untouched(house: House) -> None:
    disk = house.disks["full"]
    before = house.state(disk)
    with house.open(disk) as files:
        assert files.room().bytes < 200_000
        with pytest.raises(ItemRefused, match="full"):
            files.write("/etc/new", b"n" * 400_000, NOTHING)
        with pytest.raises(ItemRefused, match="full"):
            files.write("/etc/motd", b"n" * 400_000, NOTHING)
        assert files.entry("/etc/new") is None
        assert files.read("/etc/motd", 1000) == OLD.encode()
        files.close()
    assert house.untouched(disk, before)
    if house.back_end.exact:  # a kernel keeps the last blocks for itself
        with house.writing(disk) as files:
            files.write("/etc/motd", b"n" * 20_000, NOTHING)
    assert fsck(disk) == ""


def test_no_free_inode_is_refused_and_untouched(house: House) -> None:
    disk = house.disks["full of inodes"]
    with house.writing(disk) as files:
        for number in range(files.room().inodes):
            files.write(f"/etc/last-{number}", b"", NOTHING)
        assert files.room().inodes == 0
    assert fsck(disk) == ""
    before = house.state(disk)
    with house.open(disk) as files:
        with pytest.raises(ItemRefused, match="inode"):
            files.write("/etc/new", b"", NOTHING)
        with pytest.raises(ItemRefused, match="inode"):
            files.make_directory("/new", NOTHING)
        files.close()
    assert house.untouched(disk, before)


def test_what_is_reserved_for_root_is_not_room(house: House) -> None:
    disk = house.disks["reserved"]
    said = debugfs(disk, "stats")
    free, reserved = (int(said.split(f"{what}:")[1].split()[0]) for what in ("Free blocks", "Reserved block count"))
    with house.open(disk) as files:
        room = files.room()
        kept = 0 if house.back_end.exact else disk.size // 50
        assert abs(room.bytes - (free - reserved) * room.block + kept) <= 64 * room.block
        assert room.inodes == int(said.split("Free inodes:")[1].split()[0])
        with pytest.raises(ItemRefused, match="full"):
            files.write("/etc/new", b"n" * (room.bytes + 1), NOTHING)


def test_what_cannot_be_written_is_refused_before_anything_changes(house: House) -> None:
    disk = house.disks["refused"]
    before = house.state(disk)
    with house.open(disk) as files:
        for path in ("/odd/fifo", "/odd/socket", "/odd/short", "/odd", "/", "/nowhere/file", "/etc/" + "n" * 256):
            with pytest.raises(ItemRefused):
                files.write(path, b"x", NOTHING)
        for path in ("/etc", "/etc/motd", "/nowhere/directory", "/etc/motd/below", "/" + "ü" * 128):
            with pytest.raises(ItemRefused):
                files.make_directory(path, NOTHING)
        with pytest.raises(ItemRefused):
            files.change("/nowhere", Attributes(mode=0o600))
        for path in ("/odd/short/below", "/odd/loop/below"):
            with pytest.raises(GuestUnreadable):
                files.entry(path)
        files.close()
    assert house.untouched(disk, before)


def test_odd_names_are_written(house: House) -> None:
    disk = house.disks["odd"]
    every = ("naïve ☃ name", "quote\"s 'n\nnewlines", "caf\udce9", "n" * 255, "-f", " ", "$(reboot)", "\t", "new\udcff")
    names = [name for name in every if house.reaches(name)]
    with house.writing(disk) as files:
        files.make_directory("/名前", NOTHING)
        for name in names:
            files.write(f"/odd/{name}", name.encode("utf-8", "surrogateescape"), NOTHING)
            files.write(f"/名前/{name}", b"there", NOTHING)
    assert fsck(disk) == ""
    with house.open(disk, writable=False) as files:
        assert set(files.names("/名前")) == set(names)
        for name in names:
            assert files.read(f"/odd/{name}", 300) == name.encode("utf-8", "surrogateescape")


def test_times_are_those_of_the_errand(house: House) -> None:
    disk = house.disks["left"]
    with house.writing(disk) as files:
        files.write("/etc/timed", b"x", NOTHING)
    said = debugfs(disk, "stat /etc/timed")
    for time in ("ctime", "atime", "mtime", "crtime") if house.back_end.exact else ("atime", "mtime"):
        assert f"{time}: {STAMP:#x}" in said
    assert f"mtime: {STAMP:#x}" in debugfs(disk, "stat /etc")


def test_a_name_that_cannot_be_reached_is_refused(house: House) -> None:
    if house.back_end.any_bytes:
        return
    with house.open(house.disks["odd"]) as files:
        for path in ("/odd/caf\udce9", "/new\udcff", "/odd\udcff/below"):
            with pytest.raises(ItemRefused, match="UTF-8"):
                files.entry(path)
            with pytest.raises(ItemRefused, match="UTF-8"):
                files.write(path, b"x", NOTHING)
