"""Mounts a guest's root in this process's own mount namespace, over a loop device that goes when it is not used."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from injector.errors import CannotServe, ChannelBroken, GuestUnreadable
from injector.inject.partition.mounted import kernel
from injector.inject.partition.mounted.files import MountedFiles
from injector.inject.partition.mounted.kernel import Loop
from injector.model.facts import Root
from injector.model.hostile import one_line

NAME = "mounted"

# One driver reads all three of ext. xfs refuses a second file system with the same id, and many have their base's.
_DRIVERS = {"ext2": "ext4", "ext3": "ext4", "ext4": "ext4", "xfs": "xfs", "btrfs": "btrfs"}
_OPTIONS = {"ext4": "errors=remount-ro", "xfs": "nouuid", "btrfs": ""}
_FLAGS = kernel.MS_NODEV | kernel.MS_NOSUID | kernel.MS_NOEXEC | kernel.MS_NOATIME
_SUBVOLUME = "btrfsvol:"
_GONE_WITHIN = 5.0
_LOOK_AGAIN = 0.002


class Exported(Protocol):
    """A guest's disk as a file to be opened; ``directory`` is private to whoever mounts there."""

    @property
    def directory(self) -> Path: ...

    def file(self) -> contextlib.AbstractContextManager[int]: ...


class MountedOpener:
    """``Opener`` over a guest's disk as a file."""

    def __init__(self, export: Exported) -> None:
        self._export = export

    @property
    def name(self) -> str:
        return NAME

    @contextlib.contextmanager
    def open(self, root: Root, *, writable: bool, stamp: int) -> Iterator[MountedFiles]:
        driver = _DRIVERS.get(root.filesystem)
        if driver is None:
            raise CannotServe(f"mounted does not write into {one_line(root.filesystem, 30)}")
        options = _options(root, driver)
        place = str(self._export.directory / "root")
        Path(place).mkdir(0o700, exist_ok=True)
        with (
            self._export.file() as file,
            _looped(file, root) as loop,
            _mounted(loop, place, driver, options, writable=writable) as mount,
        ):
            yield MountedFiles(mount.descriptor, root.filesystem, stamp, mount.finish, writable=writable)


class _Mount:
    """A mount, open; ``finish`` once: everything on the disk, and unmounted."""

    def __init__(self, place: str) -> None:
        self._place = place
        self.descriptor = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.finished = False

    def finish(self) -> None:
        readable = kernel.open_beneath(self.descriptor, "/", os.O_RDONLY | os.O_DIRECTORY)
        try:
            kernel.sync_file_system(readable)
        finally:
            os.close(readable)
        os.close(self.descriptor)
        self.finished = True
        kernel.unmount(self._place)

    def leave(self) -> None:
        """Without a word to whoever wrote: what it wrote is not to be kept."""
        if not self.finished:
            os.close(self.descriptor)
            kernel.unmount(self._place, lazily=True)


@contextlib.contextmanager
def _mounted(loop: Loop, place: str, driver: str, options: str, *, writable: bool) -> Iterator[_Mount]:
    flags = _FLAGS | (0 if writable else kernel.MS_RDONLY)
    try:
        kernel.mount(loop.path, place, driver, flags, options)
    except OSError as error:
        if error.errno == errno.ENODEV:
            raise CannotServe(f"this host's kernel has no driver for {driver}") from error
        why = one_line(os.strerror(error.errno or errno.EIO))
        raise GuestUnreadable(f"the guest's {driver} cannot be mounted: {why}") from error
    mount = _Mount(place)
    try:
        _require_source(loop, place)
        yield mount
    finally:
        mount.leave()


def _require_source(loop: Loop, place: str) -> None:
    """btrfs takes a file system for another with the same id, which the host's own or a neighbour's may have."""
    lines = (line.split(" ") for line in Path("/proc/self/mountinfo").read_text().splitlines())
    sources = [words[words.index("-") + 2] for words in lines if words[4] == place]
    if sources[-1:] != [loop.path]:
        raise CannotServe("this host has another file system with the guest's id mounted")


@contextlib.contextmanager
def _looped(file: int, root: Root) -> Iterator[Loop]:
    try:
        loop = kernel.attach(file, root.start, root.size)
    except OSError as error:
        raise ChannelBroken("this host has no loop device for a guest's disk", detail=str(error)) from error
    try:
        yield loop
        _flushed(loop)
    finally:
        os.close(loop.descriptor)
        _wait_gone(loop)


def _flushed(loop: Loop) -> None:
    try:
        os.fsync(loop.descriptor)
    except OSError as error:
        raise ChannelBroken("the guest's disk was not written whole on this host", detail=str(error)) from error


def _wait_gone(loop: Loop) -> None:
    """The kernel lets go of it a moment after its last user."""
    until = time.monotonic() + _GONE_WITHIN
    while not loop.is_gone() and time.monotonic() < until:
        time.sleep(_LOOK_AGAIN)


def _options(root: Root, driver: str) -> str:
    if root.volume is None:
        return _OPTIONS[driver]
    subvolume = root.volume.removeprefix(_SUBVOLUME).split("/", 3)
    if driver != "btrfs" or not root.volume.startswith(_SUBVOLUME) or len(subvolume) != 4:
        raise CannotServe("mounted does not write into logical volumes")
    # Options are told apart by commas: this one would become another.
    if not subvolume[3] or any(letter in subvolume[3] for letter in ',\\"') or not subvolume[3].isprintable():
        raise CannotServe("mounted does not write into a subvolume of such a name")
    return f"subvol={subvolume[3]}"
