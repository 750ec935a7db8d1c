"""The domain XML: golden documents, judged by libvirt's own schema and by libvirt itself.

``INJECTOR_REGOLD=1 pytest tests/unit/test_domain_xml.py`` writes them anew; the difference is for a person to read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from injector.inject.channel import Fitting
from injector.model.host import Verdict
from injector.model.image import DiskFormat
from injector.model.network import Address, NetworkKind
from injector.system.process import run
from injector.virt.libvirt.domain import Blueprint, Kernel, RootDisk, domain_xml, hardware
from injector.virt.libvirt.host import Host
from tests import builders as a

GOLDEN = Path(__file__).parent.parent / "golden" / "domain"
HOME = Path("/var/lib/injector/instances")
PLACE = HOME / a.INSTANCE_ID
TCG = Verdict("qemu", "maximum", "", proven=False)
KVM = Verdict("kvm", "host-model", "", proven=True)


def a_blueprint(
    drive: str | None = "scsi",
    verdict: Verdict = TCG,
    *,
    properties: Mapping[str, str] | None = None,
    instance: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Blueprint:
    """The plain guest: q35, virtio, one card on a user network, its drive on ``drive``; the rest by name."""
    record = a.an_instance(image=a.an_image(properties=properties or {}), **(instance or {"nics": (a.a_nic(),)}))
    device = "disk" if drive == "virtio" else "cdrom"
    values: dict[str, Any] = {
        "instance": record,
        "home": str(HOME),
        "hardware": hardware(record.image),
        "verdict": verdict,
        "disk": RootDisk(PLACE / "disk", HOME.parent / "base" / "digest.qcow2", DiskFormat.QCOW2, direct=True),
        "console": PLACE / "console.log",
        "fittings": () if drive is None else (Fitting(PLACE / "disk.config", device, drive),),
    }
    return Blueprint(**(values | changes))


BARE = Kernel(PLACE / "kernel", PLACE / "ramdisk")
V6 = a.a_subnet(
    cidr="2001:db8::/64", gateway="2001:db8::1", dns=(), pool_first="2001:db8::10", pool_last="2001:db8::20"
)
DUAL = a.a_network(subnets=(V6, a.a_subnet(cidr="192.0.2.0/24")))
CARDS = (
    a.a_nic(network=a.a_network(kind=NetworkKind.BRIDGE, source="br0", mtu=1400)),
    a.a_nic(mac="52:54:00:00:00:02", network=a.a_network(kind=NetworkKind.LIBVIRT, source="default", mtu=9000)),
    a.a_nic(mac="52:54:00:00:00:03", network=a.a_network(mtu=1400)),
    a.a_nic(mac="52:54:00:00:00:04", network=DUAL, addresses=(Address(V6, "2001:db8::10"),)),
    a.a_nic(mac="52:54:00:00:00:05", network=a.a_network(subnets=())),
)

BLUEPRINTS: Mapping[str, Blueprint] = {
    "plain": a_blueprint(),
    "pc": a_blueprint(properties={"hw_machine_type": "pc"}),
    "kvm": a_blueprint(verdict=KVM),
    "custom-cpu": a_blueprint(verdict=replace(TCG, cpu_mode="custom"), cpu_model="Nehalem"),
    "default-cpu": a_blueprint(verdict=replace(TCG, cpu_mode="none")),
    "uefi": a_blueprint(properties={"hw_firmware_type": "uefi"}),
    "windows": a_blueprint("sata", KVM, properties={"os_type": "windows", "hw_vif_model": "e1000e"}),
    "scsi": a_blueprint(properties={"hw_disk_bus": "scsi"}),
    "ide": a_blueprint("ide", properties={"hw_disk_bus": "ide", "hw_machine_type": "pc"}),
    "tagged": a_blueprint(instance={"nics": (a.a_nic(tag="front"),), "disk_tag": "os"}),
    "usb": a_blueprint("usb", properties={"hw_disk_bus": "usb"}),
    "virtio-drive": a_blueprint("virtio"),
    "no-drive": a_blueprint(None),
    "raw-base-no-direct": a_blueprint(disk=RootDisk(PLACE / "disk", HOME / "b.raw", DiskFormat.RAW, direct=False)),
    "kernel": a_blueprint(kernel=BARE),
    "kernel-own-command-line": a_blueprint(
        kernel=Kernel(PLACE / "kernel", None), verdict=KVM, properties={"os_command_line": "root=/dev/vda1 quiet"}
    ),
    "networks": a_blueprint(instance={"nics": CARDS}),
    "awkward-name": a_blueprint(instance={"name": 'we<b> & "co"\n]]>\x1b[31m'}),
}


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_the_document_is_the_golden_one(name: str) -> None:
    golden = GOLDEN / f"{name}.xml"
    found = domain_xml(BLUEPRINTS[name])
    if os.environ.get("INJECTOR_REGOLD"):
        golden.write_text(found)
    assert found == golden.read_text()


def test_no_golden_document_is_forgotten() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(BLUEPRINTS)


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_the_document_fits_libvirts_schema(name: str) -> None:
    golden = GOLDEN / f"{name}.xml"
    run(["virt-xml-validate", golden, "domain"], purpose="validate a domain", limits=None, timeout=60)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    host = Host("test:///default", 10, str(HOME))
    yield host
    host.close()


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_libvirt_takes_it_and_gives_our_mark_back(host: Host, name: str) -> None:
    as_test = replace(BLUEPRINTS[name], verdict=replace(BLUEPRINTS[name].verdict, virt_type="test"))
    domain = host.define(domain_xml(as_test))
    try:
        assert host.ours().keys() == {a.INSTANCE_ID}
        assert Host("test:///default", 10, "/somebody/else").ours() == {}
    finally:
        domain.undefine()
    assert host.ours() == {}


@given(st.text(max_size=80), st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff")))
def test_what_people_write_cannot_become_structure(name: str, command_line: str) -> None:
    blueprint = a_blueprint(
        kernel=BARE, instance={"name": name}, properties={"os_command_line": command_line or "quiet"}
    )
    plain, found = (ElementTree.fromstring(domain_xml(each)) for each in (BLUEPRINTS["kernel"], blueprint))
    tags = [element.tag for element in plain.iter() if element.tag != "interface"]
    assert {element.tag for element in found.iter()} <= set(tags) | {"interface"}
    assert found.findtext("os/cmdline") == (command_line or "quiet")
    assert "\n" not in (found.findtext("title") or "")
