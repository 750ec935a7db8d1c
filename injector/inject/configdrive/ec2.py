"""The EC2 tree of a config drive: ``ec2/<version>/meta-data.json``, read by cloud-init for its device mapping."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from injector.inject.configdrive.contents import Contents
from injector.inject.configdrive.network_data import static_addresses
from injector.model.image import Image
from injector.model.instance import Instance

VERSIONS = (
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
)

# Keys that came later than the first version. "1.0" sorts before every date.
SINCE: Mapping[str, str] = {
    "local-hostname": "2007-01-19",
    "public-hostname": "2007-01-19",
    "public-ipv4": "2007-01-19",
    "instance-type": "2007-08-29",
    "block-device-mapping": "2007-12-15",
    "kernel-id": "2007-12-15",
    "ramdisk-id": "2007-12-15",
    "placement": "2008-02-01",
    "instance-action": "2008-09-01",
}

_ROOT_DEVICES: Mapping[str, str] = {"scsi": "sda", "sata": "sda", "usb": "sda", "ide": "hda"}


def ec2_meta_data(contents: Contents) -> dict[str, Any]:
    """Every key of the newest version. Ids are EC2's short form, made of the UUIDs' first eight digits."""
    instance = contents.instance
    values: dict[str, Any] = {
        "ami-id": _short("ami", instance.image),
        "ami-launch-index": instance.launch_index,
        "ami-manifest-path": "FIXME",  # the word Nova puts there; readers have seen no other
        "instance-id": f"i-{instance.id[:8]}",
        "hostname": contents.ingredients.hostname,
        "local-ipv4": _first_ipv4(instance),
        "reservation-id": instance.reservation_id,
        "security-groups": ["default"],
        "public-keys": {str(n): {"openssh-key": key.public_key} for n, key in enumerate(contents.keys)} or None,
        "local-hostname": contents.ingredients.hostname,
        "public-hostname": contents.ingredients.hostname,
        "public-ipv4": "",
        "instance-type": instance.flavor.name,
        "block-device-mapping": _devices(instance.image),
        "kernel-id": _short("aki", instance.kernel),
        "ramdisk-id": _short("ari", instance.ramdisk),
        "placement": {"availability-zone": instance.availability_zone},
        "instance-action": "none",
    }
    return {key: value for key, value in values.items() if value is not None}


def as_of(version: str, newest: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that ``version`` knows already."""
    return {key: value for key, value in newest.items() if SINCE.get(key, "") <= version}


def _short(prefix: str, image: Image | None) -> str | None:
    return None if image is None else f"{prefix}-{image.id[:8]}"


def _first_ipv4(instance: Instance) -> str:
    for _, address in static_addresses(instance.nics):
        if address.ip is not None and ipaddress.ip_address(address.ip).version == 4:
            return address.ip
    return ""


def _devices(image: Image) -> dict[str, str]:
    root = _ROOT_DEVICES.get(image.properties.get("hw_disk_bus", "virtio"), "vda")
    return {"ami": root, "root": f"/dev/{root}"}
