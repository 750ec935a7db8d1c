"""What image properties mean, and that meaningless ones are refused by name."""

from __future__ import annotations

import pytest

from injector.errors import ImageRejected
from injector.virt.libvirt.domain import Hardware, hardware
from tests import builders as a


def wanted(**properties: str) -> Hardware:
    return hardware(a.an_image(properties=properties))


def test_the_defaults_boot_anything_recent() -> None:
    assert wanted() == Hardware("q35", "bios", "virtio", "virtio", windows=False, command_line=None)


@pytest.mark.parametrize(
    ("properties", "field", "value"),
    [
        ({"hw_machine_type": "pc"}, "machine", "pc"),
        ({"hw_machine_type": "pc-q35-7.2"}, "machine", "pc-q35-7.2"),
        ({"hw_machine_type": "pc-i440fx-7.2"}, "machine", "pc-i440fx-7.2"),
        ({"hw_firmware_type": "uefi"}, "firmware", "uefi"),
        ({"hw_disk_bus": "scsi"}, "disk_bus", "scsi"),
        ({"hw_vif_model": "e1000"}, "vif_model", "e1000"),
        ({"os_type": "windows"}, "windows", True),
        ({"os_type": "linux"}, "windows", False),
        ({"os_command_line": "root=/dev/vda1 ro"}, "command_line", "root=/dev/vda1 ro"),
    ],
)
def test_a_property_is_followed(properties: dict[str, str], field: str, value: object) -> None:
    assert getattr(wanted(**properties), field) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hw_machine_type", "virt"),
        ("hw_machine_type", "q35\n"),
        ("hw_machine_type", ""),
        ("hw_firmware_type", "coreboot"),
        ("hw_disk_bus", "xen"),
        ("hw_disk_bus", "ide"),
        ("hw_vif_model", "virtio'/><hostdev/>"),
        ("os_command_line", "quiet\nroot=/dev/sda"),
        ("os_command_line", "a\x00b"),
        ("os_command_line", "\ud800"),
    ],
)
def test_a_meaningless_property_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ImageRejected) as refused:
        wanted(**{name: value})
    assert refused.value.field == name
    assert name in refused.value.message


@pytest.mark.parametrize("machine", ["pc", "pc-i440fx-7.2"])
def test_only_the_old_machine_has_ide(machine: str) -> None:
    assert wanted(hw_machine_type=machine, hw_disk_bus="ide").disk_bus == "ide"
    with pytest.raises(ImageRejected, match="hw_machine_type 'pc'"):
        wanted(hw_machine_type="q35", hw_disk_bus="ide")


@pytest.mark.parametrize("bus", ["virtio", "scsi", "sata", "usb"])
def test_every_disk_bus_of_the_new_machine(bus: str) -> None:
    assert wanted(hw_disk_bus=bus).disk_bus == bus


@pytest.mark.parametrize("model", ["virtio", "e1000", "e1000e", "rtl8139"])
def test_every_card(model: str) -> None:
    assert wanted(hw_vif_model=model).vif_model == model


def test_what_would_be_taken_is_said() -> None:
    with pytest.raises(ImageRejected, match=r"'virt' of the image is none of pc, q35$"):
        wanted(hw_machine_type="virt")
    with pytest.raises(ImageRejected, match=f"'{'x' * 60}' of the image is none of bios, uefi$"):
        wanted(hw_firmware_type="x" * 61)
