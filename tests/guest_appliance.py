"""One appliance of libguestfs for many tests: it starts once, and each test's disk is laid into one of its drives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from injector.inject.partition.guestfs.appliance import Drive, Machine, appliance
from injector.inject.partition.guestfs.opener import GuestfsOpener
from injector.system.process import run
from tests.guest_disks import MIB, START, GuestDisk

PARTITIONED, WHOLE, XFS, BTRFS, LVM = "/dev/sda", "/dev/sdb", "/dev/sdc", "/dev/sdd", "/dev/sde"

# Of one partition each, but for the second; mkfs.xfs takes nothing below 300 MiB.
_SIZES = {PARTITIONED: 66, WHOLE: 66, XFS: 340, BTRFS: 260, LVM: 160}


@dataclass(frozen=True)
class Slots:
    """``files`` are the raw files of the drives, by the appliance's names for them."""

    handle: Any
    files: dict[str, Path]

    @contextmanager
    def opener(self, disk: GuestDisk) -> Iterator[GuestfsOpener]:
        """Of a disk that is laid into a drive, and taken out of it again."""
        drive = PARTITIONED if disk.start else WHOLE
        _move(disk.path, self.files[drive], disk)
        try:
            yield GuestfsOpener(self.handle, drive)
        finally:
            _move(self.files[drive], disk.path, disk)


@contextmanager
def slots(place: Path) -> Iterator[Slots]:
    """Running; QEMU keeps nothing back, and the appliance nothing once a file system is unmounted."""
    files = {}
    for drive, mib in _SIZES.items():
        files[drive] = place / f"{drive.rpartition('/')[2]}.raw"
        with files[drive].open("wb") as file:
            file.truncate(mib * MIB)
    script = f"label: dos\nstart={START // 512}\n".encode()
    run(["sfdisk", "-q", files[PARTITIONED]], purpose="make a table", limits=None, timeout=20, input=script)
    drives = [Drive(file, "raw", writable=True) for file in files.values()]
    with appliance(drives, Machine(emulated=True, directory=place)) as handle:
        yield Slots(handle, files)


def _move(source: Path, target: Path, disk: GuestDisk) -> None:
    """The bytes of the file system; what the target had there is gone."""
    with source.open("rb") as whence, target.open("r+b") as whither:
        end = disk.start + disk.size
        whither.flush()
        _punch(target, disk.start, disk.size)
        at = disk.start
        while at < end:
            try:
                at = min(os.lseek(whence.fileno(), at, os.SEEK_DATA), end)
            except OSError:  # holes only, from here on
                return
            hole = min(os.lseek(whence.fileno(), at, os.SEEK_HOLE), end)
            while at < hole:
                at += os.pwrite(whither.fileno(), os.pread(whence.fileno(), min(MIB, hole - at), at), at)


def _punch(target: Path, start: int, size: int) -> None:
    words = ["fallocate", "--punch-hole", "--offset", str(start), "--length", str(size), str(target)]
    run(words, purpose="clear a drive", limits=None, timeout=20)
