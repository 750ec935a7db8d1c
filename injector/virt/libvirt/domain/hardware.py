"""The machine an image wants, read from its properties; a property that means nothing is the image owner's to mend."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from injector.errors import ImageRejected
from injector.model.hostile import one_line
from injector.model.image import Image

_PC = re.compile(r"pc(-i440fx-[0-9.]+)?")
_Q35 = re.compile(r"q35|pc-q35-[0-9.]+")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Hardware:
    """What the guest's software has to find. ``command_line`` is for a kernel given apart from the disk."""

    machine: str
    firmware: str
    disk_bus: str
    vif_model: str
    windows: bool
    command_line: str | None

    @property
    def has_ide(self) -> bool:
        """Only the old machine has an IDE controller."""
        return _PC.fullmatch(self.machine) is not None


def hardware(image: Image) -> Hardware:
    """The image's wishes over defaults that boot anything recent; ImageRejected naming the property."""
    found = Hardware(
        machine=_machine(image),
        firmware=_one_of(image, "hw_firmware_type", ("bios", "uefi"), "bios"),
        disk_bus=_one_of(image, "hw_disk_bus", ("virtio", "scsi", "sata", "ide", "usb"), "virtio"),
        vif_model=_one_of(image, "hw_vif_model", ("virtio", "e1000", "e1000e", "rtl8139"), "virtio"),
        windows=image.properties.get("os_type") == "windows",
        command_line=_command_line(image),
    )
    if found.disk_bus == "ide" and not found.has_ide:
        raise ImageRejected("hw_disk_bus 'ide' needs an image with hw_machine_type 'pc'", field="hw_disk_bus")
    return found


def _machine(image: Image) -> str:
    machine = image.properties.get("hw_machine_type", "q35")
    if not (_PC.fullmatch(machine) or _Q35.fullmatch(machine)):
        raise _meaningless("hw_machine_type", machine, ("pc", "q35"))
    return machine


def _one_of(image: Image, name: str, known: Collection[str], default: str) -> str:
    value = image.properties.get(name, default)
    if value not in known:
        raise _meaningless(name, value, known)
    return value


def _command_line(image: Image) -> str | None:
    line = image.properties.get("os_command_line")
    if line is not None and _CONTROLS.search(line):
        raise ImageRejected("os_command_line of the image has control characters in it", field="os_command_line")
    return line


def _meaningless(name: str, value: str, known: Collection[str]) -> ImageRejected:
    return ImageRejected(f"{name} '{one_line(value, 60)}' of the image is none of {', '.join(known)}", field=name)
