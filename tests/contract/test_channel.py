"""What every injection channel promises, and the config drive besides: exact, proven, never written over."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings

from injector.errors import ChannelBroken, NoSpace
from injector.inject.channel import Channel, Delivery
from injector.inject.configdrive.channel import ConfigDriveChannel
from injector.inject.configdrive.formats import FORMATS
from injector.inject.configdrive.iso9660 import Iso9660Packer
from injector.inject.configdrive.packer import Packer, Volume
from injector.inject.configdrive.tree import Tree
from injector.inject.nothing import NoChannel
from injector.inject.plan import items_of
from injector.model.boot import NicOrder
from injector.model.ingredients import Bus, Device
from injector.model.instance import Instance
from injector.model.network import Ipv6Mode, Nic, Subnet
from injector.model.payload import ItemKind, Payload
from injector.model.plan import ChannelKind, LeftOut
from injector.model.receipt import Outcome
from injector.model.secret import Secret
from injector.settings import DriveSettings
from tests import builders as a
from tests import crafted, judges
from tests.outside import FOREIGN, ROOT
from tests.strategies import INSTANCES, PAYLOADS

if TYPE_CHECKING:
    from tests.cloudinit_reader import CloudInit

pytest_plugins = ("tests.cloudinit_reader",)

VAULT = a.a_vault()


def keyed(content: bytes) -> str:
    return VAULT.digest(a.INSTANCE_ID, content)


INSTANCE = a.an_instance(key=a.a_key(), asked_metadata={"role": "wëb"})
PAYLOAD = a.a_payload(
    user_data=Secret(b"#!/bin/sh\ntrue\n"),
    files=(a.a_file(), a.a_file("/opt/binary", bytes(range(256)))),
    admin_password=Secret("hunter2"),
)


def drive_channel(packer: Packer | None = None, group: int | None = None) -> ConfigDriveChannel:
    return ConfigDriveChannel(DriveSettings(), VAULT, group, packer)


CHANNELS: Mapping[ChannelKind, Callable[[], Channel]] = {
    ChannelKind.CONFIG_DRIVE: drive_channel,
    ChannelKind.NONE: NoChannel,
}


def a_delivery(
    directory: Path,
    instance: Instance = INSTANCE,
    payload: Payload = PAYLOAD,
    *,
    given: bool = True,
    devices: tuple[Device, ...] = (),
    **plan: Any,
) -> Delivery:
    """Everything the payload and the record hold is asked for, into a fresh workspace below ``directory``."""
    items = items_of(
        payload,
        keys=instance.keys,
        metadata=instance.asked_metadata,
        nics=tuple(NicOrder(nic.network, tag=nic.tag) for nic in instance.nics),
        disk_tag=instance.disk_tag,
        password_given=given,
    )
    workspace = a.a_workspace(directory)
    workspace.path.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = {"items": items}
    chosen = a.a_plan(**(values | plan))
    asking = replace(instance, items=items)
    return a.a_delivery(instance=asking, payload=payload, plan=chosen, workspace=workspace, devices=devices)


@pytest.mark.parametrize("kind", CHANNELS)
def test_a_channel_says_what_it_is(kind: ChannelKind) -> None:
    assert CHANNELS[kind]().carriage.channel is kind


@pytest.mark.parametrize("kind", CHANNELS)
def test_what_was_left_out_is_in_the_receipt_with_its_reason(kind: ChannelKind, tmp_path: Path) -> None:
    lost = a.an_item(required=False)
    plan: dict[str, Any] = {"channel": kind, "items": (), "left_out": (LeftOut(lost, "nobody carries it"),)}
    receipt = CHANNELS[kind]().deliver(a_delivery(tmp_path, payload=a.a_payload(), **plan))
    assert receipt.channel is kind
    (left,) = (item for item in receipt.items if item.outcome is Outcome.LEFT_OUT)
    assert (left.name, left.reason, left.digest, left.where) == ("/etc/motd", "nobody carries it", None, None)


@pytest.mark.parametrize("kind", CHANNELS)
def test_what_was_promised_is_never_dropped(kind: ChannelKind, tmp_path: Path) -> None:
    plan: dict[str, Any] = {"channel": kind, "items": (a.an_item(name="/etc/lost"),)}
    with pytest.raises(ChannelBroken, match="/etc/lost"):
        CHANNELS[kind]().deliver(a_delivery(tmp_path, **plan))
    assert list(a.a_workspace(tmp_path).path.iterdir()) == []


def test_a_plan_that_promises_what_it_leaves_out_is_no_delivery(tmp_path: Path) -> None:
    payload = a.a_payload(files=(a.a_file(),))
    plan: dict[str, Any] = {"left_out": (LeftOut(a.an_item(), "no"),)}
    with pytest.raises(ChannelBroken, match="not as asked: file '/etc/motd'"):
        drive_channel().deliver(a_delivery(tmp_path, payload=payload, **plan))


@pytest.mark.parametrize("kind", CHANNELS)
def test_every_fitting_is_there_after_the_delivery_and_nothing_else(kind: ChannelKind, tmp_path: Path) -> None:
    channel = CHANNELS[kind]()
    promised = a_delivery(tmp_path) if kind is not ChannelKind.NONE else a_delivery(tmp_path, items=())
    channel.deliver(promised)
    fittings = channel.fittings(promised.plan, promised.workspace)
    assert sorted(promised.workspace.path.iterdir()) == sorted(fitting.path for fitting in fittings)


@pytest.mark.parametrize(("bus", "device"), [("scsi", "cdrom"), ("sata", "cdrom"), ("virtio", "disk")])
def test_the_drive_is_fitted_where_the_plan_says(bus: str, device: str) -> None:
    (fitting,) = drive_channel().fittings(a.a_plan(drive_bus=bus), a.a_workspace())
    assert (fitting.bus, fitting.device) == (bus, device)


def test_the_receipt_lists_every_item_with_place_and_digest(tmp_path: Path) -> None:
    receipt = drive_channel().deliver(a_delivery(tmp_path))
    addresses = b"52:54:00:00:00:01 10.0.2.15/24"
    document = "openstack/latest/meta_data.json"

    def sha256(content: bytes) -> str:
        return "sha256:" + hashlib.sha256(content).hexdigest()

    assert [(item.kind, item.name, item.size, item.digest, item.where, item.mode) for item in receipt.items] == [
        (ItemKind.KEY, "laptop", 92, sha256(a.PUBLIC_KEY.encode()), f"{document}#/public_keys/laptop", None),
        (ItemKind.FILE, "/etc/motd", 5, keyed(b"hello"), "openstack/content/0000", 0o660),
        (
            ItemKind.FILE,
            "/opt/binary",
            256,
            keyed(bytes(range(256))),
            "openstack/content/0001",
            0o660,
        ),
        (ItemKind.METADATA, "metadata", 20, sha256(b'{"role": "w\\u00ebb"}'), f"{document}#/meta", None),
        (
            ItemKind.USER_DATA,
            "user_data",
            15,
            keyed(b"#!/bin/sh\ntrue\n"),
            "openstack/latest/user_data",
            None,
        ),
        (
            ItemKind.PASSWORD,
            "password",
            0,
            keyed(b"hunter2"),
            f"{document}#/admin_pass",
            None,
        ),
        (ItemKind.NETWORK, "network", 30, sha256(addresses), "openstack/latest/network_data.json", None),
        (ItemKind.HOSTNAME, "hostname", 13, sha256(b"web.novalocal"), f"{document}#/hostname", None),
    ]
    assert {item.outcome for item in receipt.items} == {Outcome.READ_BACK}


def test_the_drive_digest_is_that_of_the_file(tmp_path: Path) -> None:
    delivery = a_delivery(tmp_path)
    receipt = drive_channel().deliver(delivery)
    image = delivery.workspace.config_drive.read_bytes()
    assert (receipt.drive_digest, receipt.drive_size) == (hashlib.sha256(image).hexdigest(), len(image))
    assert receipt.drive_format == "iso9660"


def test_no_guess_of_a_secret_is_confirmed_by_a_receipt(tmp_path: Path) -> None:
    shown = repr(drive_channel().deliver(a_delivery(tmp_path)))
    for secret in (b"hunter2", b"hello", b"#!/bin/sh\ntrue\n"):
        assert hashlib.sha256(secret).hexdigest() not in shown
        assert secret.decode() not in shown


def test_a_generated_password_is_delivered_and_listed_though_not_asked_for(tmp_path: Path) -> None:
    delivery = a_delivery(tmp_path, given=False)
    assert ItemKind.PASSWORD not in {item.kind for item in delivery.plan.items}
    receipt = drive_channel().deliver(delivery)
    (password,) = (item for item in receipt.items if item.kind is ItemKind.PASSWORD)
    assert password.digest == keyed(b"hunter2")


def test_the_place_of_a_key_is_a_json_pointer_whatever_its_name(tmp_path: Path) -> None:
    receipt = drive_channel().deliver(a_delivery(tmp_path, instance=a.an_instance(key=a.a_key(name="a/b~c"))))
    assert receipt.items[0].where == "openstack/latest/meta_data.json#/public_keys/a~1b~0c"


def test_every_key_is_an_item_and_one_may_be_left_out_alone(tmp_path: Path) -> None:
    keys = (a.a_key(name="work", public_key="ssh-rsa BBBB"), a.a_key(name="home", public_key="ssh-rsa CCCC"))
    delivery = a_delivery(tmp_path, a.an_instance(key=a.a_key(), more_keys=keys))
    work = next(item for item in delivery.plan.items if item.name == "work")
    kept = tuple(item for item in delivery.plan.items if item is not work)
    less = replace(delivery, plan=replace(delivery.plan, items=kept, left_out=(LeftOut(work, "no"),)))
    receipt = drive_channel().deliver(less)
    outcomes = [(item.name, item.outcome) for item in receipt.items if item.kind is ItemKind.KEY]
    assert outcomes == [("laptop", Outcome.READ_BACK), ("home", Outcome.READ_BACK), ("work", Outcome.LEFT_OUT)]


def test_the_roles_of_devices_are_an_item_that_old_versions_do_not_know(tmp_path: Path) -> None:
    instance = a.an_instance(nics=(a.a_nic(tag="front"),), disk_tag="os")
    devices = (
        Device("disk", Bus.PCI, "0000:02:00.0", ("os",), serial="x"),
        Device("nic", Bus.PCI, "0000:01:00.0", ("front",), mac="52:54:00:00:00:01"),
    )
    delivery = a_delivery(tmp_path, instance, devices=devices)
    (roles,) = (item for item in drive_channel().deliver(delivery).items if item.kind is ItemKind.DEVICES)
    assert (roles.outcome, roles.where) == (Outcome.READ_BACK, "openstack/latest/meta_data.json#/devices")
    untold = a_delivery(tmp_path / "untold", instance)
    with pytest.raises(ChannelBroken, match="the tags of the devices"):
        drive_channel().deliver(untold)


def test_a_path_given_twice_has_two_lines(tmp_path: Path) -> None:
    twice = a.a_payload(files=(a.a_file(content=b"one"), a.a_file(content=b"two")))
    receipt = drive_channel().deliver(a_delivery(tmp_path, payload=twice))
    digests = [item.digest for item in receipt.items if item.kind is ItemKind.FILE]
    assert digests == [keyed(b"one"), keyed(b"two")]


def test_the_drive_is_readable_by_its_owner_and_group_only(tmp_path: Path) -> None:
    group = FOREIGN if ROOT else os.getegid()
    delivery = a_delivery(tmp_path)
    drive_channel(group=group).deliver(delivery)
    info = delivery.workspace.config_drive.stat()
    assert (stat.S_IMODE(info.st_mode), info.st_gid) == (0o440, group)


def test_the_same_record_gives_the_same_drive_and_another_seed_another_one(tmp_path: Path) -> None:
    first = drive_channel().deliver(a_delivery(tmp_path / "a"))
    again = drive_channel().deliver(a_delivery(tmp_path / "b"))
    other = drive_channel().deliver(
        a_delivery(tmp_path / "c", payload=replace(PAYLOAD, random_seed=Secret(b"x" * 512)))
    )
    assert first == again
    assert first.drive_digest != other.drive_digest


def test_a_drive_that_is_there_stays_when_it_holds_this_very_delivery(tmp_path: Path) -> None:
    delivery = a_delivery(tmp_path)
    first = drive_channel().deliver(delivery)
    before = delivery.workspace.config_drive.stat()
    assert drive_channel().deliver(delivery) == first
    after = delivery.workspace.config_drive.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_drive_that_is_there_and_differs_is_neither_used_nor_written_over(tmp_path: Path) -> None:
    delivery = a_delivery(tmp_path)
    drive_channel().deliver(delivery)
    before = delivery.workspace.config_drive.read_bytes()
    other = replace(delivery, payload=replace(PAYLOAD, random_seed=Secret(b"x" * 512)))
    with pytest.raises(ChannelBroken, match="does not hold"):
        drive_channel().deliver(other)
    assert delivery.workspace.config_drive.read_bytes() == before


def test_every_format_carries_the_same_and_is_proven_the_same(tmp_path: Path) -> None:
    receipts = {}
    for form in FORMATS:
        delivery = a_delivery(tmp_path / form, drive_format=form, drive_bus="virtio")
        receipts[form] = drive_channel().deliver(delivery)
        assert drive_channel().verify(delivery.workspace, receipts[form]) == ()
        (fitting,) = drive_channel().fittings(delivery.plan, delivery.workspace)
        assert fitting.device == "disk"
    assert {receipt.drive_format: receipt.items for receipt in receipts.values()} == dict.fromkeys(
        FORMATS, receipts["iso9660"].items
    )


def test_a_vfat_drive_that_was_altered_is_told_by_its_items(tmp_path: Path) -> None:
    delivery = a_delivery(tmp_path, drive_format="vfat")
    receipt = drive_channel().deliver(delivery)
    drive = delivery.workspace.config_drive
    drive.chmod(0o600)
    drive.write_bytes(drive.read_bytes().replace(b"#!/bin/sh\ntrue\n", b"#!/bin/sh\ntalk\n"))
    assert drive_channel().verify(delivery.workspace, receipt) == (
        "the config drive is not the one that was delivered",
        "user-data: another content",
    )
    drive.write_bytes(b"\0" * 4096)
    assert drive_channel().verify(delivery.workspace, receipt)[-1] == "it cannot be read"


class Lying(Iso9660Packer):
    """Packs something other than it was given."""

    def __init__(self, lie: Callable[[dict[str, bytes]], object], label: str = "config-2") -> None:
        self._lie, self._label = lie, label

    def pack(self, tree: Tree, volume: Volume, into: BinaryIO) -> None:
        changed = dict(tree)
        self._lie(changed)
        super().pack(changed, replace(volume, label=self._label), into)


class Truncating(Iso9660Packer):
    """Loses the end of the drive."""

    def pack(self, tree: Tree, volume: Volume, into: BinaryIO) -> None:
        super().pack(tree, volume, into)
        into.truncate(into.tell() // 2)


@pytest.mark.parametrize(
    "packer",
    [
        Lying(lambda tree: tree.update({"openstack/content/0001": b"?"})),
        Lying(lambda tree: tree.update({"openstack/2012-08-10/user_data": b"?"})),
        Lying(lambda tree: tree.update({"ec2/latest/more": b"?"})),
        Lying(lambda tree: tree.pop("openstack/latest/vendor_data.json")),
        Lying(lambda tree: None, label="config-3"),
        Truncating(),
    ],
)
def test_a_drive_other_than_asked_is_no_delivery(packer: Packer, tmp_path: Path) -> None:
    with pytest.raises(ChannelBroken):
        drive_channel(packer).deliver(a_delivery(tmp_path))


@pytest.mark.skipif(not ROOT, reason="only root can mount a small file system")
def test_a_full_disk_is_no_space_and_leaves_nothing(tmp_path: Path) -> None:
    with crafted.small_disk(tmp_path / "small", 64 * crafted.KIB) as small:
        delivery = a_delivery(small)
        with pytest.raises(NoSpace):
            drive_channel().deliver(delivery)
        assert list(delivery.workspace.path.iterdir()) == []


def test_a_workspace_that_is_gone_breaks_the_channel_without_telling_where_it_was(tmp_path: Path) -> None:
    delivery = a_delivery(tmp_path)
    delivery.workspace.path.rmdir()
    with pytest.raises(ChannelBroken) as broken:
        drive_channel().deliver(delivery)
    assert str(tmp_path) not in broken.value.message


def test_verify_is_content_with_what_was_delivered(tmp_path: Path) -> None:
    delivery = a_delivery(tmp_path)
    receipt = drive_channel().deliver(delivery)
    assert drive_channel().verify(delivery.workspace, receipt) == ()


def _overwrite(drive: Path, image: bytes) -> None:
    drive.chmod(0o640)
    drive.write_bytes(image)


def test_verify_names_the_items_that_changed(tmp_path: Path) -> None:
    delivery, other = (
        a_delivery(tmp_path / "a"),
        a_delivery(
            tmp_path / "b",
            instance=a.an_instance(key=a.a_key(), nics=()),
            payload=replace(PAYLOAD, files=(a.a_file(),)),
        ),
    )
    receipt = drive_channel().deliver(delivery)
    drive_channel().deliver(other)
    _overwrite(delivery.workspace.config_drive, other.workspace.config_drive.read_bytes())
    assert drive_channel().verify(delivery.workspace, receipt) == (
        "the config drive is not the one that was delivered",
        "file '/opt/binary': gone",
        "metadata: gone",
        "the static network addresses: another content",
    )


@pytest.mark.parametrize("drive_format", FORMATS)
def test_verify_does_not_take_a_digest_for_the_truth(drive_format: str, tmp_path: Path) -> None:
    """A drive that is the receipt's to the byte and holds something else, and one that holds nothing."""
    delivery = a_delivery(tmp_path, drive_format=drive_format)
    receipt = drive_channel().deliver(delivery)
    drive = delivery.workspace.config_drive
    for image, complaint in (
        (drive.read_bytes().replace(b"#!/bin/sh\ntrue\n", b"#!/bin/sh\ntalk\n"), "user-data: another content"),
        (b"\0" * 65536, "the config drive cannot be read"),
    ):
        _overwrite(drive, image)
        claimed = replace(receipt, drive_digest=hashlib.sha256(image).hexdigest())
        assert drive_channel().verify(delivery.workspace, claimed) == (complaint,)


