"""What a daemon has on its host: domains, directories, processes, claims. Empty is what a failed boot must leave."""

from __future__ import annotations

import sqlite3
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.daemon import Daemon


@dataclass(frozen=True)
class Leftovers:
    """All that belongs to guests; compare before and after."""

    domains: frozenset[str]
    directories: frozenset[str]
    emulators: frozenset[str]
    claims: frozenset[tuple[str, str]]


def of(daemon: Daemon) -> Leftovers:
    return Leftovers(_domains(daemon), _directories(daemon), _emulators(daemon), _claims(daemon))


NOTHING = Leftovers(frozenset(), frozenset(), frozenset(), frozenset())


def _domains(daemon: Daemon) -> frozenset[str]:
    names = subprocess.run(["virsh", "list", "--all", "--uuid"], capture_output=True, text=True, check=True).stdout
    described = (_xml(name) for name in names.split())
    return frozenset(xml for xml in described if str(daemon.state) in xml)


def _xml(uuid: str) -> str:
    # A domain of somebody else may go between the list and this.
    return subprocess.run(["virsh", "dumpxml", uuid], capture_output=True, text=True, check=False).stdout


def _directories(daemon: Daemon) -> frozenset[str]:
    return frozenset(entry.name for entry in (daemon.state / "instances").iterdir())


def _emulators(daemon: Daemon) -> frozenset[str]:
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                command = (process / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(daemon.state / "instances") in command and "qemu" in command:
                found.add(process.name)
    return frozenset(found)


def _claims(daemon: Daemon) -> frozenset[tuple[str, str]]:
    connection = sqlite3.connect(f"file:{daemon.state}/injector.sqlite?mode=ro", uri=True)
    try:
        return frozenset(
            (table, str(row[0]))
            for table in ("ports", "addresses", "forwards")
            for row in connection.execute(f"SELECT instance_id FROM {table}")
        )
    finally:
        connection.close()
