"""Crews for tests: disks to send them to, and what this host shows of their processes, sockets and locks."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from injector.errors import ProgramFailed
from injector.inject.channel import GuestDisk
from injector.inject.partition.crew.crew import Crew
from injector.inject.partition.errand import Inject, Look, Wanted
from injector.model.facts import Root
from injector.model.secret import Secret
from injector.settings import PartitionSettings
from injector.system.process import run
from tests import builders as a

MIB = 1024 * 1024
SIZE = 16 * MIB
ROOT = Root(0, 0, SIZE, "ext4", "the test")
TRADE = "tests.crew_trade"


def look(*paths: str, limit: int = MIB) -> Look:
    return Look(ROOT, paths, limit)


def inject(content: bytes, rounds: int = 1) -> Inject:
    return Inject(ROOT, (Wanted(a.an_item(name=f"rounds:{rounds}"), Secret(content)),), 0)


def said(crew: Crew, disk: GuestDisk, *paths: str) -> list[bytes]:
    return [file.content.reveal() for file in crew.send(look(*paths), disk).files]


@dataclass(frozen=True)
class Place:
    """``images`` are written, ``bases`` never."""

    images: Path
    bases: Path

    @classmethod
    def below(cls, top: Path) -> Place:
        place = cls(top / "images", top / "bases")
        place.images.mkdir(mode=0o755)
        place.bases.mkdir(mode=0o755)
        return place

    def disk(self, name: str = "guest", content: bytes = b"base") -> GuestDisk:
        """An overlay over a raw base that begins with ``content``."""
        base = self.bases / f"{name}.raw"
        with base.open("wb") as file:
            file.write(content)
            file.truncate(SIZE)
        base.chmod(0o444)
        overlay = self.images / f"{name}.qcow2"
        quietly("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", overlay)
        return GuestDisk(overlay, base, "raw")

    @contextmanager
    def crew(self, trade: str = TRADE, *, idle: float | None = None, **settings: object) -> Iterator[Crew]:
        partition = PartitionSettings(**({"workers": 1, "deadline": 10.0} | settings))  # type: ignore[arg-type]
        crew = Crew(partition, images=self.images, bases=self.bases, trade=trade, idle=idle)
        try:
            yield crew
        finally:
            crew.close()


def quietly(*argv: str | Path) -> str:
    return run(argv, purpose="prepare a test", limits=None, timeout=60, output_limit=64 * MIB).stdout.decode()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def can_be_locked(disk: GuestDisk) -> bool:
    """As another QEMU would, to write: at once or not at all."""
    try:
        quietly("qemu-io", "-f", "qcow2", "-c", "write -q 1M 4k", str(disk.overlay))
    except ProgramFailed:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Seen from aside, without trying."""
    return f":{path.stat().st_ino} " in Path("/proc/locks").read_text()


@dataclass(frozen=True)
class Process:
    """``command`` as it was started; the nursery's children have its own."""

    pid: int
    parent: int
    command: str


def _processes() -> Iterator[Process]:
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            after_name = (entry / "stat").read_text().rpartition(")")[2].split()
            if after_name[0] != "Z":
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                yield Process(int(entry.name), int(after_name[1]), command)


def nurseries() -> list[int]:
    """This process's."""
    return [one.pid for one in _processes() if one.parent == os.getpid() and "partition.crew" in one.command]


def children(nursery: int, kind: str) -> list[int]:
    """``kind``: worker or disk."""
    borne = [one for one in _processes() if one.parent == nursery]
    return sorted(one.pid for one in borne if ("qemu-storage-daemon" in one.command) == (kind == "disk"))


def everybody() -> set[int]:
    """All that a crew of this process has running."""
    found = set(nurseries())
    return found | {one.pid for one in _processes() if one.parent in found}


def alive(pids: set[int]) -> set[int]:
    return pids & {one.pid for one in _processes()}


def abstract_sockets() -> set[str]:
    """Names that the kernel made: @ and five digits."""
    return set(re.findall(r" (@[0-9a-f]{5})$", Path("/proc/net/unix").read_text(), re.MULTILINE))


def open_descriptors() -> list[str]:
    """Of this process; what they are, not their numbers."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.append(re.sub(r"\d+", "", os.readlink(entry)))
    return sorted(found)


def soon(condition: Callable[[], object], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