def test_verify_of_a_drive_that_is_gone_or_damaged(tmp_path: Path) -> None:
    delivery = a_delivery(tmp_path)
    receipt = drive_channel().deliver(delivery)
    _overwrite(delivery.workspace.config_drive, b"\0" * 65536)
    assert drive_channel().verify(delivery.workspace, receipt)[-1] == "it cannot be read"
    delivery.workspace.config_drive.unlink()
    assert drive_channel().verify(delivery.workspace, receipt) == ("the config drive is gone",)


def macs(instance: Instance) -> dict[str, str]:
    """The cards as the guest would see them."""
    return {nic.mac: f"eth{number}" for number, nic in enumerate(instance.nics)}


def test_cloud_init_reads_from_the_drive_what_was_asked(tmp_path: Path, cloud_init: CloudInit) -> None:
    delivery = a_delivery(tmp_path, replace(INSTANCE, more_keys=(a.a_key(name="desk", public_key="ssh-rsa BBBB"),)))
    drive_channel().deliver(delivery)
    tree = judges.isoinfo_tree(delivery.workspace.config_drive, "-R")
    found = cloud_init.read(judges.lay_out(tree, tmp_path / "mnt"), macs(INSTANCE))
    assert found["metadata"]["instance-id"] == INSTANCE.id
    assert found["metadata"]["local-hostname"] == "web.novalocal"
    assert found["metadata"]["public_keys"] == {"laptop": a.PUBLIC_KEY, "desk": "ssh-rsa BBBB"}
    assert found["metadata"]["meta"] == {"role": "wëb"}
    assert found["metadata"]["random_seed"] == a.SEED
    assert found["userdata"] == b"#!/bin/sh\ntrue\n"
    assert found["files"] == {"/etc/motd": b"hello", "/opt/binary": bytes(range(256))}
    assert found["ec2-metadata"]["instance-id"] == "i-5ca1ab1e"
    (card, dns) = found["network"]["config"]
    assert (card["name"], card["mac_address"]) == ("eth0", "52:54:00:00:00:01")
    (subnet,) = card["subnets"]
    assert (subnet["type"], subnet["address"], subnet["netmask"]) == ("static", "10.0.2.15", "255.255.255.0")
    assert subnet["routes"] == [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.2.2"}]
    assert dns == {"type": "nameserver", "address": "10.0.2.3"}


def test_cloud_init_configures_every_kind_of_subnet(tmp_path: Path, cloud_init: CloudInit) -> None:
    """Two static ones of one family, both ways of DHCPv6, SLAAC and the old word for DHCPv6, on three cards."""
    second = a.a_subnet(cidr="198.51.100.0/24", gateway=None, dns=(), pool_first=None, pool_last=None)
    stateful, stateless, slaac = (
        a.a_dhcp_subnet(cidr=f"fd00:{number}::/64", ipv6_mode=mode)
        for number, mode in enumerate((Ipv6Mode.STATEFUL, Ipv6Mode.STATELESS, Ipv6Mode.SLAAC))
    )
    old = a.a_dhcp_subnet(cidr="fd00:9::/64")
    told = [(a.a_subnet(), "10.0.2.15"), (second, "198.51.100.7"), (stateful, None)]
    instance = a.an_instance(
        nics=(
            _card(1, told),
            _card(2, [(stateless, None), (a.a_dhcp_subnet(), None)]),
            _card(3, [(slaac, None), (old, None)], mtu=1400),
        )
    )
    delivery = a_delivery(tmp_path, instance)
    drive_channel().deliver(delivery)
    tree = judges.isoinfo_tree(delivery.workspace.config_drive, "-R")
    config = cloud_init.read(judges.lay_out(tree, tmp_path / "mnt"), macs(instance))["network"]["config"]
    cards = [one for one in config if one["type"] == "physical"]
    assert [[subnet["type"] for subnet in card["subnets"]] for card in cards] == [
        ["static", "static", "ipv6_dhcpv6-stateful"],
        ["ipv6_dhcpv6-stateless", "dhcp4"],
        ["ipv6_slaac", "dhcp6"],
    ]
    assert [subnet.get("address") for subnet in cards[0]["subnets"]] == ["10.0.2.15", "198.51.100.7", None]
    assert [card.get("accept-ra") for card in cards] == [True, None, True]
    assert all(card.get("mtu", 1) is not None for card in cards)


def test_cloud_init_reads_the_rendered_network(tmp_path: Path, cloud_init: CloudInit) -> None:
    """A family a card: its parser of this format, unlike ifupdown, knows no second stanza of one card."""
    six = a.a_subnet(cidr="2001:db8::/64", gateway="2001:db8::1", dns=("2001:db8::3",))
    instance = a.an_instance(nics=(_card(1, [(a.a_subnet(), "10.0.2.15")]), _card(2, [(six, "2001:db8::15")])))
    channel = ConfigDriveChannel(DriveSettings(flat_injected=True), VAULT)
    delivery = a_delivery(tmp_path, instance)
    gathered = replace(delivery, ingredients=channel.gather(delivery))
    receipt = channel.deliver(gathered)
    files = [item.where for item in receipt.items if item.kind is ItemKind.FILE]
    assert files == ["openstack/content/0001", "openstack/content/0002"]
    tree = judges.isoinfo_tree(delivery.workspace.config_drive, "-R")
    found = cloud_init.read(judges.lay_out(tree, tmp_path / "mnt"), macs(instance))
    assert "error" not in found
    assert found["files"] == {"/etc/motd": b"hello", "/opt/binary": bytes(range(256))}
    cards = [one for one in found["interfaces"]["config"] if one["type"] == "physical"]
    assert [(card["name"], card["mac_address"]) for card in cards] == [
        ("eth0", "52:54:00:00:00:01"),
        ("eth1", "52:54:00:00:00:02"),
    ]
    told = [(subnet["type"], subnet["address"], subnet["gateway"]) for card in cards for subnet in card["subnets"]]
    assert told == [("static", "10.0.2.15", "10.0.2.2"), ("static", "2001:db8::15", "2001:db8::1")]


def _card(number: int, subnets: list[tuple[Subnet, str | None]], mtu: int | None = None) -> Nic:
    network = a.a_network(mtu=mtu, subnets=tuple(subnet for subnet, _ in subnets))
    addresses = tuple(a.an_address(subnet, ip) for subnet, ip in subnets)
    return a.a_nic(mac=f"52:54:00:00:00:{number:02x}", network=network, addresses=addresses)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(INSTANCES, PAYLOADS)
def test_cloud_init_reads_any_drive(
    tmp_path_factory: pytest.TempPathFactory, cloud_init: CloudInit, instance: Instance, payload: Payload
) -> None:
    directory = tmp_path_factory.mktemp("any")
    delivery = a_delivery(directory, instance, payload)
    drive_channel().deliver(delivery)
    tree = judges.isoinfo_tree(delivery.workspace.config_drive, "-R")
    found = cloud_init.read(judges.lay_out(tree, directory / "mnt"), macs(instance))
    assert "error" not in found
    assert found["metadata"]["instance-id"] == instance.id
    assert found["metadata"].get("meta", {}) == instance.asked_metadata
    assert found["userdata"] == (payload.user_data.reveal() if payload.user_data else "")
    # One path given twice: the last one wins, as in the guest.
    assert found["files"] == {file.path: file.content.reveal() for file in payload.files}
