"""Guest disks for tests: file systems made by mke2fs in raw files, such a file as a Disk, and who judges them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from injector.model.facts import Root
from injector.system.process import run

MIB = 1024 * 1024
START = MIB


class RawDisk:
    """A raw file as a Disk; counts what is done to it. ``broken``: from then on every read and write is an error."""

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        self._file = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
        self.reads = self.writes = self.flushes = 0
        self.broken = False

    def __enter__(self) -> RawDisk:
        return self

    def __exit__(self, *_exception: object) -> None:
        os.close(self._file)

    @property
    def size(self) -> int:
        return os.fstat(self._file).st_size

    def read(self, start: int, length: int) -> bytes:
        self.reads += 1
        found = b"" if self.broken else os.pread(self._file, length, start)
        if len(found) != length:
            raise OSError(5, "short read")
        return found

    def write(self, start: int, data: bytes) -> None:
        self.writes += 1
        if self.broken or start + len(data) > self.size or os.pwrite(self._file, data, start) != len(data):
            raise OSError(5, "short write")

    def flush(self) -> None:
        self.flushes += 1


@dataclass(frozen=True)
class GuestDisk:
    """A raw file with one file system in it. ``start`` and ``size`` of the partition, in bytes."""

    path: Path
    start: int
    size: int
    filesystem: str = "ext4"

    @property
    def root(self) -> Root:
        number = 1 if self.start else 0
        return Root(partition=number, start=self.start, size=self.size, filesystem=self.filesystem, found_by="the test")

    @property
    def place(self) -> str:
        """As e2fsprogs name a file system within a file."""
        return f"{self.path}?offset={self.start}"

    def copy(self, path: Path) -> GuestDisk:
        _run("cp", "--sparse=always", self.path, path)
        return replace(self, path=path)

    def digest(self) -> str:
        return _run("sha256sum", self.path).split()[0]


def make_ext(
    path: Path,
    *,
    kind: str = "ext4",
    size: int = 32 * MIB,
    start: int = START,
    options: Sequence[str] = (),
    tree: Path | None = None,
) -> GuestDisk:
    """A partition at ``start`` of a disk with a spare MiB after it; ``options`` for mke2fs, ``tree`` what is in it."""
    with path.open("wb") as file:
        file.truncate(start + size + MIB)
    command = ["mke2fs", "-q", "-F", "-t", kind, "-E", f"offset={start}", *options]
    if tree is not None:
        command += ["-d", str(tree)]
    _run(*command, path, f"{size // 1024}k")
    return GuestDisk(path, start, size, kind)


def debugfs(disk: GuestDisk, *commands: str) -> str:
    """What debugfs says; it changes the disk when a command does. ValueError when one fails."""
    said = run(
        ["debugfs", "-w", "-f", "-", disk.place],
        purpose="edit a guest's disk",
        limits=None,
        timeout=60,
        input="".join(f"{command}\n" for command in commands).encode("utf-8", "surrogateescape"),
        output_limit=16 * MIB,
    )
    complaints = [line for line in said.stderr.splitlines() if not line.startswith("debugfs 1.")]
    if complaints:
        raise ValueError("\n".join(complaints))
    return re.sub(r"^debugfs: .*\n", "", said.stdout.decode(errors="replace"), flags=re.MULTILINE)


def fsck(disk: GuestDisk) -> str:
    """Everything e2fsck finds fault with, looking only; nothing for a sound file system."""
    finished = run(["e2fsck", "-fn", disk.place], purpose="judge a guest's disk", limits=None, timeout=120, accept=None)
    return "" if finished.returncode == 0 else finished.stdout.decode(errors="replace") + finished.stderr


@contextmanager
def mounted(disk: GuestDisk, at: Path, *options: str, writable: bool = False) -> Iterator[Path]:
    """By this host's kernel (its ext4 takes all three), which had no part in writing it.

    Read-only it replays no journal either.
    """
    at.mkdir(exist_ok=True)
    how = ",".join((f"loop,offset={disk.start},sizelimit={disk.size}", "rw" if writable else "ro,noload", *options))
    _run("mount", "-t", "ext4", "-o", how, disk.path, at)
    try:
        yield at
    finally:
        _run("umount", at)


def crashed(disk: GuestDisk, path: Path, work: Path, *, orphans: bool = False) -> GuestDisk:
    """The disk as it is while a kernel writes on it: its journal holds what is nowhere else yet.

    Directories and files come, some go again (their blocks are revoked), and /etc/late is in the journal only.
    ``orphans``: one file is open and has no name any more.
    """
    with mounted(disk, work, "commit=600", writable=True) as root:
        for number in range(120):
            (root / f"d{number}").mkdir()
            (root / f"d{number}" / "file").write_text("x" * number * 10)
        with (root / "d0" / "file").open("r+") as last:
            _commit(last)
            for number in range(40, 80):
                shutil.rmtree(root / f"d{number}")
            for number in range(60):
                (root / f"again{number}").write_text("y" * 3000)
            (root / "etc").mkdir(exist_ok=True)
            with (root / "etc" / "late").open("w") as late:
                _commit(late, "in the journal only\n")
            if not orphans:
                return disk.copy(path)
            with (root / "nameless").open("w") as nameless:
                nameless.write("z" * 5000)
                nameless.flush()
                (root / "nameless").unlink()
                _commit(last)
                return disk.copy(path)


def _commit(file: IO[str], text: str = "changed") -> None:
    """Everything up to here is in the journal. A file that did not change would have nothing to wait for."""
    file.write(text)
    file.flush()
    os.fsync(file)


def _run(*argv: str | Path) -> str:
    finished = run(argv, purpose="make a guest's disk", limits=None, timeout=120, output_limit=16 * MIB)
    return finished.stdout.decode(errors="replace")
