"""Requests of every kind, by chance that can be had again: the same seed and number are the same request anywhere.

For the judges of drives: what is asked for here is compared with what readers that were not written here find.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import random
import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from injector.inject.channel import Delivery
from injector.inject.configdrive import ec2
from injector.inject.configdrive.channel import ConfigDriveChannel
from injector.inject.configdrive.gather import Gatherer
from injector.inject.plan import Asked, choose, items_of
from injector.model.boot import NicOrder
from injector.model.host import InjectionPolicy
from injector.model.ingredients import Bus, Device, Ingredients
from injector.model.instance import Instance
from injector.model.keypair import KeyPair
from injector.model.network import Address, Ipv6Mode, NetworkKind, Nic, Route, Subnet
from injector.model.payload import InjectedFile, Payload
from injector.model.secret import Secret
from injector.settings import DriveSettings, VendorDataSettings
from tests import builders as a

SEED = os.environ.get("INJECTOR_SEED", "2")

_LETTERS = (
    "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789",
    "äöüßéèçñøåžşğłı",
    "αβγδεЖдяשלוםمرحبا",
    "日本語한국어中文ไทย",
    "🐧🚀👩‍🔬🇫🇷e\u0301\u200f\ufeff",
    " .,;:!?'\"\\/~#&<>{}[]()|$`%^*=+-_@",
)
_LINES = "\n\t"
_SIZES = (0, 1, 40, 2047, 2048, 2049, 10_000)
_PROPERTIES: tuple[dict[str, str], ...] = (
    {},
    {"hw_disk_bus": "scsi"},
    {"hw_cdrom_bus": "virtio"},
    {"os_type": "windows"},
)
_LARGEST_USER_DATA = 65536
PLUGS = (
    (),
    ("v4",),
    ("v6",),
    ("v4", "v6"),
    ("v4", "v4"),
    ("dhcp4",),
    ("dhcp6",),
    ("slaac",),
    ("dhcpv6-stateless",),
    ("dhcpv6-stateful",),
    ("dhcp4", "slaac"),
    ("v4", "dhcp6"),
    ("v6", "dhcp4"),
)
"""What the sides of a card may be: an address to be told, or whom the guest asks for one."""


@dataclass(frozen=True, slots=True)
class Generated:
    """One request as the host that builds it has it; ``vendor_data`` is the operator's file."""

    number: int
    instance: Instance
    payload: Payload
    settings: DriveSettings
    devices: tuple[Device, ...]
    password_given: bool
    vendor_data: dict[str, Any]

    def delivery(self, directory: Path, drive_format: str) -> Delivery:
        """By the choice that a host takes that leaves out what it cannot deliver; its workspace is made."""
        items = items_of(
            self.payload,
            keys=self.instance.keys,
            metadata=self.instance.asked_metadata,
            nics=tuple(NicOrder(nic.network, tag=nic.tag) for nic in self.instance.nics),
            disk_tag=self.instance.disk_tag,
            password_given=self.password_given,
        )
        policy = InjectionPolicy(
            drive_format=drive_format,
            undeliverable="warn",
            linux_password=self.settings.linux_password,
            drive_password=self.settings.admin_pass,
        )
        plan = choose(Asked(items, self.instance.image), policy, (ConfigDriveChannel.carriage,))
        workspace = a.a_workspace(directory, instance_id=self.instance.id)
        workspace.path.mkdir(parents=True)
        given = Delivery(replace(self.instance, items=items), self.payload, plan, workspace, devices=self.devices)
        return replace(given, ingredients=self._gathered(given, directory / "vendor_data.json"))

    def _gathered(self, given: Delivery, jsonfile: Path) -> Ingredients:
        jsonfile.write_text(json.dumps(self.vendor_data))
        told = replace(self.settings.vendor_data, jsonfile=jsonfile)
        return Gatherer(replace(self.settings, vendor_data=told)).gather(given)

    def channel(self) -> ConfigDriveChannel:
        return ConfigDriveChannel(self.settings, a.a_vault())

    def __str__(self) -> str:
        return str(self.number)


