"""The crew as it is shipped, on real file systems: no guest makes a sealed worker need what it was not born with."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from injector.errors import GuestUnreadable, ItemRefused
from injector.inject.channel import GuestDisk
from injector.inject.partition.crew.charter import TRADE
from injector.inject.partition.crew.crew import Crew
from injector.inject.partition.errand import Inject, Injected, Look, Survey, Wanted
from injector.model.facts import Agent, ImageFacts, NetworkStack
from injector.model.payload import ItemKind
from injector.model.secret import Secret
from tests import builders as a
from tests import crews
from tests.crews import Place
from tests.guest_disks import GuestDisk as Made
from tests.guest_disks import crashed, fsck, make_ext
from tests.guest_layouts import BIOS_BOOT, ESP, LINUX, MIB, ROOT_X86, Slot, partitioned, whole
from tests.unit.test_partition_guest import DEBIAN_CLOUD, DEBIAN_PLAIN, FEDORA, Tree
from tests.unit.test_partition_survey import BOOT, LABELLED, system

STAMP = 1_700_000_000
PLAIN = Slot(8, LINUX, "ext4")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place.below(tmp_path_factory.mktemp("crew"))


@pytest.fixture(scope="module")
def crew(place: Place) -> Iterator[Crew]:
    with place.crew(TRADE) as crew:
        yield crew


def survey(crew: Crew, base: Path) -> ImageFacts:
    return crew.send(Survey(), GuestDisk(None, base, "raw")).facts


def over(place: Place, base: Path) -> GuestDisk:
    overlay = place.images / f"{base.name}.qcow2"
    crews.quietly("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", overlay)
    return GuestDisk(overlay, base, "raw")


def test_it_can_work_here(crew: Crew, place: Place) -> None:
    assert crew.check().available, crew.check().reason
    assert list(place.images.iterdir()) == []


def test_workers_that_have_waited_for_long_are_ready_all_the_same(crew: Crew, place: Place, tmp_path: Path) -> None:
    """QEMU hangs up on a client that has not said what it wants within ten seconds; those kept ready had not."""
    base = make_ext(tmp_path / "disk", start=0, size=8 * MIB).path.rename(place.bases / "patient")
    survey(crew, base)
    time.sleep(11)
    for _ in range(3):
        assert survey(crew, base).table == "none"


@pytest.mark.parametrize(
    ("table", "slots", "root"),
    [
        ("gpt", (BOOT, Slot(8, ROOT_X86, "ext4"), Slot(1, BIOS_BOOT), Slot(8, ESP, "vfat", "UEFI")), 2),
        ("gpt", (BOOT, Slot(8, ROOT_X86, "ext3")), 2),
        ("gpt", (BOOT, LABELLED), 2),
        ("gpt", (BOOT, Slot(8, LINUX, "ext4", "caf\xe9", name="root")), 2),
        ("dos", (Slot(8, "83", "ext2"), Slot(8, "83", "ext4", "/")), 2),
        ("dos", (Slot(8, "83", "ext4"), Slot(20, "5"), Slot(8, "83", "ext4", "root", number=5)), 5),
        ("gpt", (BOOT, Slot(320, ROOT_X86, "xfs")), 2),
        ("gpt", (Slot(120, ROOT_X86, "btrfs"),), None),
        ("gpt", (BOOT, Slot(8, LINUX, "LVM2_member"), Slot(2, "swap", "swap")), None),
        ("gpt", (), None),
    ],
)
def test_every_layout_is_surveyed(
    crew: Crew, place: Place, tmp_path: Path, table: str, slots: tuple[Slot, ...], root: int | None
) -> None:
    facts = survey(crew, partitioned(tmp_path / "disk", table, slots).rename(place.bases / "layout"))
    assert facts.table == {"gpt": "gpt", "dos": "mbr"}[table]
    assert (facts.root.partition if facts.root else None) == root
    assert len(facts.partitions) >= len(slots) - 1


SYSTEMS: dict[str, tuple[Tree, Agent]] = {
    "cloud": (DEBIAN_CLOUD, Agent.YES),
    "plain": (DEBIAN_PLAIN, Agent.NO),
    "fedora": (FEDORA, Agent.NO),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_is_recognised_and_given_what_it_is_to_have(
    crew: Crew, place: Place, tmp_path: Path, name: str
) -> None:
    tree, agent = SYSTEMS[name]
    accounts = {
        "/etc/passwd": "root:x:0:0::/root:/bin/sh\n",
        "/etc/shadow": "root:*:1::::::\n",
        "/etc/group": "root:x:0:\n",
    }
    top = system(tmp_path, name, tree | accounts | {"/etc/odd": "odd"})
    (top / os.fsdecode(b"etc/caf\xe9")).write_text("latin")
    base = whole(tmp_path / "disk", Slot(24, "", "ext4", tree=top)).rename(place.bases / name)
    facts = survey(crew, base)
    assert (facts.agent, facts.back_end) == (agent, "ext")
    assert facts.root is not None
    disk, nics = over(place, base), (a.a_nic(),)
    wanted = (
        Wanted(a.an_item(ItemKind.KEY, "laptop"), Secret(a.PUBLIC_KEY)),
        Wanted(a.an_item(ItemKind.NETWORK, "network"), Secret(b"")),
        Wanted(a.an_item(ItemKind.METADATA, "metadata"), Secret(b'{"role": "web"}')),
        Wanted(a.an_item(ItemKind.PASSWORD, "password"), Secret("p\xe4sswort")),
        Wanted(a.an_item(ItemKind.FILE, "/srv/na\xefve \u2603"), Secret(bytes(range(256)))),
    )
    before = crews.digest(base)
    interfaces = Secret(b"auto lo\niface lo inet loopback\n")
    done = crew.send(Inject(facts.root, wanted, STAMP, nics, interfaces), disk)
    assert [one.place for one in done.landed] == [0, 1, 2, 3, 4]
    stacks = {stack for one in done.landed for stack in one.stacks}
    assert stacks, "what netplan tells networkd is not told twice"
    assert stacks <= set(facts.network)
    assert crews.digest(base) == before
    assert _sound(disk, tmp_path)


def test_the_stacks_tried_are_all_there_are() -> None:
    """Netplan, networkd, NetworkManager and ifupdown: each of them writes in a sealed worker, above."""
    assert len(NetworkStack) == 4


def _sound(disk: GuestDisk, tmp_path: Path) -> bool:
    assert disk.overlay is not None
    raw = tmp_path / "judged.raw"
    crews.quietly("qemu-img", "convert", "-O", "raw", disk.overlay, raw)
    return fsck(Made(raw, 0, raw.stat().st_size)) == ""


METHODS = {
    "ENCRYPT_METHOD YESCRYPT\n": r"\$y\$",
    "ENCRYPT_METHOD YESCRYPT\nYESCRYPT_COST_FACTOR 7\n": r"\$y\$",
    "ENCRYPT_METHOD BCRYPT\nBCRYPT_MIN_ROUNDS 5\nBCRYPT_MAX_ROUNDS 6\n": r"\$2b\$",
    "ENCRYPT_METHOD SHA256\n": r"\$5\$",
    "ENCRYPT_METHOD SHA512\nSHA_CRYPT_MIN_ROUNDS 9999\n": r"\$6\$rounds=",
    "ENCRYPT_METHOD DES\n": r"\$6\$",
    "\xff\xfe\0": r"\$6\$",
}
LABEL = "system_u:object_r:etc_t:s0"
CONTEXTS = "/etc/selinux/targeted/contexts/files/file_contexts"
POLICY: Tree = {
    "/etc/selinux/config": "SELINUX=enforcing\nSELINUXTYPE=targeted\n",
    CONTEXTS: f"/.*\tsystem_u:object_r:default_t:s0\n/etc/new\t--\t{LABEL}\n",
    f"{CONTEXTS}.subs_dist": "/run /var/run\n",
}


@pytest.mark.parametrize("defs", METHODS)
def test_every_hash_and_a_label_in_a_sealed_worker(crew: Crew, place: Place, tmp_path: Path, defs: str) -> None:
    accounts: Tree = {"/etc/passwd": "root:x:0:0::/root:/bin/sh\n", "/etc/shadow": "root:*:1::::::\n"}
    top = system(tmp_path, "root", DEBIAN_PLAIN | accounts | POLICY)
    (top / "etc" / "login.defs").write_bytes(defs.encode("latin-1"))
    made = make_ext(tmp_path / "disk", start=0, size=23 * MIB, tree=top)
    disk = over(place, made.path.rename(place.bases / f"hash-{abs(hash(defs))}"))
    wanted = (
        Wanted(a.an_item(ItemKind.PASSWORD, "password"), Secret("hunter2")),
        Wanted(a.an_item(ItemKind.FILE, "/etc/new"), Secret("new")),
    )
    done = crew.send(Inject(made.root, wanted, STAMP), disk)
    assert isinstance(done, Injected)
    shadow, new = done.files
    assert re.match(r"root:" + METHODS[defs], shadow.content.reveal().decode())
    assert new.label == LABEL


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can have a kernel crash a disk")
def test_a_dirty_journal_is_replayed_in_a_sealed_worker(crew: Crew, place: Path, tmp_path: Path) -> None:
    assert isinstance(place, Place)
    made = make_ext(tmp_path / "before", start=0, size=31 * MIB)
    dirty = crashed(made, place.bases / "dirty", tmp_path / "mnt")
    disk = over(place, dirty.path)
    found = crew.send(Look(dirty.root, ("/etc/late", "/etc/none"), 100), disk)
    assert [file.content.reveal() for file in found.files] == [b"in the journal only\n"]
    crew.send(Inject(dirty.root, (Wanted(a.an_item(), Secret(b"hello")),), STAMP), disk)
    found = crew.send(Look(dirty.root, ("/etc/late", "/etc/motd"), 100), disk)
    assert [file.content.reveal() for file in found.files] == [b"in the journal only\n", b"hello"]
    assert _sound(disk, tmp_path)


def test_numbers_that_fit_nowhere_are_the_guests_or_the_items_fault(crew: Crew, place: Place, tmp_path: Path) -> None:
    """A file system that claims to lie beyond every disk, and an owner beyond 32 bits, crash no worker."""
    made = make_ext(tmp_path / "disk", start=0, size=15 * MIB)
    disk = over(place, made.path.rename(place.bases / "numbers"))
    from dataclasses import replace

    for start, size in ((1 << 63, 1 << 20), ((1 << 64) + 1, 1 << 20), (0, 1 << 62), (-1, 1 << 20), (1 << 20, -5)):
        root = replace(made.root, start=start, size=size)
        with pytest.raises(GuestUnreadable):
            crew.send(Look(root, ("/etc/motd",), 100), disk)
    huge = Wanted(a.an_item(name="/etc/odd", mode=0o644, owner=str(1 << 70)), Secret(b"x"))
    with pytest.raises(ItemRefused):
        crew.send(Inject(made.root, (huge,), STAMP), disk)
    crew.send(Inject(made.root, (Wanted(a.an_item(), Secret(b"x")),), 1 << 40), disk)
