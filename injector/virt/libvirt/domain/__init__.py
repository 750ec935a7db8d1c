"""The domain XML: a list of elements, each written where its subject is."""

from __future__ import annotations

from xml.etree import ElementTree

from injector.virt.libvirt.domain import devices, machine
from injector.virt.libvirt.domain.blueprint import Blueprint, Kernel, RootDisk
from injector.virt.libvirt.domain.element import element
from injector.virt.libvirt.domain.hardware import Hardware, hardware
from injector.virt.libvirt.domain.nics import nics
from injector.virt.libvirt.domain.storage import storage

__all__ = ["Blueprint", "Hardware", "Kernel", "RootDisk", "domain_xml", "hardware"]


def domain_xml(blueprint: Blueprint) -> str:
    """The domain as libvirt wants it described."""
    domain = element(
        "domain",
        *machine.identity(blueprint),
        *machine.size(blueprint),
        machine.operating_system(blueprint),
        machine.system_information(blueprint),
        machine.features(blueprint),
        machine.processor(blueprint.verdict, blueprint.cpu_model),
        machine.clock(blueprint),
        *machine.endings(),
        element(
            "devices",
            *storage(blueprint),
            *nics(blueprint),
            *devices.console(blueprint),
            devices.agent(),
            devices.randomness(),
            devices.balloon(),
        ),
        type=blueprint.verdict.virt_type,
    )
    ElementTree.indent(domain)
    return ElementTree.tostring(domain, encoding="unicode") + "\n"
