"""What a config drive says that is neither in the record nor in its payload, as it was when the drive was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from injector.model.secret import Secret


class Bus(StrEnum):
    """The buses of ``devices`` in ``meta_data.json``."""

    PCI = "pci"
    USB = "usb"
    SCSI = "scsi"
    IDE = "ide"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Device:
    """A device that its owner gave a role. A card has a MAC, a disk a serial and a path.

    ``address`` is the one libvirt gave it on its bus, ``none`` where it has none; ``path`` what a guest is likely to
    call it.
    """

    type: str
    bus: Bus
    address: str
    tags: tuple[str, ...]
    mac: str | None = None
    serial: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Ingredients:
    """Kept sealed, so that the same drive can be made again whatever the operator or others have changed since.

    ``made_at`` is every date on the drive. ``uuid`` is the instance id the guest is told: another one makes
    cloud-init run as on a new instance. ``hostname`` is fully qualified. ``vendor_data`` and ``vendor_data2`` are
    the JSON texts of the files of these names, ``network_config`` is the rendered template. ``skip_versions`` are
    the EC2 versions that are left out. ``root_hash`` is the password as the vendor data tell it to a Linux guest;
    ``admin_pass``: whether the drive tells it in clear.
    """

    made_at: datetime
    uuid: str
    hostname: str
    format: str
    metadata: Mapping[str, str]
    skip_versions: tuple[str, ...] = ()
    vendor_data: Secret = field(default_factory=lambda: Secret(b"{}"))
    vendor_data2: Secret = field(default_factory=lambda: Secret(b'{"static": {}}'))
    network_config: Secret | None = None
    devices: tuple[Device, ...] = ()
    root_hash: Secret | None = None
    admin_pass: bool = True
