"""Model values for tests: each builder gives a plain, valid value; name only what the test is about.

an_instance(state=State.ACTIVE)    a_payload(user_data=Secret(b"#!/bin/sh"))
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from injector.inject.channel import Delivery
from injector.inject.configdrive.gather import Gatherer
from injector.model.boot import BootRequest, NicOrder
from injector.model.context import Context
from injector.model.facts import Agent, ImageFacts, Init, NetworkStack, Partition, Root
from injector.model.flavor import Flavor
from injector.model.generation import Generation
from injector.model.host import HostFacts, InjectionPolicy, Verdict
from injector.model.image import DiskFormat, Image, ImageStatus
from injector.model.instance import Instance, State
from injector.model.keypair import KeyPair
from injector.model.network import Address, Network, NetworkKind, Nic, Subnet
from injector.model.payload import InjectedFile, Item, ItemKind, Payload
from injector.model.plan import Carriage, ChannelKind, Plan
from injector.model.receipt import Receipt
from injector.model.report import Settled
from injector.model.secret import Sealed, Secret
from injector.model.workspace import Workspace
from injector.settings import DriveSettings
from injector.system.vault import Vault

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
INSTANCE_ID = "5ca1ab1e-0000-4000-8000-000000000001"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICsNenn6AbD79LkttOwDsp/BOMw452gOC7j+O8ywx9nb ada@example"
SEED = bytes(range(256)) * 2


def a_context(**changes: Any) -> Context:
    return Context(**({"request_id": "req-1", "user_id": "ada", "project_id": "engines"} | changes))


def an_image(**changes: Any) -> Image:
    values: dict[str, Any] = {
        "id": "5ca1ab1e-1111-4000-8000-000000000001",
        "name": "debian-12",
        "disk_format": DiskFormat.QCOW2,
        "owner": "engines",
        "created_at": NOON,
        "status": ImageStatus.ACTIVE,
        "size": 300 * 1024**2,
        "virtual_size": 2 * 1024**3,
        "sha256": "0" * 64,
    }
    return Image(**(values | changes))


def a_flavor(**changes: Any) -> Flavor:
    values: dict[str, Any] = {"id": "1", "name": "m1.small", "vcpus": 1, "ram": 512, "disk": 3}
    return Flavor(**(values | changes))


def a_key(**changes: Any) -> KeyPair:
    values: dict[str, Any] = {
        "name": "laptop",
        "public_key": PUBLIC_KEY,
        "fingerprint": "aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99",
        "user_id": "ada",
        "created_at": NOON,
    }
    return KeyPair(**(values | changes))


def a_subnet(**changes: Any) -> Subnet:
    """Static IPv4 with a gateway, a resolver and a pool."""
    values: dict[str, Any] = {
        "cidr": "10.0.2.0/24",
        "gateway": "10.0.2.2",
        "dns": ("10.0.2.3",),
        "pool_first": "10.0.2.15",
        "pool_last": "10.0.2.99",
    }
    return Subnet(**(values | changes))


def a_dhcp_subnet(**changes: Any) -> Subnet:
    values: dict[str, Any] = {"cidr": "192.0.2.0/24", "dhcp": True}
    return Subnet(**(values | changes))


def a_network(**changes: Any) -> Network:
    values: dict[str, Any] = {
        "id": "5ca1ab1e-2222-4000-8000-000000000001",
        "name": "lab",
        "kind": NetworkKind.USER,
        "project_id": "engines",
        "subnets": (a_subnet(),),
    }
    return Network(**(values | changes))


def a_nic(**changes: Any) -> Nic:
    """One card with the static address 10.0.2.15."""
    network = changes.get("network", a_network())
    first = network.subnets[0] if network.subnets else None
    addresses = () if first is None else (Address(first, None if first.dhcp else "10.0.2.15"),)
    return Nic(**({"mac": "52:54:00:00:00:01", "network": network, "addresses": addresses} | changes))


def an_address(subnet: Subnet, ip: str | None = None) -> Address:
    return Address(subnet, ip)


def an_item(kind: ItemKind = ItemKind.FILE, name: str = "/etc/motd", **changes: Any) -> Item:
    values: dict[str, Any] = {"kind": kind, "name": name, "size": 5}
    return Item(**(values | changes))


def a_file(path: str = "/etc/motd", content: bytes = b"hello", **changes: Any) -> InjectedFile:
    return InjectedFile(path, Secret(content), **changes)


def a_payload(**changes: Any) -> Payload:
    """Nothing but the seed, which every guest gets."""
    return Payload(**({"random_seed": Secret(SEED)} | changes))


def a_sealed() -> Sealed:
    """Well-formed, but no vault opens it; a test that unseals seals with ``a_vault()``."""
    return Sealed("0123456789abcdef", b"n" * 12, b"ciphertext")


def a_vault() -> Vault:
    """Always the same key: what one seals another opens."""
    return Vault(b"k" * 32)


def a_boot_request(**changes: Any) -> BootRequest:
    values: dict[str, Any] = {
        "instance_id": INSTANCE_ID,
        "name": "web",
        "hostname": "web",
        "project_id": "engines",
        "user_id": "ada",
        "reservation_id": "r-12345678",
        "image": an_image(),
        "flavor": a_flavor(),
        "payload": a_sealed(),
        "nics": (NicOrder(a_network()),),
    }
    return BootRequest(**(values | changes))


def an_instance(**changes: Any) -> Instance:
    """Being built, nothing asked for, one card with a static address."""
    values: dict[str, Any] = {
        "id": INSTANCE_ID,
        "name": "web",
        "hostname": "web",
        "project_id": "engines",
        "user_id": "ada",
        "reservation_id": "r-12345678",
        "image": an_image(),
        "flavor": a_flavor(),
        "payload": a_sealed(),
        "created_at": NOON,
        "updated_at": NOON,
        "nics": (a_nic(),),
        "request_id": "req-1",
    }
    return Instance(**(values | changes))


def a_plan(**changes: Any) -> Plan:
    values: dict[str, Any] = {
        "channel": ChannelKind.CONFIG_DRIVE,
        "reason": "the operator forces a config drive",
        "drive_bus": "scsi",
        "medium_changes_live": True,
    }
    return Plan(**(values | changes))


def a_workspace(directory: Path = Path("/nowhere"), **changes: Any) -> Workspace:
    """Made by nobody: a test that writes makes the directory."""
    values: dict[str, Any] = {"instances_dir": directory, "instance_id": INSTANCE_ID}
    return Workspace(**(values | changes))


def a_delivery(**changes: Any) -> Delivery:
    """Nothing asked for, by config drive, whose ingredients were gathered without drawing any salt."""
    values: dict[str, Any] = {
        "instance": an_instance(),
        "payload": a_payload(),
        "plan": a_plan(),
        "workspace": a_workspace(),
    }
    values |= changes
    return Delivery(
        **({"ingredients": Gatherer(DriveSettings(linux_password="never")).gather(Delivery(**values))} | values)
    )


def a_receipt(**changes: Any) -> Receipt:
    values: dict[str, Any] = {
        "channel": ChannelKind.CONFIG_DRIVE,
        "reason": "the operator forces a config drive",
        "drive_digest": "0" * 64,
        "drive_size": 2048,
        "drive_format": "iso9660",
    }
    return Receipt(**(values | changes))


def a_generation(**changes: Any) -> Generation:
    """The first config drive of a guest."""
    values: dict[str, Any] = {
        "number": 1,
        "uuid": INSTANCE_ID,
        "made_at": NOON,
        "receipt": a_receipt(),
        "ingredients": a_sealed(),
    }
    return Generation(**(values | changes))


def a_drive_carriage(**changes: Any) -> Carriage:
    """What the config drive of this product carries: every kind, but no modes or owners of files."""
    return Carriage(**({"channel": ChannelKind.CONFIG_DRIVE, "kinds": frozenset(ItemKind)} | changes))


def some_image_facts(**changes: Any) -> ImageFacts:
    """Of a Debian cloud image."""
    partition = Partition(1, 1024**2, 1024**3, "0fc63daf-8483-4772-8e79-3d69d8477de4", None, "ext4", "root")
    values: dict[str, Any] = {
        "table": "gpt",
        "partitions": (partition,),
        "root": Root(1, 1024**2, 1024**3, "ext4", "partition 1, by its label"),
        "os": "debian",
        "os_version": "12",
        "init": Init.SYSTEMD,
        "network": (NetworkStack.NETPLAN,),
        "agent": Agent.YES,
        "agent_seen": "/usr/bin/cloud-init",
        "back_end": "ext",
    }
    return ImageFacts(**(values | changes))


def a_settlement(**changes: Any) -> Settled:
    values: dict[str, Any] = {"state": State.STOPPED, "at": NOON}
    return Settled(**(values | changes))


def some_host_facts(**changes: Any) -> HostFacts:
    values: dict[str, Any] = {
        "name": "host-1",
        "hypervisor": "QEMU",
        "hypervisor_version": "7.2.0",
        "arch": "x86_64",
        "vcpus": 4,
        "memory_mib": 8192,
        "disk_gib": 100,
        "virt": Verdict("qemu", "max", "no /dev/kvm on this host", False),
        "policy": InjectionPolicy(),
        "carriages": (a_drive_carriage(),),
        "guests": 0,
        "reported_at": NOON,
    }
    return HostFacts(**(values | changes))
