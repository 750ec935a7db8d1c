"""`injector host list|show`: what compute hosts are, whether KVM was proven, and what can be injected there."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from injector.client.cells import Cell, pairs
from injector.client.command import ApiLister, ApiShower
from injector.client.exits import Failure
from injector.client.session import Document

PATH = "/v2.1/injector-hosts"


class List(ApiLister):
    """List the compute hosts, and which back ends of partition injection each has."""

    titles = ("Name", "Zone", "Virtualisation", "VCPUs", "RAM", "Guests", "Back ends")

    def rows(self) -> Iterable[Mapping[str, Any]]:
        for host in self.session.collection(PATH, "hosts"):
            size = (host.get("vcpus"), host.get("memory_mib"), host.get("guests"))
            virt = (host.get("virt") or {}).get("virt_type")
            back_ends = Cell(host.get("back_ends") or [], _brief_back_ends)
            values = (host.get("name"), host.get("availability_zone"), virt, *size, back_ends)
            yield dict(zip(self.titles, values, strict=True))


class Show(ApiShower):
    """Show a compute host; without a name, the only one there is."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("host", metavar="HOST", nargs="?", help="name of the host")

    def fields(self) -> Mapping[str, Any]:
        known, asked = self.session.collection(PATH, "hosts"), self.args.host
        names = ", ".join(str(host.get("name")) for host in known)
        meant = [host for host in known if asked in (None, host.get("name"))]
        if len(meant) == 1:
            return _fields(meant[0])
        if asked is not None:
            raise Failure(f"there is no host '{asked}'; known: {names or 'none'}")
        raise Failure(f"say which host: {names}" if names else "no host has reported itself yet")


def _fields(host: Document) -> dict[str, Any]:
    shown = dict(host)
    shown["virt"] = Cell(host.get("virt"), _virt)
    shown["policy"] = pairs(host.get("policy"))
    shown["carriages"] = Cell(host.get("carriages") or [], _carriages)
    shown["back_ends"] = Cell(host.get("back_ends") or [], _back_ends)
    return shown


def _virt(virt: dict[str, Any] | None) -> list[str]:
    if not virt:
        return []
    proven = "KVM proven" if virt.get("proven") else "KVM not proven"
    return [f"{virt.get('virt_type')}, cpu mode {virt.get('cpu_mode')}, {proven}: {virt.get('reason')}"]


def _carriages(carriages: list[dict[str, Any]]) -> list[str]:
    return [
        f"{carriage.get('channel')}: {', '.join(sorted(carriage.get('kinds') or []))}"
        f"{', any file mode' if carriage.get('any_mode') else ''}"
        for carriage in carriages
    ]


def _back_ends(found: list[dict[str, Any]]) -> list[str]:
    """In the order in which they are tried; nothing where partition injection is off."""
    return [f"{one.get('name')}: {_availability(one)}" for one in found]


def _availability(one: dict[str, Any]) -> str:
    word, reason = "available" if one.get("available") else "not available", one.get("reason")
    return f"{word}: {reason}" if reason else word


def _brief_back_ends(found: list[dict[str, Any]]) -> list[str]:
    names = [str(one.get("name")) for one in found if one.get("available")]
    missing = [f"not {one.get('name')}" for one in found if not one.get("available")]
    return [", ".join([*names, *missing])]
