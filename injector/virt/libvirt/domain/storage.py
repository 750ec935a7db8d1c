"""The disks of a domain: the guest's own, and those a channel wants; libvirt changes the owner of the first only."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from xml.etree.ElementTree import Element

from injector.inject.channel import Fitting
from injector.model.instance import Instance
from injector.virt.libvirt.domain.blueprint import Blueprint, RootDisk
from injector.virt.libvirt.domain.element import element

_PREFIX = {"virtio": "vd", "ide": "hd"}


def storage(blueprint: Blueprint) -> list[Element]:
    """Controllers and disks; the guest's own comes first, so it is the first of its kind in the guest."""
    names = _Names()
    bus = blueprint.hardware.disk_bus
    disks = [_root(blueprint.disk, bus, names.next(bus), serial_of(blueprint.instance))]
    disks += [_fitted(fitting, names.next(fitting.bus)) for fitting in blueprint.fittings]
    return [*_controllers({bus, *(fitting.bus for fitting in blueprint.fittings)}), *disks]


class _Names:
    """Names of targets: libvirt wants each once, and scsi, sata and usb share one row of them."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    def next(self, bus: str) -> str:
        prefix = _PREFIX.get(bus, "sd")
        self._taken[prefix] += 1
        return f"{prefix}{chr(ord('a') + self._taken[prefix] - 1)}"


def _controllers(buses: set[str]) -> list[Element]:
    """libvirt's own choice for scsi is an adapter that today's guests have no driver for."""
    scsi = element("controller", type="scsi", index="0", model="virtio-scsi")
    usb = element("controller", type="usb", index="0", model="qemu-xhci" if "usb" in buses else "none")
    return [usb, scsi] if "scsi" in buses else [usb]


def serial_of(instance: Instance) -> str | None:
    """What a tagged disk is found by in the guest; virtio knows 20 characters of it. None for one without a tag."""
    return None if instance.disk_tag is None else instance.id.replace("-", "")[:20]


def _root(disk: RootDisk, bus: str, name: str, serial: str | None) -> Element:
    """The whole chain with its formats: nothing is ever guessed from what a guest wrote into its disk."""
    base = element(
        "backingStore",
        element("format", type=disk.base_format.value),
        untouched(disk.base),
        element("backingStore"),
        type="file",
    )
    cache = "none" if disk.direct else "writeback"
    return element(
        "disk",
        element("driver", name="qemu", type="qcow2", cache=cache, discard="unmap"),
        element("source", file=str(disk.path)),
        base,
        element("target", dev=name, bus=bus),
        element("serial", text=serial) if serial else None,
        element("boot", order="1"),
        type="file",
        device="disk",
    )


def _fitted(fitting: Fitting, name: str) -> Element:
    return element(
        "disk",
        element("driver", name="qemu", type="raw"),
        untouched(fitting.path),
        element("target", dev=name, bus=fitting.bus),
        element("readonly"),
        type="file",
        device=fitting.device,
    )


def untouched(path: Path) -> Element:
    """libvirt would give a shared base image and a drive to QEMU's user, and not give them back."""
    return element("source", element("seclabel", model="dac", relabel="no"), file=str(path))
