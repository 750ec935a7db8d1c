"""The medium in a guest's config drive: which file its definition names, and which the running guest has."""

from __future__ import annotations

import logging
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from injector.errors import HypervisorRefused
from injector.virt.libvirt.host import Domain, Host, Power

LOG = logging.getLogger(__name__)

_QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
_COMMAND_LINE = f"{{{_QEMU}}}commandline"
_ARGUMENT = f"{{{_QEMU}}}arg"
ElementTree.register_namespace("qemu", _QEMU)


def name(host: Host, domain: Domain, drive: Path, told: str) -> None:
    """Have the definition name ``drive``, and its firmware the id that this drive tells (``told``).

    The guest comes up so at its next cold start, and not before. cloud-init keeps to what it has cached while the id
    in there is the firmware's; so another id on the drive alone would never be read (tried, 22.4).
    """
    definition = domain.definition()
    _source(_disk(definition, drive)).set("file", str(drive))
    if host.has_qemu:
        _tell_firmware(definition, told, domain.id)
    host.define(ElementTree.tostring(definition, encoding="unicode"))


def named(domain: Domain, drive: Path) -> bool:
    """Whether the definition names it."""
    return _source(_disk(domain.definition(), drive)).get("file") == str(drive)


def _tell_firmware(definition: Element, told: str, own: str) -> None:
    """Past libvirt, whose ``sysinfo`` may hold no other id than the domain's, by which we know it."""
    for earlier in definition.findall(_COMMAND_LINE):
        definition.remove(earlier)
    if told != own:
        line = ElementTree.SubElement(definition, _COMMAND_LINE)
        for word in ("-smbios", f"type=1,uuid={told}"):
            ElementTree.SubElement(line, _ARGUMENT, value=word)


def insert(domain: Domain, drive: Path) -> bool:
    """Give the running guest the medium that its definition names; whether it has it.

    A guest that has its drive mounted does not let go of it. It is not forced to: what reads the drive would fail.
    """
    if domain.power().power is not Power.ON:
        return False
    try:
        domain.change_medium(_disk(domain.definition(), drive))
    except HypervisorRefused as refusal:
        LOG.warning("guest %s keeps the drive it has until its next start: %s", domain.id, refusal)
    return has(domain, drive)


def has(domain: Domain, drive: Path) -> bool:
    """Whether the guest, as it runs, has this file in its drive."""
    return _source(_disk(domain.xml(), drive)).get("file") == str(drive)


def _disk(domain: Element, drive: Path) -> Element:
    """The config drive's, which is known by the directory and the beginning of the name of its file."""
    for disk in domain.iterfind("devices/disk"):
        file = Path(_source(disk).get("file", ""))
        if file.parent == drive.parent and file.name.startswith("disk.config"):
            return disk
    raise HypervisorRefused("the guest's definition names no config drive")


def _source(disk: Element) -> Element:
    found = disk.find("source")
    return Element("source") if found is None else found
