"""How the config drive is plugged: a pure choice from the image's properties and the drive's format."""

from __future__ import annotations

from collections.abc import Mapping

from injector.errors import InvalidRequest
from injector.model.image import Image

# Whether libvirt can give a running guest another medium there. Tried with libvirt 9.0 and QEMU 7.2: a usb cdrom is
# refused ("not removable"), and libvirt knows no media of virtio disks.
MEDIUM_CHANGES_LIVE: Mapping[str, bool] = {"scsi": True, "sata": True, "ide": True, "usb": False, "virtio": False}


def drive_bus(image: Image, drive_format: str = "iso9660") -> str:
    """``hw_cdrom_bus`` if the image has one, sata for Windows, else scsi; InvalidRequest for a bus that cannot be.

    A cdrom on virtio-scsi is seen by Debian's cloud kernel, which has no AHCI driver and is blind to q35's sata. A
    drive of vfat is on the bus of the guest's disks, as in Nova.
    """
    if drive_format == "vfat":
        return image.properties.get("hw_disk_bus", "virtio")
    bus = image.properties.get("hw_cdrom_bus")
    if bus is None:
        return "sata" if image.properties.get("os_type") == "windows" else "scsi"
    if bus not in MEDIUM_CHANGES_LIVE:
        known = ", ".join(MEDIUM_CHANGES_LIVE)
        raise InvalidRequest(f"hw_cdrom_bus '{bus}' of the image is none of {known}", field="hw_cdrom_bus")
    if bus == "ide" and not _has_ide(image):
        raise InvalidRequest("hw_cdrom_bus 'ide' needs an image with hw_machine_type 'pc'", field="hw_cdrom_bus")
    return bus


def drive_device(bus: str, drive_format: str) -> str:
    """No cdrom has vfat on it, and none is on virtio: there the drive is a read-only disk."""
    return "disk" if bus == "virtio" or drive_format == "vfat" else "cdrom"


def changes_live(bus: str, drive_format: str) -> bool:
    """Whether a running guest can be given another medium there."""
    return drive_device(bus, drive_format) == "cdrom" and MEDIUM_CHANGES_LIVE[bus]


def _has_ide(image: Image) -> bool:
    machine = image.properties.get("hw_machine_type", "")
    return machine.startswith("pc") and not machine.startswith("pc-q35")
