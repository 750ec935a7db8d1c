"""A guest's disk as one file of raw bytes, by a qemu-storage-daemon of its own, in a mount namespace of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from injector.errors import ChannelBroken, ProgramFailed
from injector.inject.channel import GuestDisk
from injector.inject.partition.crew.frames import Deadline
from injector.inject.partition.crew.monitor import Monitor, graph
from injector.inject.partition.mounted import kernel
from injector.inject.partition.order import Order
from injector.system import confinement, process

PROGRAM = "qemu-storage-daemon"

_PURPOSE = "open a guest's disk"
_SCRATCH = "scratch"


class Export:
    """``directory`` is a file system in memory that nobody else sees."""

    def __init__(self, monitor: Monitor, node: str, directory: Path) -> None:
        self._monitor = monitor
        self._node = node
        self._count = 0
        self._directory = directory

    @property
    def directory(self) -> Path:
        return self._directory

    @contextlib.contextmanager
    def file(self) -> Iterator[int]:
        """The disk, open to read and write; an export of its own each time, so that nothing is remembered."""
        self._count += 1
        name = f"disk{self._count}"
        place = self._directory / name
        place.touch(0o600)
        words = {"id": name, "type": "fuse", "node-name": self._node, "mountpoint": str(place), "writable": True}
        self._monitor.run([("block-export-add", {**words, "allow-other": "off"})])
        try:
            descriptor = os.open(place, os.O_RDWR | os.O_CLOEXEC)
            try:
                yield descriptor
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        finally:
            with contextlib.suppress(ChannelBroken):  # it ends with the block layer in any case
                self._monitor.run([("block-export-del", {"id": name})])

    @contextlib.contextmanager
    def bytes(self) -> Iterator[Bytes]:
        """The disk as bytes to be read."""
        with self.file() as descriptor:
            yield Bytes(descriptor, os.fstat(descriptor).st_size)


@dataclass(frozen=True, slots=True)
class Bytes:
    """``Disk`` over a descriptor, as far as a survey wants it."""

    descriptor: int
    size: int

    def read(self, start: int, length: int) -> bytes:
        data = os.pread(self.descriptor, length, start)
        if len(data) != length:
            raise ChannelBroken("this host cannot read the guest's disk")
        return data


@contextlib.contextmanager
def exported(order: Order) -> Iterator[Export]:
    """Everything undone at the end, and by the kernel when this process is killed: the namespace goes with it.

    ChannelBroken when the host does not allow it, or the disk's last bytes were not written.
    """
    directory = Path(order.directory)
    with _channel_broken():
        kernel.own_mounts()
        kernel.mount("tmpfs", str(directory), "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1g,mode=700")
        kernel.share_mounts(str(directory))
    writable = order.inject is not None
    disk = GuestDisk(Path(order.overlay) if order.overlay else None, Path(order.base), order.base_format)
    with _block_layer(Deadline(order.patience)) as monitor:
        # The guest's file system is mounted where the block layer is not. When both are killed at once, the last one
        # in a namespace unmounts what is there: the block layer would write to itself, for ever, and with it wait the
        # whole host's sync(2).
        with _channel_broken():
            kernel.part_mounts()
        commands = graph(disk, writable=writable)[:-1]
        monitor.run(commands)
        node = str(commands[-1][1]["node-name"])
        if not writable:
            node = _scratch(monitor, node, directory)
        yield Export(monitor, node, directory)


def _scratch(monitor: Monitor, node: str, directory: Path) -> str:
    """What the guest's journal still has to be written is written beside the disk, which is only looked at."""
    (named,) = monitor.run([("query-named-block-nodes", {"flat": True})])
    size = next(int(one["image"]["virtual-size"]) for one in named if one["node-name"] == node)
    file = directory / _SCRATCH
    words = ["qemu-img", "create", "-q", "-f", "qcow2", str(file), str(size)]
    try:
        process.run(words, purpose="look into a guest's disk", limits=None, timeout=20.0)
    except ProgramFailed as error:
        raise ChannelBroken("this host cannot look into the guest's disk", detail=error.detail) from error
    storage: Mapping[str, Any] = {"driver": "file", "filename": str(file)}
    add = {"node-name": _SCRATCH, "driver": "qcow2", "backing": node, "file": storage}
    monitor.run([("blockdev-add", add)])
    return _SCRATCH


@contextlib.contextmanager
def _block_layer(deadline: Deadline) -> Iterator[Monitor]:
    """Running, and ended before this returns; it does not outlive this process."""
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    with ours:
        with theirs, _channel_broken():
            program = process.start(
                [PROGRAM, "--chardev", f"socket,id=monitor,fd={theirs.fileno()}", "--monitor", "chardev=monitor"],
                purpose=_PURPOSE,
                descriptors=(theirs.fileno(),),
                stderr=sys.stderr.fileno(),
                prepare=lambda: confinement.die_with_parent(parent),
            )
        monitor = Monitor(ours, deadline)
        try:
            yield monitor
            monitor.quit()
            if program.wait() != 0:
                raise ChannelBroken("the guest's disk was not written whole on this host")
        finally:
            program.kill()
            program.wait()


@contextlib.contextmanager
def _channel_broken() -> Iterator[None]:
    try:
        yield
    except ProgramFailed as error:
        raise ChannelBroken("this host cannot open the guest's disk", detail=error.detail) from error
    except OSError as error:
        raise ChannelBroken("this host cannot mount a guest's disk", detail=str(error)) from error
