"""The door of the ``ext`` back end: looks at the superblock, replays the journal, opens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from injector.errors import CannotServe
from injector.inject.partition.ext.channel import Channel
from injector.inject.partition.ext.features import SUPERBLOCK_AT, SUPERBLOCK_SIZE, Superblock, examine
from injector.inject.partition.ext.files import ExtFiles
from injector.inject.partition.ext.handle import Handle
from injector.inject.partition.ext.held import Held
from injector.inject.partition.ext.journal import recover
from injector.inject.partition.filesystem import Disk
from injector.model.facts import Root


class ExtOpener:
    """One guest's disk."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    @property
    def name(self) -> str:
        return "ext"

    @contextmanager
    def open(self, root: Root, *, writable: bool, stamp: int) -> Iterator[ExtFiles]:
        if root.volume is not None:
            raise CannotServe("the root is a volume inside something else, not a partition")
        held = Held(self._disk, root.start, root.size)
        found = _superblock(held)
        if found.needs_recovery:
            # For reading too: what is in the journal only is as good as written. It reaches the disk with a commit.
            recover(held, found)
            found = _superblock(held)
        channel = Channel(held)
        handle = Handle(channel, found, writable=writable, stamp=stamp)
        try:
            yield ExtFiles(handle, held, writable=writable, stamp=stamp)
        finally:
            handle.close()


def _superblock(held: Held) -> Superblock:
    if held.size < SUPERBLOCK_AT + SUPERBLOCK_SIZE:
        raise CannotServe("there is no ext2, ext3 or ext4 file system")
    return examine(held.read(SUPERBLOCK_AT, SUPERBLOCK_SIZE), held.size)
