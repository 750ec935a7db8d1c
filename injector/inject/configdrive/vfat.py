"""Packs a config drive as vfat by mkfs.fat and mtools: without root, without a mount, and in memory only.

The programs are given files of memory by links to them, so nothing secret is ever beside the drive on a disk; and one
directory a file, since mcopy takes what it finds in a directory in the order of the host's file system.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from injector.inject.configdrive.packer import Volume
from injector.inject.configdrive.tree import Tree
from injector.system.process import Limits, run

_MIB = 1024 * 1024
_MEMORY = "/dev/shm"  # noqa: S108 - links only, in a directory of our own
_CLUSTER = 2048
# What a name costs at most: its long form, its short one, and the cluster that its content does not fill.
_PER_FILE = _CLUSTER + 512
_FIXED = 64 * 1024
_LIMITS = Limits(cpu_seconds=30, open_files=256)
_SECONDS = 60.0


class VfatPacker:
    """A whole number of MiB, as few as hold the content; equal content lies there as often as it is named."""

    format = "vfat"

    def pack(self, tree: Tree, volume: Volume, into: BinaryIO) -> None:
        """ProgramFailed when mkfs.fat or mcopy is missing or fails."""
        with ExitStack() as held, tempfile.TemporaryDirectory(prefix="injector-vfat-", dir=_scratch()) as links:
            disk = held.enter_context(_in_memory(b""))
            os.truncate(disk, _size(tree))
            sources = [
                _link(Path(links), number, path, held.enter_context(_in_memory(content)))
                for number, (path, content) in enumerate(tree.items())
            ]
            _make_file_system(disk, volume)
            _copy(disk, Path(links), sources, volume)
            into.write(Path(disk).read_bytes())


def _scratch() -> str | None:
    """Where a hundred directories cost nothing; None is the usual place."""
    return _MEMORY if os.access(_MEMORY, os.W_OK) else None


def _size(tree: Tree) -> int:
    """Bytes of the disk; FAT12 and FAT16 hold far more files than a drive has."""
    directories = {parent for path in tree for parent in Path(path).parents}
    wanted = _FIXED + sum(len(content) + _PER_FILE for content in tree.values()) + len(directories) * _PER_FILE
    return -(-wanted // _MIB) * _MIB


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """A file that no directory holds, by the path under which programs of ours can open it."""
    descriptor = os.memfd_create("config-drive")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        yield f"/proc/{os.getpid()}/fd/{descriptor}"


def _link(links: Path, number: int, path: str, content: str) -> str:
    """The topmost name below ``links`` that brings ``path``."""
    link = links / str(number) / path
    os.makedirs(link.parent)
    os.symlink(content, link)
    return f"{number}/{path.partition('/')[0]}"


def _make_file_system(disk: str, volume: Volume) -> None:
    serial = hashlib.sha256(str(int(volume.made_at.timestamp())).encode()).hexdigest()[:8]
    options = ("--invariant", "-a", "-i", serial, "-n", volume.label)
    # It warns of a label in small letters, which every reader of config drives looks for.
    run(["mkfs.fat", *options, disk], purpose="make a vfat config drive", limits=_LIMITS, timeout=_SECONDS)


def _copy(disk: str, links: Path, sources: list[str], volume: Volume) -> None:
    """``-s`` with directories, ``-DO`` into those that are there already."""
    dates = {"TZ": "UTC", "SOURCE_DATE_EPOCH": str(int(volume.made_at.timestamp())), "MTOOLS_SKIP_CHECK": "1"}
    command = ["mcopy", "-s", "-D", "o", "-D", "A", "-i", disk, *(str(links / source) for source in sources), "::"]
    run(command, purpose="fill a vfat config drive", limits=_LIMITS, timeout=_SECONDS, env=dates)
