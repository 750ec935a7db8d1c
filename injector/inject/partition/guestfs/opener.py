"""Finds the root among the appliance's devices and mounts it there."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from injector.errors import CannotServe, GuestUnreadable
from injector.inject.partition import superblocks
from injector.inject.partition.guestfs.appliance import Bytes, Handle, Refusal, ask, require
from injector.inject.partition.guestfs.files import GuestfsFiles
from injector.model.facts import Partition, Root
from injector.model.hostile import one_line

NAME = "guestfs"
SUBVOLUME = "btrfsvol:"
"""How libguestfs begins the name of a subvolume; the device and the path follow."""

# Linux keeps owners and modes in them. Not every appliance has a driver for each: then the mount says so.
_SERVED = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "reiserfs"})
_EXT = frozenset({"ext2", "ext3", "ext4"})
_EXT_STATE, _CLEAN = 0x400 + 0x3A, 1
_BEGINNING = 68 * 1024  # covers the superblock of btrfs, the last of all
_UNKNOWN_KIND = "unknown filesystem type"


class GuestfsOpener:
    """``Opener`` of one drive of a running appliance: each opening is a mount of its own."""

    def __init__(self, handle: Handle, drive: str = "/dev/sda") -> None:
        self._handle = handle
        self._drive = drive

    @property
    def name(self) -> str:
        return NAME

    @contextlib.contextmanager
    def open(self, root: Root, *, writable: bool, stamp: int) -> Iterator[GuestfsFiles]:
        # Nothing is remembered: the appliance's kernel forgets a device that nobody has open.
        device = self._device(root)
        filesystem = self._filesystem(device, root.size)
        self._mount(root.volume or device, filesystem, writable=writable)
        try:
            yield GuestfsFiles(self._handle, filesystem, stamp, writable=writable)
        finally:
            # After close() there is nothing left to do; without it, whoever left knows better why.
            with contextlib.suppress(RuntimeError):
                self._handle.umount_all()

    def _device(self, root: Root) -> str:
        """The device that the root is on. libguestfs could list the partitions, in a second or two."""
        if root.volume is not None and not root.volume.startswith(SUBVOLUME):
            return root.volume
        if root.partition == 0:
            return self._drive
        device = f"{self._drive}{root.partition}"
        if self._beginning(device, 0) != self._beginning(self._drive, root.start):
            raise GuestUnreadable(f"partition {root.partition} is not where it was found to be")
        return device

    def _beginning(self, device: str, start: int) -> bytes:
        found: bytes = require(self._handle.pread_device, device, _BEGINNING, start)
        return found

    def _filesystem(self, device: str, size: int) -> str:
        """What is there now; the kernel would mount one that has errors noted in it, or no journal to replay."""
        disk = Bytes(self._handle, device, size)
        found = superblocks.recognised(disk, Partition(0, 0, size, "")).filesystem
        if found not in _SERVED:
            raise CannotServe(f"guestfs does not write into {found or 'what it does not know'}")
        if found in _EXT and int.from_bytes(disk.read(_EXT_STATE, 2), "little") & 3 != _CLEAN:
            raise GuestUnreadable("the guest's file system is not clean: it needs e2fsck")
        return found

    def _mount(self, mountable: str, filesystem: str, *, writable: bool) -> None:
        options = "nodev,nosuid,noexec,noatime," + ("rw" if writable else "ro")
        if filesystem in _EXT:
            options += ",errors=remount-ro"
        try:
            ask(self._handle.mount_options, options, mountable, "/")
        except Refusal as refusal:
            if _UNKNOWN_KIND in refusal.text or refusal.errno == errno.ENODEV:
                raise CannotServe(f"this host's appliance has no driver for {filesystem}") from refusal
            why = one_line(refusal.text, 300)
            raise GuestUnreadable(f"the guest's {filesystem} cannot be mounted: {why}") from refusal
