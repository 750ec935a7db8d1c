"""What a daemon has on its host: domains, files, saved memory, processes, claims. A failed boot leaves none of it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import libvirt
import sqlalchemy as sa

if TYPE_CHECKING:
    from tests.daemon import Daemon


@dataclass(frozen=True)
class Seat:
    """One libvirtd: where it is asked, and where it keeps the memory of suspended guests."""

    uri: str
    saves: Path


MACHINE = Seat("qemu:///system", Path("/var/lib/libvirt/qemu/save"))


@dataclass(frozen=True)
class Leftovers:
    """All that belongs to guests; compare before and after."""

    domains: frozenset[str]
    directories: frozenset[str]
    saved: frozenset[str]
    emulators: frozenset[str]
    claims: frozenset[tuple[str, str]]


def of(daemon: Daemon) -> Leftovers:
    found = of_host(daemon.state)
    return replace(found, claims=claims(f"sqlite:///file:{daemon.state}/injector.sqlite?mode=ro&uri=true"))


NOTHING = Leftovers(frozenset(), frozenset(), frozenset(), frozenset(), frozenset())

# libvirt writes the description of the domain before its memory.
_DESCRIPTION = 64 * 1024


def of_host(state: Path, seat: Seat = MACHINE) -> Leftovers:
    """What there is of the guests of one state directory; the claims are the database's business."""
    return Leftovers(domains(state, seat), directories(state), saved(state, seat), emulators(state), frozenset())


def domains(state: Path, seat: Seat = MACHINE) -> frozenset[str]:
    return frozenset(one.xml for one in defined(seat) if _mentions(one.xml, state))


_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_SHUTOFF: "shut off",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
}


@dataclass(frozen=True)
class Domain:
    """As libvirt tells it; ``state`` in virsh's words."""

    uuid: str
    state: str
    xml: str


def defined(seat: Seat) -> list[Domain]:
    """All domains there, whoever has made them. Over the binding: a program for each look would be what costs most."""
    connection = libvirt.open(seat.uri)
    try:
        found = []
        for domain in connection.listAllDomains():
            # A domain may go between the list and this.
            with suppress(libvirt.libvirtError):
                state = domain.state()[0]
                found.append(Domain(domain.UUIDString(), _STATES.get(state, str(state)), domain.XMLDesc()))
        return found
    finally:
        connection.close()


def _virsh(seat: Seat, *words: str) -> list[str]:
    return ["virsh", "--connect", seat.uri, *words]


def _mentions(text: str, state: Path) -> bool:
    """Not that of rig-10 for rig-1's."""
    return f"{state}/" in text


def directories(state: Path) -> frozenset[str]:
    instances = state / "instances"
    return frozenset(entry.name for entry in instances.iterdir()) if instances.exists() else frozenset()


def saved(state: Path, seat: Seat = MACHINE) -> frozenset[str]:
    """The memory of suspended guests, by the file's name."""
    files = seat.saves.glob("*.save")
    return frozenset(file.name for file in files if _mentions(_beginning(file), state / "instances"))


def _beginning(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(_DESCRIPTION).decode(errors="replace")
    except FileNotFoundError:
        return ""  # somebody else's, who has resumed


def emulators(state: Path) -> frozenset[str]:
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                command = (process / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if _mentions(command, state / "instances") and "qemu" in command:
                found.add(process.name)
    return frozenset(found)


def claims(url: str) -> frozenset[tuple[str, str]]:
    """The table and the instance of each, in the database behind an SQLAlchemy URL."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        return frozenset(
            (table, str(row[0]))
            for table in ("ports", "addresses", "forwards")
            for row in connection.execute(sa.text(f"SELECT instance_id FROM {table}"))
        )


def of_injection(daemon: Daemon) -> frozenset[str]:
    """As ``injection``, for a daemon that runs."""
    return injection(daemon.state, [daemon.pid])


def injection(state: Path, services: Sequence[int]) -> frozenset[str]:
    """What partition injection could leave behind, by name: mounts, loop devices, and processes that are neither of
    the services (pids) nor a guest's but have their files open or in their words, exports among them."""
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    loops = (file.read_text().strip() for file in Path("/sys/block").glob("loop*/loop/backing_file"))
    own = {str(pid) for service in services for pid in descendants(service)} | emulators(state)
    strangers = (_words(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit() and entry.name not in own)
    return frozenset(found for found in (*mounts, *loops, *strangers) if _mentions(found, state))


def remove_domains(state: Path, seat: Seat = MACHINE) -> None:
    """After a test that failed: its guests would run on. Those that libvirt does not end are ended without it."""
    with suppress(libvirt.libvirtError):
        for one in defined(seat):
            if _mentions(one.xml, state):
                subprocess.run(_virsh(seat, "destroy", one.uuid), capture_output=True, check=False)
                undefine = _virsh(seat, "undefine", "--nvram", "--managed-save", one.uuid)
                subprocess.run(undefine, capture_output=True, check=False)
    for pid in emulators(state):
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


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


def alive(pid: int) -> bool:
    """Whether there is such a process, not yet ended."""
    fields = _stat(pid)
    return bool(fields) and fields[0] not in "ZX"


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
