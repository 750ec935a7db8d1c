"""Roots that only an appliance reaches: xfs, btrfs with the root in a subvolume, a logical volume.

They are made inside of the tests' one appliance, so nothing here needs a device mapper of this host; what was written
is read by this host's kernel, or by debugfs where the volume is known to begin.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from injector.errors import CannotServe, GuestUnreadable
from injector.inject.channel import GuestDisk as Overlay
from injector.inject.partition.carry_out import carry_out
from injector.inject.partition.errand import Inject, Injected, Survey, Wanted
from injector.inject.partition.ext.opener import ExtOpener
from injector.inject.partition.guestfs.door import GuestfsDoor
from injector.inject.partition.guestfs.inspection import look_into, root_at, survey
from injector.inject.partition.guestfs.opener import GuestfsOpener
from injector.model.facts import ImageFacts, Root
from injector.model.payload import ItemKind
from injector.model.secret import Secret
from injector.settings import PartitionSettings
from injector.system.process import run
from tests import builders as a
from tests.guest_appliance import BTRFS, LVM, PARTITIONED, XFS, Slots
from tests.guest_disks import MIB, START, GuestDisk, RawDisk, debugfs, fsck, make_ext
from tests.memory_files import PASSWD, SHADOW

STAMP = 1_700_000_000
KEYS = "/root/.ssh/authorized_keys"
LARGE = os.urandom(3 * MIB)
ROOTS = {XFS: f"{XFS}1", BTRFS: f"btrfsvol:{BTRFS}1/@rootfs", LVM: "/dev/guest/root"}
VOLUME = START + MIB
"""Where the first volume of a group begins: the header of a physical volume is a MiB."""


@pytest.fixture(scope="session")
def guests(appliance_slots: Slots) -> Slots:
    handle = appliance_slots.handle
    for drive in ROOTS:
        handle.part_init(drive, "mbr")
        handle.part_add(drive, "p", START // 512, -1)
    handle.mkfs("xfs", f"{XFS}1")
    _grow(handle, f"{XFS}1", "")
    handle.mkfs("btrfs", f"{BTRFS}1")
    handle.mount(f"{BTRFS}1", "/")
    handle.btrfs_subvolume_create("/@rootfs")
    handle.btrfs_subvolume_create("/home")
    handle.umount_all()
    _grow(handle, f"{BTRFS}1", "subvol=@rootfs")
    handle.pvcreate(f"{LVM}1")
    handle.vgcreate("guest", [f"{LVM}1"])
    handle.lvcreate("root", "guest", 100)
    handle.lvcreate("swap", "guest", 8)
    handle.mkfs("ext4", "/dev/guest/root")
    _grow(handle, "/dev/guest/root", "")
    return appliance_slots


def _grow(handle: Any, device: str, options: str) -> None:
    """A small guest's root."""
    handle.mount_options(options, device, "/")
    for directory in ("/etc", "/bin", "/usr/bin", "/root", "/sbin", "/var"):
        handle.mkdir_p(directory)
    files = {"/etc/passwd": PASSWD, "/etc/shadow": SHADOW, "/etc/os-release": b"ID=made\nVERSION_ID=7\n"}
    files |= {"/etc/fstab": b"/dev/sda1 / auto defaults 0 0\n", "/etc/motd": b"old\n", "/sbin/init": b"ELF"}
    for path, content in files.items():
        handle.write(path, content)
    handle.chown(33, 34, "/etc/motd")
    handle.umount_all()


def _facts(guests: Slots, drive: str) -> ImageFacts:
    """As a survey makes them of a disk that is alone in its appliance."""
    surveyed = survey(guests.handle, drive)
    root = root_at(guests.handle, drive, surveyed.partitions, ROOTS[drive])
    return look_into(guests.handle, drive, surveyed, root)


def _wanted() -> tuple[Wanted, ...]:
    return (
        Wanted(a.an_item(ItemKind.KEY, "laptop"), Secret(a.PUBLIC_KEY)),
        Wanted(a.an_item(ItemKind.FILE, "/etc/motd"), Secret(LARGE)),
        Wanted(a.an_item(ItemKind.FILE, "/opt/a/b", mode=0o4750, owner="ada"), Secret(b"hello\n")),
        Wanted(a.an_item(ItemKind.PASSWORD, "password"), Secret("hunter2")),
    )


@pytest.mark.parametrize("drive", ROOTS)
def test_what_is_written_is_there(guests: Slots, drive: str, tmp_path: Path) -> None:
    facts = _facts(guests, drive)
    assert facts.root is not None
    assert (facts.os, facts.os_version, facts.doubt) == ("made", "7", None)
    assert facts.root.filesystem == {XFS: "xfs", BTRFS: "btrfs", LVM: "ext4"}[drive]

    answer = carry_out(Inject(facts.root, _wanted(), STAMP), GuestfsOpener(guests.handle, drive))

    assert isinstance(answer, Injected)
    if os.geteuid() != 0:
        return
    with _kernel(guests.files[drive], drive, tmp_path / "mnt") as root:
        assert (root / KEYS.lstrip("/")).read_text() == f"{a.PUBLIC_KEY}\n"
        motd, put = root / "etc/motd", root / "opt/a/b"
        assert motd.read_bytes() == LARGE
        assert (motd.stat().st_uid, motd.stat().st_gid, motd.stat().st_mtime) == (33, 34, STAMP)
        assert (put.read_bytes(), put.stat().st_mode & 0o7777, put.stat().st_uid) == (b"hello\n", 0o4750, 1000)
        assert (root / "root/.ssh").stat().st_mode & 0o7777 == 0o700
        assert (root / "etc/shadow").read_text().startswith("root:$6$")


