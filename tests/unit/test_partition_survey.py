"""The root of disks as images have them, found by the real ext back end; what it cannot read is said, not guessed."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from injector.errors import GuestUnreadable
from injector.inject.partition.ext.opener import ExtOpener
from injector.inject.partition.filesystem import GuestFiles
from injector.inject.partition.survey import survey
from injector.model.facts import Agent, ImageFacts, Init, NetworkStack, Root
from tests.guest_layouts import BIOS_BOOT, ESP, LINUX, MIB, ROOT_ARM, ROOT_X86, FileDisk, Slot, partitioned, whole
from tests.unit.test_partition_guest import DEBIAN_CLOUD, DEBIAN_PLAIN, Tree

UUID = "11111111-2222-3333-4444-555555555555"
OTHER = "99999999-2222-3333-4444-555555555555"


def system(tmp_path: Path, name: str, tree: Tree, **more: str) -> Path:
    """A root as mke2fs takes it."""
    top = tmp_path / name
    for path, what in {**tree, **more}.items():
        if what is None:
            continue
        place = top / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if what.startswith("-> "):
            place.symlink_to(what[3:])
        elif path.endswith("/"):
            place.mkdir(exist_ok=True)
        else:
            place.write_text(what)
    return top


def look(path: Path) -> ImageFacts:
    disk = FileDisk(path)
    facts = survey(disk, ExtOpener(disk))
    assert disk.writes == 0, "looking changes nothing"
    return facts


def test_a_cloud_image(tmp_path: Path) -> None:
    root = Slot(12, ROOT_X86, "ext4", "cloudimg-rootfs", tree=system(tmp_path, "root", DEBIAN_CLOUD))
    disk = partitioned(tmp_path / "disk", "gpt", (root, Slot(1, BIOS_BOOT), Slot(8, ESP, "vfat", "UEFI")))
    facts = look(disk)
    assert facts.root == Root(1, MIB, 12 * MIB, "ext4", "partition 1, by the type of its partition")
    assert (facts.table, facts.os, facts.os_version, facts.init) == ("gpt", "debian", "12", Init.SYSTEMD)
    assert facts.network == (NetworkStack.NETPLAN, NetworkStack.NETWORKD)
    assert (facts.agent, facts.agent_seen) == (Agent.YES, "/usr/bin/cloud-init")
    assert (facts.back_end, facts.doubt, len(facts.partitions)) == ("ext", None, 3)


LABELLED = Slot(8, LINUX, "ext4", "cloudimg-rootfs")
PLAIN = Slot(8, LINUX, "ext4")
BOOT = Slot(8, LINUX, "ext2", "boot")


@pytest.mark.parametrize(
    ("table", "slots", "number", "by"),
    [
        ("gpt", (BOOT, Slot(8, ROOT_X86, "ext4")), 2, "type of its partition"),
        ("gpt", (BOOT, Slot(8, ROOT_ARM, "ext3")), 2, "type of its partition"),
        ("gpt", (LABELLED, Slot(8, ROOT_X86, "ext4")), 2, "type of its partition"),
        ("gpt", (BOOT, LABELLED), 2, "label"),
        ("dos", (Slot(8, "83", "ext2"), Slot(8, "83", "ext4", "/")), 2, "label"),
        ("gpt", (BOOT, Slot(8, LINUX, "ext4", name="root")), 2, "name of its partition"),
        ("dos", (Slot(8, "83", "ext4"), Slot(20, "5"), Slot(8, "83", "ext4", "root", number=5)), 5, "label"),
        # What the table says counts also where nobody here reads the file system.
        ("gpt", (BOOT, Slot(320, ROOT_X86, "xfs")), 2, "type of its partition"),
        ("gpt", (BOOT, Slot(320, LINUX, "xfs", "root")), 2, "label"),
        ("gpt", (BOOT, Slot(320, LINUX, "xfs")), 2, "only one left"),
    ],
)
def test_the_root_by_what_the_table_says(
    tmp_path: Path, table: str, slots: tuple[Slot, ...], number: int, by: str
) -> None:
    facts = look(partitioned(tmp_path / "disk", table, slots))
    assert facts.root is not None
    assert facts.root.partition == number
    assert by in facts.root.found_by
    assert facts.agent is Agent.UNKNOWN


@pytest.mark.parametrize(
    "spec",
    [
        f"UUID={UUID}",
        f'UUID="{UUID.upper()}"',
        "LABEL=system",
        "/dev/vda2",
        "/dev/sda2",
        "/dev/nvme0n1p2",
        "PARTLABEL=sys",
    ],
)
def test_the_root_by_the_fstab_of_whoever_has_one(tmp_path: Path, spec: str) -> None:
    """Both hold a system: a rescue system too; the fstabs agree on one."""
    fstab = f"# who mounts what\n\n{spec} / ext4 rw 0 1\nproc /proc proc\n"
    ours = Slot(12, LINUX, "ext4", "system", UUID, system(tmp_path, "a", DEBIAN_PLAIN | {"/etc/fstab": fstab}), "sys")
    rescue = Slot(12, LINUX, "ext4", "rescue", OTHER, system(tmp_path, "b", DEBIAN_PLAIN))
    facts = look(partitioned(tmp_path / "disk", "gpt", (rescue, ours)))
    assert facts.root is not None
    assert (facts.root.partition, facts.root.found_by) == (2, "partition 2, by the guest's fstab")
    assert (facts.agent, facts.network) == (Agent.NO, (NetworkStack.IFUPDOWN,))


def test_the_root_by_partuuid(tmp_path: Path) -> None:
    ours = Slot(12, "83", "ext4", tree=system(tmp_path, "a", DEBIAN_PLAIN))
    disk = partitioned(tmp_path / "disk", "dos", (Slot(8, "83", "ext2"), ours))
    raw = bytearray(disk.read_bytes())
    raw[440:444] = bytes.fromhex("efbeadde")
    disk.write_bytes(raw)
    found = look(disk).root
    assert found is not None
    assert "the system in it" in found.found_by
    top = system(tmp_path, "b", DEBIAN_PLAIN | {"/etc/fstab": "PARTUUID=deadbeef-02 / ext4 rw 0 1\n"})
    disk = partitioned(tmp_path / "disk", "dos", (Slot(8, "83", "ext2"), Slot(12, "83", "ext4", tree=top)))
    raw = bytearray(disk.read_bytes())
    raw[440:444] = bytes.fromhex("efbeadde")
    disk.write_bytes(raw)
    found = look(disk).root
    assert found is not None
    assert "fstab" in found.found_by


def test_the_root_by_the_system_in_it(tmp_path: Path) -> None:
    ours = Slot(12, LINUX, "ext4", "disk", tree=system(tmp_path, "a", DEBIAN_CLOUD))
    facts = look(partitioned(tmp_path / "disk", "gpt", (BOOT, Slot(8, LINUX, "ext4", "home"), ours)))
    assert facts.root is not None
    assert facts.root.found_by == "partition 3, by the system in it"


def test_a_disk_that_is_one_file_system(tmp_path: Path) -> None:
    facts = look(whole(tmp_path / "disk", Slot(12, "", "ext3", tree=system(tmp_path, "a", DEBIAN_PLAIN))))
    assert (facts.table, facts.root) == ("none", Root(0, 0, 12 * MIB, "ext3", "the whole disk, by the system in it"))


@pytest.mark.parametrize(
    ("slots", "doubt"),
    [
        (
            (LABELLED, Slot(8, LINUX, "ext4", "root")),
            r"partition 1 \(ext4\) and partition 2 \(ext4\) are equally likely",
        ),
        ((Slot(8, ROOT_X86, "ext4"), Slot(8, ROOT_X86, "ext4")), "equally likely .* type"),
        ((PLAIN, BOOT), r"no system is recognised in partition 1 \(ext4\), partition 2 \(ext2\)"),
        ((Slot(8, ESP, "vfat"), Slot(2, "swap", "swap")), "no file system that a root could be in"),
        ((), "no file system that a root could be in"),
        ((BOOT, Slot(8, LINUX, "LVM2_member")), r"partition 2 \(LVM2_member\), which needs guestfs"),
        ((Slot(120, ROOT_X86, "btrfs"),), r"in which subvolume of partition 1 \(btrfs\) .* needs guestfs"),
        ((Slot(320, LINUX, "xfs"), Slot(320, LINUX, "xfs")), "equally likely to be the root, by being"),
        ((Slot(320, LINUX, "xfs"), Slot(8, LINUX, "LVM2_member")), "LVM2_member.*, which needs guestfs"),
    ],
)
def test_what_is_not_certain_is_doubted(tmp_path: Path, slots: tuple[Slot, ...], doubt: str) -> None:
    facts = look(partitioned(tmp_path / "disk", "gpt", slots))
    assert facts.root is None
    assert facts.doubt is not None
    assert re.search(doubt, facts.doubt)


def test_two_systems_are_nobodys_root(tmp_path: Path) -> None:
    tree = system(tmp_path, "a", DEBIAN_PLAIN)
    facts = look(partitioned(tmp_path / "disk", "gpt", [Slot(12, LINUX, "ext4", tree=tree)] * 2))
    assert facts.root is None
    assert facts.doubt == (
        "partition 1 (ext4) and partition 2 (ext4) are equally likely to be the root, by the system in it"
    )


def test_a_damaged_file_system_is_said_to_be(tmp_path: Path) -> None:
    disk = partitioned(tmp_path / "disk", "gpt", (Slot(8, ROOT_X86, "ext4"),))
    raw = bytearray(disk.read_bytes())
    raw[MIB + 1024 : MIB + 1024 + 0x38] = b"\xff" * 0x38
    disk.write_bytes(raw)
    facts = look(disk)
    assert facts.root is not None
    assert "partition 1 (ext4) cannot be read" in (facts.doubt or "")


class Unwilling:
    """A back end that edits nothing at all."""

    name = "unwilling"

    def __init__(self) -> None:
        self.opened: list[Root] = []

    def open(self, root: Root, *, writable: bool, stamp: int) -> AbstractContextManager[GuestFiles]:
        self.opened.append(root)
        raise GuestUnreadable("no")


def test_each_file_system_is_looked_into_once_and_not_too_many(tmp_path: Path) -> None:
    disk = partitioned(tmp_path / "disk", "gpt", [Slot(1, LINUX, "ext2")] * 20)
    unwilling = Unwilling()
    facts = survey(FileDisk(disk), unwilling)
    assert [root.partition for root in unwilling.opened] == list(range(1, 17))
    assert "too many file systems" in (facts.doubt or "")
