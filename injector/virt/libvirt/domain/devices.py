"""What every guest has beside disks and cards: a console that is kept, a door for its agent, randomness, a balloon."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from injector.virt.libvirt.domain.blueprint import Blueprint
from injector.virt.libvirt.domain.element import element


def console(blueprint: Blueprint) -> list[Element]:
    """``append``: what was said before a crash is worth reading after the restart."""
    return [
        element(
            "serial",
            element("log", file=str(blueprint.console), append="on"),
            element("target", port="0"),
            type="pty",
        ),
        element("console", element("target", type="serial", port="0"), type="pty"),
    ]


def agent() -> Element:
    return element("channel", element("target", type="virtio", name="org.qemu.guest_agent.0"), type="unix")


def randomness() -> Element:
    return element("rng", element("backend", text="/dev/urandom", model="random"), model="virtio")


def balloon() -> Element:
    return element("memballoon", model="virtio")
