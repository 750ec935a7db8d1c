"""What a daemon has on its host: domains, directories, processes, claims. Empty is what a failed boot must leave."""

from __future__ import annotations

import os
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


def of_injection(daemon: Daemon) -> frozenset[str]:
    """What partition injection could leave behind, by name: mounts, loop devices, and processes that are neither the
    daemon's nor a guest's but have its files open or in their words, exports among them."""
    state = str(daemon.state)
    mounts = (line for line in Path("/proc/self/mounts").read_text().splitlines() if state in line)
    loops = (file.read_text().strip() for file in Path("/sys/block").glob("loop*/loop/backing_file"))
    own = {str(pid) for pid in descendants(daemon.pid)} | _emulators(daemon)
    strangers = (_words(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit() and entry.name not in own)
    return frozenset((*mounts, *(loop for loop in loops if state in loop), *(it for it in strangers if state in it)))


def descendants(pid: int) -> list[int]:
    """The process, its children, theirs and so on."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


@dataclass(frozen=True)
class Born:
    """A process and when it was started: its number will be another's one day."""

    pid: int
    at: str

    @property
    def alive(self) -> bool:
        fields = _stat(self.pid)
        return bool(fields) and fields[19] == self.at and fields[0] not in "ZX"


def family(pid: int) -> list[Born]:
    """The process and its descendants, to be asked later."""
    return [Born(one, fields[19]) for one in descendants(pid) if (fields := _stat(one))]


def _stat(pid: int) -> list[str]:
    """From the state on; nothing of a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _words(process: Path) -> str:
    """Its command line and the files that it has open."""
    words = [process.name]
    try:
        words.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        # libvirt's log server has the consoles open.
        opened = (os.readlink(link) for link in (process / "fd").iterdir())
        words += [name for name in opened if not name.endswith("console.log")]
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        pass  # it has ended meanwhile, or is nobody's business (a container's init)
    return " ".join(words)
