"""Partition injection as a channel: over honest back ends and lying ones, and what its receipt says of the guest."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from injector import wire
from injector.errors import CannotServe, ChannelBroken, GuestUnreadable, ItemRefused
from injector.inject.channel import Delivery, GuestDisk
from injector.inject.partition.carry_out import carry_out
from injector.inject.partition.channel import PartitionChannel
from injector.inject.partition.door import Door
from injector.inject.partition.errand import Answer, Declined, Inject, Injected, Look, Looked, SeenFile
from injector.inject.plan import items_of
from injector.model.boot import NicOrder
from injector.model.facts import ImageFacts, Init, NetworkStack
from injector.model.host import BackEnd
from injector.model.payload import ItemKind
from injector.model.plan import ChannelKind
from injector.model.receipt import Outcome, PassedOver, Receipt
from injector.model.secret import Secret
from injector.settings import PartitionSettings
from tests import builders as a
from tests.memory_files import ROOT, MemoryDisk, a_guest

VAULT = a.a_vault()
KEYS = "/root/.ssh/authorized_keys"
FACTS = ImageFacts("gpt", root=ROOT, network=(NetworkStack.IFUPDOWN,), init=Init.SYSTEMD)
PAYLOAD = a.a_payload(
    files=(a.a_file(), a.a_file("opt/binary", bytes(range(256)), mode=0o750, owner="ada:www-data")),
    admin_password=Secret("hunter2"),
)
INSTANCE = a.an_instance(
    key=a.a_key(),
    more_keys=(a.a_key(name="desk", public_key="ssh-rsa AAAAdesk ada, at her desk"),),
    asked_metadata={"role": "wëb"},
)


class MemoryDoor:
    """Does errands in this process, on one disk in memory; what goes in and out crosses the wire all the same.

    ``lie`` has its way with every answer to an Inject.
    """

    def __init__(self, disk: MemoryDisk, name: str = "memory", refusal: Exception | None = None) -> None:
        self.disk = disk
        self.name = name
        self.refusal = refusal
        self.sent: list[Inject | Look] = []
        self.lie: Callable[[Injected], Injected] = lambda answer: answer

    def check(self) -> BackEnd:
        return BackEnd(self.name, True)

    def send(self, errand: Any, disk: GuestDisk) -> Any:
        self.sent.append(errand)
        if self.refusal is not None:
            raise self.refusal
        errand = wire.from_clear(wire.to_clear(errand), type(errand))
        done = carry_out(errand, self.disk)
        if isinstance(done, Looked):
            return wire.from_clear(wire.to_clear(Answer(looked=done)), Answer).looked
        return self.lie(wire.from_clear(wire.to_clear(Answer(injected=done)), Answer).injected or done)

    def close(self) -> None:
        """Nothing is kept."""


def a_channel(*doors: Door, inject_partition: int = -1) -> PartitionChannel:
    return PartitionChannel(PartitionSettings(), inject_partition, VAULT, doors, clock=lambda: 1_700_000_000.5)


def a_disk(**changes: Any) -> GuestDisk:
    disk = a.a_workspace().disk
    values: dict[str, Any] = {"overlay": disk, "base": disk, "base_format": "raw", "facts": FACTS}
    return GuestDisk(**(values | changes))


def a_delivery(**changes: Any) -> Delivery:
    """Every kind asked for that a partition carries."""
    instance, payload = changes.pop("instance", INSTANCE), changes.pop("payload", PAYLOAD)
    items = items_of(
        payload,
        keys=instance.keys,
        metadata=instance.asked_metadata,
        nics=[NicOrder(nic.network) for nic in instance.nics],
        password_given=payload.admin_password is not None,
    )
    plan = a.a_plan(channel=ChannelKind.PARTITION, items=changes.pop("items", items), drive_bus=None)
    return Delivery(instance, payload, replace(plan, **changes), a.a_workspace(), disk=a_disk())


def lines(receipt: Receipt) -> dict[str, tuple[Outcome, str | None, int | None]]:
    return {f"{item.kind.value} {item.name}": (item.outcome, item.where, item.mode) for item in receipt.items}


READ_BACK = Outcome.READ_BACK


def test_everything_lands_and_the_receipt_says_where() -> None:
    door = MemoryDoor(a_guest())

    receipt = a_channel(door).deliver(a_delivery())

    assert lines(receipt) == {
        "key laptop": (READ_BACK, KEYS, 0o600),
        "key desk": (READ_BACK, KEYS, 0o600),
        "network network": (READ_BACK, "/etc/network/interfaces, /etc/resolv.conf", 0o644),
        "metadata metadata": (READ_BACK, "/meta.js", 0o644),
        "password password": (READ_BACK, "/etc/shadow", 0o640),
        "password root_password": (READ_BACK, "/etc/shadow", 0o640),
        "file /etc/motd": (READ_BACK, "/etc/motd", 0o644),
        "file opt/binary": (READ_BACK, "/opt/binary", 0o750),
    }
    assert (receipt.back_end, receipt.filesystem, receipt.passed_over) == ("memory", "ext4", ())
    assert json.loads(door.disk.read("/meta.js")) == {"role": "wëb"}
    assert (door.disk.node("/opt/binary").uid, door.disk.node("/opt/binary").gid) == (1000, 33)
    assert door.sent[0].stamp == 1_700_000_000  # type: ignore[union-attr]


def test_a_receipt_tells_no_secret() -> None:
    receipt = a_channel(MemoryDoor(a_guest())).deliver(a_delivery())

    for item in receipt.items:
        keyed = item.kind in (ItemKind.FILE, ItemKind.PASSWORD)
        assert item.digest is not None
        assert item.digest.startswith("hmac-sha256:" if keyed else "sha256:")
        assert item.kind is not ItemKind.PASSWORD or item.size == 0


def test_the_images_admin_user_gets_the_keys_too() -> None:
    image = a.an_image(properties={"os_admin_user": "ada"})
    delivery = a_delivery(instance=replace(INSTANCE, image=image))

    receipt = a_channel(MemoryDoor(a_guest())).deliver(delivery)

    assert lines(receipt)["key laptop"][1] == f"{KEYS}, /home/ada/.ssh/authorized_keys"


def test_back_ends_are_tried_in_order_and_the_receipt_says_who_was_passed_over() -> None:
    first = MemoryDoor(a_guest(), "ext", CannotServe("it is encrypted\x1b[31m"))
    second = MemoryDoor(a_guest(), "guestfs")
    third = MemoryDoor(a_guest(), "mounted")

    receipt = a_channel(first, second, third).deliver(a_delivery())

    assert receipt.back_end == "guestfs"
    assert receipt.passed_over == (PassedOver("ext", "it is encrypted"),)
    assert third.sent == []


def test_the_plans_order_is_kept() -> None:
    ext, guestfs = MemoryDoor(a_guest(), "ext"), MemoryDoor(a_guest(), "guestfs")

    assert a_channel(ext, guestfs).deliver(a_delivery(back_ends=("guestfs", "ext"))).back_end == "guestfs"
    with pytest.raises(GuestUnreadable, match="this host has none"):
        a_channel(ext).deliver(a_delivery(back_ends=("guestfs",)))


def test_when_nobody_can_each_reason_is_told() -> None:
    doors = [MemoryDoor(a_guest(), name, CannotServe(f"not by {name}")) for name in ("ext", "guestfs")]

    with pytest.raises(GuestUnreadable, match="ext: not by ext; guestfs: not by guestfs"):
        a_channel(*doors).deliver(a_delivery())


@pytest.mark.parametrize("final", [GuestUnreadable("damaged"), ItemRefused("file '/x' cannot be written")])
def test_what_is_final_is_not_tried_elsewhere(final: Exception) -> None:
    second = MemoryDoor(a_guest(), "guestfs")

    with pytest.raises(type(final)):
        a_channel(MemoryDoor(a_guest(), "ext", final), second).deliver(a_delivery())

    assert second.sent == []


def test_a_refusal_names_the_item() -> None:
    disk = a_guest()
    disk.directory(KEYS)

    with pytest.raises(ItemRefused, match=f"key 'laptop' cannot be written: '{KEYS}' is a directory"):
        a_channel(MemoryDoor(disk)).deliver(a_delivery())


def test_best_effort_is_left_out_with_its_reason() -> None:
    items = tuple(replace(item, required=item.kind is not ItemKind.PASSWORD) for item in a_delivery().plan.items)
    disk = a_guest()
    del disk.names["/etc/shadow"]

    receipt = a_channel(MemoryDoor(disk)).deliver(a_delivery(items=items))

    (lost,) = [item for item in receipt.items if item.outcome is Outcome.LEFT_OUT]
    assert (lost.kind, lost.reason) == (
        ItemKind.PASSWORD,
        "the guest's root has no line in its shadow",
    )


def test_a_path_given_twice_says_which_content_the_guest_has() -> None:
    payload = a.a_payload(files=(a.a_file("/x", b"first", mode=0o600), a.a_file("x", b"2"), a.a_file("/x", b"third")))
    disk = a_guest()

    receipt = a_channel(MemoryDoor(disk)).deliver(a_delivery(payload=payload))

    files = [item for item in receipt.items if item.kind is ItemKind.FILE]
    assert [(item.name, item.size, item.outcome) for item in files] == [
        ("/x", 5, READ_BACK),
        ("/x", 5, Outcome.LEFT_OUT),
        ("x", 1, Outcome.LEFT_OUT),
    ]
    assert disk.read("/x") == b"third"
    assert "the later content counts" in (files[1].reason or "")


@pytest.mark.parametrize("stack", [one for one in NetworkStack if one is not NetworkStack.IFUPDOWN])
def test_other_network_tools_are_proven_as_well(stack: NetworkStack) -> None:
    disk = MemoryDisk()
    disk.file("/etc/passwd", b"root:x:0:0::/root:/bin/sh\n")
    for path in SEEN_BY[stack]:
        disk.file(path)
    disk.link("/sbin/init", "/lib/systemd/systemd")
    disk.file("/lib/systemd/systemd")
    unit = {"systemd-networkd": "systemd-networkd.service", "NetworkManager": "NetworkManager.service"}.get(stack.value)
    if unit:
        disk.file(f"/lib/systemd/system/{unit}")
        disk.link(f"/etc/systemd/system/multi-user.target.wants/{unit}", f"/lib/systemd/system/{unit}")
    door = MemoryDoor(disk)
    instance = a.an_instance()

    receipt = a_channel(door).deliver(a_delivery(instance=instance, payload=a.a_payload()))

    (line,) = receipt.items
    assert line.outcome is READ_BACK
    assert b"10.0.2.15" in disk.read((line.where or "").split(", ")[0])


SEEN_BY = {
    NetworkStack.NETPLAN: ("/usr/sbin/netplan", "/etc/netplan/01.yaml"),
    NetworkStack.NETWORKD: ("/lib/systemd/systemd-networkd",),
    NetworkStack.NETWORK_MANAGER: ("/usr/sbin/NetworkManager",),
}


def other_file(path: str, **changes: Any) -> Callable[[Injected], Injected]:
    def lie(answer: Injected) -> Injected:
        return replace(
            answer, files=tuple(replace(one, **changes) if one.path == path else one for one in answer.files)
        )

    return lie


def without(path: str) -> Callable[[Injected], Injected]:
    return lambda answer: replace(answer, files=tuple(one for one in answer.files if one.path != path))


def elsewhere(place: int, *paths: str) -> Callable[[Injected], Injected]:
    def lie(answer: Injected) -> Injected:
        landed = tuple(replace(one, paths=paths) if one.place == place else one for one in answer.landed)
        decoy = tuple(SeenFile(path, path, Secret(b""), 0o600, 0, 0) for path in paths)
        return replace(answer, landed=landed, files=answer.files + decoy)

    return lie


SLOW = b"root:$6$rounds=999999999$saltsalt$" + b"x" * 86 + b":19000:0:99999:7:::\n"
LIES: dict[str, tuple[Callable[[Injected], Injected], str]] = {
    "another key": (other_file(KEYS, content=Secret(b"ssh-rsa AAAAeve\n")), "key 'laptop', key 'desk'"),
    "a restricted key": (
        other_file(KEYS, content=Secret('command="x" ' + a.PUBLIC_KEY + "\nssh-rsa AAAAdesk x\n")),
        "not as asked: key 'laptop'$",
    ),
    "endless keys": (other_file(KEYS, content=Secret(b"\n" * 2**21)), "key 'laptop'"),
    "no keys": (without(KEYS), "key 'laptop', key 'desk'"),
    "another address": (
        other_file("/etc/network/interfaces", content=Secret(b"iface eth0 inet static\naddress 10.0.2.16/24\n")),
        "the static network addresses",
    ),
    "no network": (other_file("/etc/network/interfaces", content=Secret(b"\xff\0")), "the static network addresses"),
    "another object": (other_file("/meta.js", content=Secret(b'{"role": "db"}')), "metadata"),
    "no object": (other_file("/meta.js", content=Secret(b"[" * 100_000)), "metadata"),
    "numbers": (other_file("/meta.js", content=Secret(b'{"role": 1}')), "metadata"),
    "another hash": (other_file("/etc/shadow", content=Secret(b"root:$6$salt$x:1::\n")), "the password"),
    "a slow hash": (other_file("/etc/shadow", content=Secret(SLOW)), "the password"),
    "no hash": (other_file("/etc/shadow", content=Secret(b"")), "the password"),
    "another content": (other_file("/etc/motd", content=Secret(b"hullo")), "file '/etc/motd'"),
    "another mode": (other_file("/opt/binary", mode=0o755), "file 'opt/binary'"),
    "another owner": (other_file("/opt/binary", uid=0), "file 'opt/binary'"),
    "elsewhere": (elsewhere(5, "/etc/motd2"), "file '/etc/motd'"),
    "keys that anybody may write": (other_file(KEYS, mode=0o666), "key 'laptop', key 'desk'"),
    "keys for somebody else": (elsewhere(0, KEYS, "/home/eve/.ssh/authorized_keys"), "key 'laptop'"),
    "keys elsewhere": (elsewhere(0, "/tmp/authorized_keys"), "key 'laptop'"),
    "network elsewhere": (elsewhere(2, "/tmp/netplan.yaml"), "the static network addresses"),
    "metadata elsewhere": (elsewhere(3, "/tmp/meta.js"), "metadata"),
    "nowhere": (elsewhere(0), "key 'laptop'"),
    "landed twice": (lambda answer: replace(answer, landed=answer.landed * 2), "not answered what it was asked"),
    "not landed": (lambda answer: replace(answer, landed=answer.landed[1:]), "not answered what it was asked"),
    "no such place": (
        lambda answer: replace(answer, landed=(replace(answer.landed[0], place=-1), *answer.landed[1:])),
        "not answered what it was asked",
    ),
    "required, and declined": (
        lambda answer: replace(answer, landed=answer.landed[1:], declined=(Declined(0, "no"),)),
        "not answered what it was asked",
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_a_back_ends_word_is_not_taken(name: str) -> None:
    lie, message = LIES[name]
    door = MemoryDoor(a_guest())
    door.lie = lie

    with pytest.raises(ChannelBroken, match=message):
        a_channel(door).deliver(a_delivery())


CHANGES: dict[str, tuple[Callable[[MemoryDisk], object], tuple[str, ...]]] = {
    "nothing": (lambda disk: None, ()),
    "another motd": (lambda disk: disk.file("/etc/motd", b"x"), ("file '/etc/motd': another content",)),
    "a long motd": (
        lambda disk: disk.file("/etc/motd", claims=2**30),
        ("file '/etc/motd': another content, larger than 16777216 bytes",),
    ),
    "no motd": (lambda disk: disk.names.pop("/etc/motd"), ("file '/etc/motd': gone",)),
    "a directory": (lambda disk: disk.directory("/etc/motd"), ("file '/etc/motd': gone",)),
    "another mode": (
        lambda disk: setattr(disk.node("/opt/binary"), "mode", 0o755),
        ("file 'opt/binary': mode 0755 instead of 0750",),
    ),
    "no keys": (lambda disk: disk.file(KEYS, b""), ("key 'laptop': gone", "key 'desk': gone")),
    "more keys": (lambda disk: disk.file(KEYS, b"ssh-rsa AAAAx\n" + disk.read(KEYS)), ()),
    "another password": (
        lambda disk: disk.file("/etc/shadow", b"root:$6$x$y:1::\n"),
        ("the password for root: another content",),
    ),
    "another address": (
        lambda disk: disk.file("/etc/network/interfaces", b"iface eth0 inet static\naddress 10.0.2.16/24\n"),
        ("the static network addresses: another content",),
    ),
    "other metadata": (lambda disk: disk.file("/meta.js", b"{}"), ("metadata: another content",)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_guest_is_verified_against_its_receipt(name: str) -> None:
    change, expected = CHANGES[name]
    door = MemoryDoor(a_guest())
    channel = a_channel(door)
    receipt = channel.deliver(a_delivery())
    change(door.disk)

    assert channel.verify(INSTANCE, a_disk(), receipt) == expected
    assert isinstance(door.sent[-1], Look)


def test_a_preview_shows_every_file_and_no_password() -> None:
    contents = a_channel().contents(a_delivery())

    assert set(contents) == {
        *(KEYS, "/etc/network/interfaces", "/etc/systemd/network/00-0-injector-0.link", "/meta.js"),
        *("/etc/motd", "/opt/binary"),
    }
    assert contents[KEYS] == f"{a.PUBLIC_KEY}\nssh-rsa AAAAdesk ada, at her desk\n".encode()


def test_without_facts_there_is_no_root_to_write_to() -> None:
    door = MemoryDoor(a_guest())

    with pytest.raises(GuestUnreadable, match="nobody has found out"):
        a_channel(door).deliver(replace(a_delivery(), disk=a_disk(facts=None)))
    with pytest.raises(GuestUnreadable, match="no partition 3"):
        a_channel(door, inject_partition=3).deliver(a_delivery())
    assert door.sent == []


def test_the_carriage_names_the_back_ends() -> None:
    carriage = a_channel(MemoryDoor(a_guest(), "ext"), MemoryDoor(a_guest(), "guestfs")).carriage

    assert (carriage.channel, carriage.any_mode, carriage.back_ends) == (
        ChannelKind.PARTITION,
        True,
        ("ext", "guestfs"),
    )
    assert ItemKind.USER_DATA not in carriage.kinds
