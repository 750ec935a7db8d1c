"""The places of tagged devices, as libvirt's descriptions tell them."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from injector.model.ingredients import Bus, Device
from injector.virt.libvirt.tagged import tagged
from tests import builders as a

SERIAL = "5ca1ab1e000040008000"
INSTANCE = a.an_instance(nics=(a.a_nic(tag="front"), a.a_nic(mac="52:54:00:00:00:02")), disk_tag="os")
PCI = "<address type='pci' domain='0x0000' bus='0x03' slot='0x1f' function='0x7'/>"
DRIVE = "<address type='drive' controller='0' bus='1' target='2' unit='3'/>"


def description(disk: str, card: str = PCI) -> ElementTree.Element:
    """A drive without a serial, the guest's own disk, the tagged card behind one without a tag."""
    return ElementTree.fromstring(
        f"""<domain><devices>
        <disk><target dev='sda' bus='scsi'/><address type='drive' controller='0' bus='0' target='0' unit='0'/></disk>
        <disk>{disk}<serial>{SERIAL}</serial></disk>
        <interface><mac address='52:54:00:00:00:02'/></interface>
        <interface><mac address='52:54:00:00:00:01'/><target dev='tap0'/>{card}</interface>
        </devices></domain>"""
    )


@pytest.mark.parametrize(
    ("disk", "bus", "address", "path"),
    [
        (f"<target dev='vda' bus='virtio'/>{PCI}", Bus.PCI, "0000:03:1f.7", "/dev/vda"),
        (f"<target dev='sdb' bus='scsi'/>{DRIVE}", Bus.SCSI, "0:1:2:3", "/dev/sdb"),
        (f"<target dev='hda' bus='ide'/>{DRIVE}", Bus.IDE, "1:3", "/dev/hda"),
        (f"<target dev='sda' bus='sata'/>{DRIVE}", Bus.NONE, "none", "/dev/sda"),
        ("<target dev='sda' bus='usb'/><address type='usb' bus='0' port='2'/>", Bus.USB, "0:2", "/dev/sda"),
        ("<target dev='vda' bus='virtio'/>", Bus.NONE, "none", "/dev/vda"),
    ],
)
def test_the_disk_is_told_by_its_bus(disk: str, bus: Bus, address: str, path: str) -> None:
    assert tagged(description(disk), INSTANCE) == (
        Device("disk", bus, address, ("os",), serial=SERIAL, path=path),
        Device("nic", Bus.PCI, "0000:03:1f.7", ("front",), mac="52:54:00:00:00:01"),
    )


def test_what_has_no_tag_is_not_told() -> None:
    assert tagged(description("<target dev='vda' bus='virtio'/>"), a.an_instance(nics=(a.a_nic(),))) == ()


def test_a_card_that_libvirt_gave_no_address_is_told_all_the_same() -> None:
    (_, card) = tagged(description("<target dev='vda' bus='virtio'/>", card=""), INSTANCE)
    assert (card.bus, card.address, card.mac) == (Bus.NONE, "none", "52:54:00:00:00:01")
