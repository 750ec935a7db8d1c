"""Guest disks for tests: file systems made by mke2fs in raw files, and such a file as a Disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from injector.inject.partition.filesystem import Disk
from injector.model.facts import Root
from injector.system.process import run

MIB = 1024 * 1024


class RawDisk:
    """A raw file as a Disk; counts what is done to it."""

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        self._file = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
        self.reads = self.writes = self.flushes = 0

    @property
    def size(self) -> int:
        return os.fstat(self._file).st_size

    def read(self, start: int, length: int) -> bytes:
        self.reads += 1
        found = os.pread(self._file, length, start)
        if len(found) != length:
            raise OSError(5, "short read")
        return found

    def write(self, start: int, data: bytes) -> None:
        self.writes += 1
        if start + len(data) > self.size or os.pwrite(self._file, data, start) != len(data):
            raise OSError(5, "short write")

    def flush(self) -> None:
        self.flushes += 1

    def close(self) -> None:
        os.close(self._file)


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


def make_ext(
    path: Path,
    *,
    kind: str = "ext4",
    size: int = 64 * MIB,
    start: int = MIB,
    options: Sequence[str] = (),
    tree: Path | None = None,
) -> GuestDisk:
    """A partition at ``start`` of a disk with a spare MiB after it; ``options`` for mke2fs, ``tree`` what is in it."""
    with path.open("wb") as file:
        file.truncate(start + size + MIB)
    command = ["mke2fs", "-q", "-F", "-t", kind, "-E", f"offset={start}", *options]
    if tree is not None:
        command += ["-d", str(tree)]
    run([*command, path, f"{size // 1024}k"], purpose="make a file system", limits=None, timeout=60)
    return GuestDisk(path, start, size, kind)


_: type[Disk] = RawDisk
