"""`injector host show`: what a compute host is, what it proved of KVM, and what its channels can carry."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from injector.client.cells import Cell, pairs
from injector.client.command import ApiShower
from injector.client.exits import Failure
from injector.client.session import Document

PATH = "/v2.1/injector-hosts"


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