@contextmanager
def _kernel(file: Path, drive: str, at: Path) -> Iterator[Path]:
    at.mkdir()
    kind, more, start = {
        XFS: ("xfs", "norecovery", START),
        BTRFS: ("btrfs", "subvol=@rootfs", START),
        LVM: ("ext4", "noload", VOLUME),
    }[drive]
    words = ["mount", "-t", kind, "-o", f"loop,ro,offset={start},{more}", str(file), str(at)]
    run(words, purpose="mount a guest", limits=None, timeout=60)
    try:
        yield at
    finally:
        run(["umount", str(at)], purpose="unmount a guest", limits=None, timeout=60)


def test_several_systems_are_nobodys_root(guests: Slots) -> None:
    facts = survey(guests.handle, BTRFS)

    assert facts.root is None
    assert "operating systems" in (facts.doubt or "")
    assert [one.filesystem for one in facts.partitions] == ["btrfs"]


def test_a_partition_that_is_elsewhere_is_not_written(guests: Slots) -> None:
    moved = Root(1, 2 * START, 100 * MIB, "xfs", "the test")
    with pytest.raises(GuestUnreadable), GuestfsOpener(guests.handle, XFS).open(moved, writable=True, stamp=0):
        pass


def test_what_keeps_no_owners_is_for_nobody(guests: Slots) -> None:
    swap = Root(0, 0, 8 * MIB, "swap", "the test", "/dev/guest/swap")
    with pytest.raises(CannotServe), GuestfsOpener(guests.handle, LVM).open(swap, writable=True, stamp=0):
        pass


def test_a_volume_through_the_door(guests: Slots, tmp_path: Path) -> None:
    """Two appliances of their own: one to find the root, one to write."""
    base, overlay, raw = tmp_path / "base.raw", tmp_path / "overlay.qcow2", tmp_path / "after.raw"
    guests.handle.sync()
    _tool("cp", "--sparse=always", guests.files[LVM], base)
    _tool("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", overlay)
    door = GuestfsDoor(PartitionSettings(), tmp_path / "guestfs", emulated=True)
    before = _tool("sha256sum", base)

    facts = door.send(Survey(), Overlay(None, base, "raw")).facts
    assert facts.root is not None
    assert facts.root.volume == "/dev/guest/root"
    assert (facts.os, facts.table) == ("made", "mbr")
    file = Wanted(a.an_item(ItemKind.FILE, "/etc/through-the-door"), Secret(b"here\n"))
    door.send(Inject(facts.root, (file,), STAMP), Overlay(overlay, base, "raw"))

    _tool("qemu-img", "convert", "-O", "raw", overlay, raw)
    volume = GuestDisk(raw, VOLUME, 100 * MIB)
    assert debugfs(volume, "cat /etc/through-the-door") == "here\n"
    assert fsck(volume) == ""
    assert _tool("sha256sum", base) == before
    assert [path.name for path in (tmp_path / "guestfs").iterdir()] == ["appliance"]


def _tool(*argv: str | Path) -> str:
    return run(argv, purpose="prepare a guest", limits=None, timeout=120).stdout.decode()


def test_libguestfs_reads_what_ext_has_written(appliance_slots: Slots, tmp_path: Path) -> None:
    """Another kernel's ext4, and another author's tools."""
    tree = tmp_path / "tree"
    for path, content in {"etc/passwd": PASSWD, "etc/shadow": SHADOW, "etc/motd": b"old\n"}.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content)
    disk = make_ext(tmp_path / "disk.raw", tree=tree)
    with RawDisk(disk.path) as raw:
        answer = carry_out(Inject(disk.root, _wanted(), STAMP), ExtOpener(raw))
    assert isinstance(answer, Injected)
    with appliance_slots.opener(disk):
        handle = appliance_slots.handle
        handle.mount_ro(f"{PARTITIONED}1", "/")
        try:
            assert handle.read_file(KEYS) == f"{a.PUBLIC_KEY}\n".encode()
            assert handle.read_file("/etc/motd") == LARGE
            assert handle.read_file("/etc/shadow").startswith(b"root:$6$")
            put, motd = handle.statns("/opt/a/b"), handle.statns("/etc/motd")
            assert (put["st_mode"] & 0o7777, put["st_uid"], motd["st_mtime_sec"]) == (0o4750, 1000, STAMP)
            assert handle.statns("/root/.ssh")["st_mode"] & 0o7777 == 0o700
        finally:
            handle.umount_all()
