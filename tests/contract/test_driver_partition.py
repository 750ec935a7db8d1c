"""What a driver promises of partition injection, on libvirt's own test hypervisor and on QEMU with a real guest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from injector.errors import Conflict, GuestUnreadable, ItemRefused, NotFound, Undeliverable
from injector.inject.plan import canonical
from injector.model.facts import Agent
from injector.model.host import InjectionPolicy
from injector.model.image import DiskFormat
from injector.model.instance import Instance, State
from injector.model.payload import InjectedFile, Item, ItemKind, Payload
from injector.model.plan import ChannelKind
from injector.model.receipt import Outcome
from injector.model.secret import Secret
from tests import builders as a
from tests import crafted
from tests.guest_disks import GuestDisk, debugfs, fsck, make_ext
from tests.hypervisors import Stage, on_qemu, on_test_hypervisor

KINDS = {"libvirt-test": on_test_hypervisor, "libvirt-qemu": on_qemu}
POLICY = InjectionPolicy(force_config_drive=False, inject_partition=-1, inject_key=True, inject_password=True)
PASSWD = "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001::/home/web:/bin/sh\n"
MOTD = b"hello\x00\xff\n"
META = {"role": "web"}
ITEMS = (
    Item(ItemKind.KEY, "laptop", 80),
    Item(ItemKind.METADATA, "metadata", len(canonical(META))),
    Item(ItemKind.PASSWORD, "password", 0),
    Item(ItemKind.FILE, "/srv/site/index.html", len(MOTD), True, 0o640, "web"),
)
PAYLOAD = a.a_payload(
    files=(InjectedFile("/srv/site/index.html", Secret(MOTD), 0o640, "web"),), admin_password=Secret("correct horse")
)

MakeStage = Callable[[InjectionPolicy], Stage]


@pytest.fixture(params=["libvirt-test", pytest.param("libvirt-qemu", marks=pytest.mark.system)])
def make_stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeStage]:
    with ExitStack() as stages:

        def make(policy: InjectionPolicy) -> Stage:
            stage = stages.enter_context(KINDS[request.param](tmp_path, policy))
            stages.callback(_clear, stage)
            return stage

        yield make


def _clear(stage: Stage) -> None:
    for instance_id in stage.driver.local():
        stage.driver.destroy(instance_id)


@pytest.fixture
def stage(make_stage: MakeStage) -> Stage:
    return make_stage(POLICY)


def a_root(directory: Path, *, os_release: str = "ID=debian\nVERSION_ID=12\n") -> GuestDisk:
    """A guest that never heard of cloud-init."""
    tree = directory / "tree"
    for folder in ("etc", "root", "sbin"):
        (tree / folder).mkdir(parents=True)
    for name, text in {
        "etc/passwd": PASSWD,
        "etc/group": "root:x:0:\nweb:x:1001:\n",
        "etc/shadow": "root:*:19000:0:99999:7:::\nweb:!:19000::::::\n",
        "etc/os-release": os_release,
        "sbin/init": "#!/bin/sh\n",
    }.items():
        (tree / name).write_text(text)
    return make_ext(directory / "root.raw", size=24 * 1024**2, start=0, tree=tree)


def guest_of(stage: Stage, disk: GuestDisk, *items: Item) -> Instance:
    image = stage.shelf.put(disk.path, DiskFormat.RAW, disk.path.stat().st_size)
    return stage.instance(image=image, items=items, key=a.a_key(), asked_metadata=META)


def inside(stage: Stage, instance: Instance, directory: Path) -> GuestDisk:
    """The root as it is now, for readers that know no overlay."""
    raw = directory / "now.raw"
    crafted.qemu_img("convert", "-q", "-U", "-O", "raw", stage.workspace(instance).disk, raw)
    return GuestDisk(raw, 0, raw.stat().st_size)


def test_what_was_asked_lies_in_the_root_disk(stage: Stage, tmp_path: Path) -> None:
    instance = guest_of(stage, a_root(tmp_path), *ITEMS)
    spawned = stage.spawn(instance, PAYLOAD)
    assert spawned.plan.channel is ChannelKind.PARTITION
    assert (spawned.plan.filesystem, spawned.plan.partition, spawned.plan.back_ends[0]) == ("ext4", 0, "ext")
    assert (spawned.receipt.back_end, spawned.receipt.filesystem) == ("ext", "ext4")
    assert {item.outcome for item in spawned.receipt.items} == {Outcome.READ_BACK}
    assert {item.name for item in spawned.receipt.items} >= {item.name for item in ITEMS}
    stage.driver.stop(instance)
    there = inside(stage, instance, tmp_path)
    assert a.PUBLIC_KEY in debugfs(there, "cat /root/.ssh/authorized_keys")
    assert '{"role": "web"}' in debugfs(there, "cat /meta.js")
    assert "root:$6$" in debugfs(there, "cat /etc/shadow")
    placed = debugfs(there, "stat /srv/site/index.html")
    assert "Mode:  0640" in placed
    assert placed.split("User:")[1].split()[0] == "1000"
    assert fsck(there) == "" or stage.guest_speaks, "a guest that ran may have left its journal behind"


def test_facts_of_the_image_are_told_once(stage: Stage, tmp_path: Path) -> None:
    instance = guest_of(stage, a_root(tmp_path), *ITEMS)
    stage.spawn(instance, PAYLOAD)
    facts = stage.records.facts[str(instance.image.sha256)]
    assert (facts.os, facts.os_version, facts.back_end) == ("debian", "12", "ext")
    stage.records.facts.clear()
    stage.spawn(replace(stage.instance(image=instance.image), asked_metadata=META))
    assert stage.records.facts == {}


def test_a_file_that_cannot_be_written_ends_the_boot_and_leaves_nothing(stage: Stage, tmp_path: Path) -> None:
    item = Item(ItemKind.FILE, "/etc/passwd/below", 3)
    instance = guest_of(stage, a_root(tmp_path), item)
    payload: Payload = a.a_payload(files=(InjectedFile("/etc/passwd/below", Secret(b"abc")),))
    with pytest.raises(ItemRefused, match="file '/etc/passwd/below' cannot be written"):
        stage.spawn(instance, payload)
    assert stage.driver.local() == frozenset()
    assert stage.driver.state(instance.id) is None


def test_an_image_without_a_root_is_refused_before_anything_is_defined(stage: Stage, tmp_path: Path) -> None:
    empty = tmp_path / "empty.raw"
    empty.write_bytes(bytes(8 * 1024**2))
    instance = guest_of(stage, GuestDisk(empty, 0, 8 * 1024**2), *ITEMS)
    with pytest.raises(GuestUnreadable, match="root file system was not found"):
        stage.spawn(instance, PAYLOAD)
    assert stage.driver.local() == frozenset()


def test_a_partition_is_verified_while_its_guest_is_off(stage: Stage, tmp_path: Path) -> None:
    instance = guest_of(stage, a_root(tmp_path), *ITEMS)
    spawned = stage.spawn(instance, PAYLOAD)
    record = replace(instance, plan=spawned.plan, receipt=spawned.receipt, launched_at=a.NOON)
    with pytest.raises(Conflict, match="stop it first"):
        stage.driver.verify(record)
    stage.driver.stop(record)
    assert stage.driver.verify(record).differences == ()
    wrong = replace(spawned.receipt.items[0], digest="sha256:" + "0" * 64)
    forged = replace(record, receipt=replace(spawned.receipt, items=(wrong, *spawned.receipt.items[1:])))
    assert len(stage.driver.verify(forged).differences) == 1
    with pytest.raises(NotFound):
        stage.driver.verify(replace(record, receipt=None))


def test_the_disk_of_a_suspended_guest_is_its_own(stage: Stage, tmp_path: Path) -> None:
    """Its memory has what its disk does not have yet."""
    instance = guest_of(stage, a_root(tmp_path), *ITEMS)
    spawned = stage.spawn(instance, PAYLOAD)
    record = replace(instance, plan=spawned.plan, receipt=spawned.receipt, launched_at=a.NOON)
    stage.driver.suspend(record)
    with pytest.raises(Conflict, match="stop it first"):
        stage.driver.verify(record)


def test_a_guest_made_again_has_nothing_of_the_partition_before(stage: Stage, tmp_path: Path) -> None:
    first = guest_of(stage, a_root(tmp_path), *ITEMS)
    stage.spawn(first, PAYLOAD)
    other = tmp_path / "other"
    other.mkdir()
    image = guest_of(stage, a_root(other, os_release="ID=alpine\nVERSION_ID=3.19\n")).image
    again = replace(first, attempt=2, image=image, items=(ITEMS[1],), asked_metadata={"role": "db"}, key=None)
    stage.driver.destroy(first.id)
    spawned = stage.spawn(again)
    assert stage.driver.recall(again) == spawned
    assert {item.name for item in spawned.receipt.items}.isdisjoint({"laptop", "password", "/srv/site/index.html"})
    stage.hand(again.id, State.STOPPED)
    there = inside(stage, again, tmp_path)
    assert '{"role": "db"}' in debugfs(there, "cat /meta.js")
    assert "ID=alpine" in debugfs(there, "cat /etc/os-release")
    assert "root:*:" in debugfs(there, "cat /etc/shadow")
    assert "/srv/" not in debugfs(there, "ls -p /")
    assert stage.driver.local() == {first.id}


def test_a_preview_names_the_files_and_writes_none(stage: Stage, tmp_path: Path) -> None:
    instance = guest_of(stage, a_root(tmp_path), *ITEMS)
    preview = stage.preview(replace(instance, items=ITEMS[:2]))
    assert preview.plan.channel is ChannelKind.PARTITION
    assert preview.plan.back_ends[0] == "ext"
    assert {file.path for file in preview.files} >= {"/root/.ssh/authorized_keys", "/meta.js"}
    assert stage.driver.local() == frozenset()


def test_a_preview_of_an_image_that_was_booted_before_says_which_file_system_and_who_edits_it(
    stage: Stage, tmp_path: Path
) -> None:
    instance = guest_of(stage, a_root(tmp_path), *ITEMS[:2])
    before = stage.preview(instance).plan
    assert (before.filesystem, before.partition) == (None, None)
    built = stage.spawn(instance).plan
    after = stage.preview(replace(stage.instance(image=instance.image, items=ITEMS[:2]), key=a.a_key())).plan
    assert (after.filesystem, after.partition, after.back_ends) == ("ext4", 0, built.back_ends)
    assert after.reason == built.reason


def test_the_first_boot_finds_out_that_nothing_would_read_a_drive(stage: Stage, tmp_path: Path) -> None:
    instance = replace(guest_of(stage, a_root(tmp_path), ITEMS[1]), config_drive=True)
    with pytest.raises(
        Undeliverable, match=r"metadata cannot be delivered: the image has no agent.*injector_agent=yes"
    ):
        stage.spawn(instance)
    assert stage.driver.local() == frozenset()
    assert stage.records.facts[str(instance.image.sha256)].agent is Agent.NO
    with_ramdisk = replace(instance.image, properties={"ramdisk_id": a.INSTANCE_ID})
    assert stage.spawn(replace(instance, image=with_ramdisk)).plan.channel is ChannelKind.CONFIG_DRIVE


def test_a_drive_leaves_the_root_disk_alone_whatever_partitions_are_for(stage: Stage, tmp_path: Path) -> None:
    with_agent = {"injector_agent": "yes"}
    root = a_root(tmp_path)
    instance = guest_of(stage, root, ITEMS[1])
    instance = replace(instance, config_drive=True, image=replace(instance.image, properties=with_agent))
    assert stage.spawn(instance).plan.channel is ChannelKind.CONFIG_DRIVE
    facts = stage.records.facts[str(instance.image.sha256)]
    assert facts.agent is Agent.NO, "seen, and overruled by the image's owner"
    if not stage.guest_speaks:
        assert inside(stage, instance, tmp_path).digest() == root.digest()


def test_the_host_says_which_back_ends_it_has(stage: Stage) -> None:
    facts = stage.driver.facts()
    assert [one.name for one in facts.back_ends] == ["ext", "guestfs"]
    assert facts.back_ends[0].available
    partition = next(one for one in facts.carriages if one.channel is ChannelKind.PARTITION)
    assert partition.back_ends == tuple(one.name for one in facts.back_ends if one.available)


def test_a_host_without_partition_injection_offers_none(make_stage: MakeStage) -> None:
    facts = make_stage(InjectionPolicy()).driver.facts()
    assert facts.back_ends == ()
    assert {one.channel for one in facts.carriages} == {ChannelKind.CONFIG_DRIVE}