def requests(count: int, seed: str = SEED) -> Iterator[Generated]:
    """The first ``count`` of this seed."""
    return (request(number, seed) for number in range(count))


def request(number: int, seed: str = SEED) -> Generated:
    # Text, not a tuple: of text Random takes SHA-512, of other things a hash that differs by process.
    return _Maker(random.Random(f"{seed}/{number}")).request(number)


class _Maker:
    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def request(self, number: int) -> Generated:
        instance = self._instance()
        return Generated(
            number=number,
            instance=instance,
            payload=self._payload(),
            settings=self._drive_settings(instance),
            devices=self._devices(instance),
            password_given=self._odds(0.5),
            vendor_data=self._vendor_data(),
        )

    def _odds(self, chance: float = 0.3) -> bool:
        return self._chance.random() < chance

    def _text(self, longest: int = 40, shortest: int = 1, more: str = "") -> str:
        letters = "".join(self._chance.sample(_LETTERS, 2)) + more
        return "".join(self._chance.choices(letters, k=self._chance.randint(shortest, longest)))

    def _bytes(self, size: int) -> bytes:
        """Text or any bytes at all."""
        if self._odds(0.5):
            return self._chance.randbytes(size)
        return self._text(size, size, _LINES).encode()[:size] if size else b""

    def _instance(self) -> Instance:
        pick = self._chance
        keys = self._keys(pick.choice((0, 1, 1, 2, 5)))
        return a.an_instance(
            id=str(uuid.UUID(bytes=pick.randbytes(16), version=4)),
            name=self._text(255 if self._odds(0.1) else 40),
            hostname=pick.choice(("web", "web-1.example.org", "x" * 63, "xn--bcher-kva")),
            key=keys[0] if keys else None,
            more_keys=keys[1:],
            asked_metadata=self._metadata(pick.choice((0, 0, 1, 3, 20, 128))),
            nics=tuple(self._card(position) for position in range(pick.choice((0, 1, 1, 2, 3)))),
            disk_tag=self._tag(),
            image=a.an_image(properties=pick.choice(_PROPERTIES)),
            ramdisk=a.an_image(id=str(uuid.UUID(bytes=pick.randbytes(16)))) if self._odds() else None,
            availability_zone=pick.choice(("nova", "züri-1")),
            launch_index=pick.choice((0, 0, 7)),
            created_at=a.NOON.replace(year=pick.randint(1990, 2090), second=pick.randint(0, 59)),
        )

    def _keys(self, count: int) -> tuple[KeyPair, ...]:
        names = dict.fromkeys(self._text() for _ in range(count))
        return tuple(a.a_key(name=name, public_key=self._public_key()) for name in names)

    def _public_key(self) -> str:
        kind = b"ssh-ed25519"
        blob = struct.pack(">I", len(kind)) + kind + struct.pack(">I", 32) + self._chance.randbytes(32)
        return f"{kind.decode()} {base64.b64encode(blob).decode()} {self._text()}" + ("\n" if self._odds() else "")

    def _metadata(self, count: int) -> dict[str, str]:
        named: dict[str, str] = {}
        while len(named) < count:
            named[self._text(255 if self._odds(0.05) else 20)] = self._text(255 if self._odds(0.1) else 20, 0, _LINES)
        return named

    def _tag(self) -> str | None:
        return f"röle-{self._chance.randint(1, 9)}" if self._odds() else None

    def _card(self, position: int) -> Nic:
        sides = [self._side(plug, position, number) for number, plug in enumerate(self._chance.choice(PLUGS))]
        network = a.a_network(
            kind=self._chance.choice(tuple(NetworkKind)),
            mtu=self._chance.choice((None, 1280, 1500, 9000)),
            subnets=tuple(side.subnet for side in sides),
        )
        mac = f"52:54:00:{position:02x}:" + self._chance.randbytes(2).hex(":")
        return a.a_nic(mac=mac, network=network, addresses=tuple(sides), tag=self._tag())

    def _side(self, plug: str, card: int, number: int) -> Address:
        wide = plug in ("v4", "dhcp4")
        cidr = f"10.{card}.{number * 16}.0/{self._chance.randint(20, 28)}" if wide else f"2001:db8:{card}:{number}::/64"
        hosts = ip_network(cidr)
        servers = self._chance.sample([str(hosts[3]), str(hosts[4]), "192.0.2.53", "2001:db8::53"], k=2)
        dns = tuple(servers[: self._chance.randint(0, 2)])
        if plug not in ("v4", "v6"):
            mode = None if plug.startswith("dhcp4") or plug == "dhcp6" else Ipv6Mode(plug)
            return Address(Subnet(cidr, dhcp=True, dns=dns, ipv6_mode=mode))
        far = "198.51.100.0/24" if wide else "2001:db8:ffff::/48"
        subnet = Subnet(
            cidr,
            gateway=str(hosts[1]) if self._odds(0.7) else None,
            dns=dns,
            routes=(Route(far, str(hosts[2])),) if self._odds() else (),
        )
        return Address(subnet, str(hosts[self._chance.randint(5, 14)]))

    def _payload(self) -> Payload:
        password = self._text(30) if self._odds(0.6) else None
        return Payload(
            random_seed=Secret(self._chance.randbytes(512)),
            user_data=self._user_data(),
            files=tuple(self._file() for _ in range(self._chance.choice((0, 0, 1, 2, 5, 20)))),
            admin_password=None if password is None else Secret(password),
        )

    def _user_data(self) -> Secret | None:
        kind = self._chance.randrange(7)
        text = f"#cloud-config\nwrite_files: [{{path: /run/x, content: {json.dumps(self._text())}}}]\n".encode()
        of_any_size = self._bytes(self._chance.choice(_SIZES))
        largest = self._bytes(_LARGEST_USER_DATA)
        contents = (None, b"", text, b"#!/bin/sh\n" + of_any_size, gzip.compress(text, mtime=0), of_any_size, largest)
        return None if contents[kind] is None else Secret(contents[kind] or b"")

    def _file(self) -> InjectedFile:
        """Now and then one path again, one that does not begin at the root, or a mode that no drive can give."""
        name = self._text(12).replace("/", "_")
        path = self._chance.choice(("/etc/motd", f"/etc/{name}", f"/srv/{name}/{name}.d/x", f"no root/{name}"))
        content = self._bytes(self._chance.choice(_SIZES))
        return InjectedFile(path, Secret(content), mode=0o600 if self._odds(0.1) else None)

    def _drive_settings(self, instance: Instance) -> DriveSettings:
        known = [*ec2.VERSIONS, "latest", "2018-08-27"]
        some = tuple(self._chance.sample(known, 4))
        skipped = self._chance.choice((DriveSettings().skip_versions, (), some, tuple(known)))
        return DriveSettings(
            dhcp_domain=self._chance.choice(("novalocal", "", "lab.example.net")),
            skip_versions=skipped,
            linux_password=self._chance.choice(("given", "always", "never")),
            admin_pass=self._odds(0.7),
            vendor_data=VendorDataSettings(providers=() if self._odds(0.1) else ("StaticJSON",)),
            flat_injected=self._odds() and not any(len(nic.addresses) > 1 for nic in instance.nics),
        )

    def _devices(self, instance: Instance) -> tuple[Device, ...]:
        disk = (instance.disk_tag,) if instance.disk_tag else ()
        found = [Device("disk", Bus.SCSI, "0:0:0:0", (tag,), serial="5ca1", path="/dev/sda") for tag in disk]
        tagged = ((nic.mac, nic.tag) for nic in instance.nics if nic.tag)
        found += [Device("nic", Bus.PCI, f"0000:0{n}:00.0", (tag,), mac=mac) for n, (mac, tag) in enumerate(tagged, 1)]
        return tuple(found)

    def _vendor_data(self) -> dict[str, Any]:
        """cloud-init takes a text or several; other keys are for others."""
        text = "#cloud-config\nruncmd: [echo " + json.dumps(self._text()) + "]\n"
        other = {self._text(): [1, None, {"ä": True}]}
        return self._chance.choice(({}, {}, other, {"cloud-init": text}, other | {"cloud-init": [text, "#!/bin/sh\n"]}))
