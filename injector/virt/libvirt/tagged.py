"""The devices of a guest that have a tag, as libvirt made them: with the addresses that the guest finds them at."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from injector.model.ingredients import Bus, Device
from injector.model.instance import Instance
from injector.virt.libvirt.domain.storage import serial_of


def tagged(domain: Element, instance: Instance) -> tuple[Device, ...]:
    """In the order of the domain; ``domain`` is its description, read back after it was defined."""
    return (*_disk(domain, instance), *_cards(domain, instance))


def _disk(domain: Element, instance: Instance) -> Iterator[Device]:
    serial = serial_of(instance)
    for disk in domain.iterfind("devices/disk"):
        if instance.disk_tag is not None and disk.findtext("serial") == serial:
            bus, address = _place(disk)
            target = disk.find("target")
            path = None if target is None else f"/dev/{target.get('dev')}"
            yield Device("disk", bus, address, (instance.disk_tag,), serial=serial, path=path)


def _cards(domain: Element, instance: Instance) -> Iterator[Device]:
    tags = {nic.mac: nic.tag for nic in instance.nics if nic.tag is not None}
    for card in domain.iterfind("devices/interface"):
        element = card.find("mac")
        mac = "" if element is None else element.get("address", "")
        if mac in tags:
            bus, address = _place(card)
            yield Device("nic", bus, address, (tags[mac],), mac=mac)


def _place(device: Element) -> tuple[Bus, str]:
    """The bus and the address on it, in the words of OpenStack's device metadata; its format has none for sata."""
    address, target = device.find("address"), device.find("target")
    if address is None:
        return Bus.NONE, "none"
    if address.get("type") == "pci":
        domain, bus, slot, unit = (int(address.get(name, "0"), 16) for name in ("domain", "bus", "slot", "function"))
        return Bus.PCI, f"{domain:04x}:{bus:02x}:{slot:02x}.{unit:x}"
    if address.get("type") == "usb":
        return Bus.USB, f"{address.get('bus')}:{address.get('port')}"
    match None if target is None else target.get("bus"):
        case "scsi":
            return Bus.SCSI, ":".join(address.get(name, "0") for name in ("controller", "bus", "target", "unit"))
        case "ide":
            return Bus.IDE, f"{address.get('bus')}:{address.get('unit')}"
        case _:
            return Bus.NONE, "none"
