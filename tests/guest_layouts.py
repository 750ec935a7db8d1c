"""Disks as images have them, made by sfdisk and the tools of each file system; and what those say of them."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from injector.system.process import run

MIB = 1024 * 1024
ROOT_X86 = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
ROOT_ARM = "b921b045-1df0-41c3-af44-4c6f280d3fae"
ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"
LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"


def tool(*argv: str | Path, text: str = "", accept: Sequence[int] | None = (0,)) -> str:
    return run(
        argv, purpose="make a test's disk", limits=None, timeout=60, input=text.encode(), accept=accept
    ).stdout.decode()


@dataclass(frozen=True)
class Slot:
    """A partition: MiB, type as sfdisk has it, and the file system in it (``tree`` is what an ext one holds).

    ``number`` where the next free one is not meant.
    """

    mib: int
    type: str = LINUX
    filesystem: str | None = None
    label: str | None = None
    uuid: str | None = None
    tree: Path | None = None
    name: str | None = None
    number: int | None = None

    def line(self, path: Path) -> str:
        place = f"{path}{self.number} : " if self.number else ""
        named = f", name={self.name}" if self.name else ""
        return f"{place}size={self.mib}MiB, type={self.type}{named}"


class Bytes:
    """A disk in memory, and how often it was read."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.reads = 0

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, start: int, length: int) -> bytes:
        assert 0 <= start <= start + length <= self.size, "reads stay on the disk"
        self.reads += 1
        return self.content[start : start + length]


class FileDisk:
    """A raw disk in a file, as a worker has one over NBD; counts what is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writes = 0
        self.size = path.stat().st_size

    def read(self, start: int, length: int) -> bytes:
        assert 0 <= start <= start + length <= self.size, "reads stay on the disk"
        with self.path.open("rb") as file:
            return os.pread(file.fileno(), length, start)

    def write(self, start: int, data: bytes) -> None:
        self.writes += 1
        with self.path.open("r+b") as file:
            os.pwrite(file.fileno(), data, start)

    def flush(self) -> None:
        """Nothing is held back."""


def whole(path: Path, slot: Slot) -> Path:
    """A disk that is one file system."""
    with path.open("wb") as file:
        file.truncate(slot.mib * MIB)
    _format(path, slot)
    return path


def partitioned(path: Path, table: str, slots: Sequence[Slot]) -> Path:
    """``table`` is gpt or dos, as sfdisk names them."""
    with path.open("wb") as file:
        file.truncate((sum(slot.mib for slot in slots) + 2 * len(slots) + 4) * MIB)
    script = "\n".join([f"label: {table}", *(slot.line(path) for slot in slots)])
    tool("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", path, text=script)
    for slot, seen in zip(slots, listed(path), strict=True):
        if slot.filesystem:
            made = whole(path.with_suffix(".slot"), slot)
            _copy(made, path, seen["start"] * 512)
            made.unlink()
    return path


def listed(path: Path) -> list[dict[str, Any]]:
    """The partitions as sfdisk sees them; ``start`` and ``size`` in sectors of 512 bytes."""
    said = json.loads(tool("sfdisk", "--json", path))
    found: list[dict[str, Any]] = said["partitiontable"].get("partitions", [])
    return found


def probed(path: Path, start: int = 0, size: int = 0) -> dict[str, str]:
    """What blkid finds there by looking; empty when nothing."""
    where = ["-O", str(start), *(["-S", str(size)] if size else [])]
    said = tool("blkid", "-p", "-u", "filesystem,raid,crypto,other", *where, "-o", "export", path, accept=(0, 2))
    return dict(line.split("=", 1) for line in said.replace("\\ ", " ").splitlines() if "=" in line)


def _format(path: Path, slot: Slot) -> None:
    label, ident = slot.label, slot.uuid
    match slot.filesystem:
        case "ext2" | "ext3" | "ext4":
            named = [*(["-L", label] if label else []), *(["-U", ident] if ident else [])]
            tree: list[str | Path] = ["-d", slot.tree] if slot.tree else []
            tool("mke2fs", "-q", "-F", "-t", slot.filesystem, *named, *tree, path)
        case "xfs":
            tool("mkfs.xfs", "-q", "-f", *(["-L", label] if label else []), path)
        case "btrfs":
            tool("mkfs.btrfs", "-q", "-f", *(["-L", label] if label else []), path)
        case "vfat":
            tool("mkfs.vfat", *(["-n", label] if label else []), path)
        case "swap":
            tool("mkswap", *(["-L", label] if label else []), path)
        case "LVM2_member":
            with path.open("r+b") as file:
                file.write(bytes(512) + _lvm_label())
        case None:
            pass
        case other:
            raise ValueError(other)


def _lvm_label() -> bytes:
    """What pvcreate writes; pvcreate itself wants a block device."""
    label = struct.pack("<I8s32sQ", 32, b"LVM2 001", b"abcdef0123456789" * 2, 4 * MIB).ljust(492, b"\0")
    checksum = zlib.crc32(label, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
    return b"LABELONE" + struct.pack("<QI", 1, checksum) + label


def _copy(source: Path, target: Path, at: int) -> None:
    """What is not a hole."""
    with source.open("rb") as whence, target.open("r+b") as whither:
        end, start = source.stat().st_size, 0
        while start < end:
            try:
                start = os.lseek(whence.fileno(), start, os.SEEK_DATA)
            except OSError:
                return
            hole = os.lseek(whence.fileno(), start, os.SEEK_HOLE)
            os.pwrite(whither.fileno(), os.pread(whence.fileno(), hole - start, start), at + start)
            start = hole
