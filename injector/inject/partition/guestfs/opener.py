"""Finds the root among the appliance's devices and mounts it there."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from injector.errors import CannotServe, GuestUnreadable
from injector.inject.partition.guestfs.appliance import Handle, Refusal, ask, require
from injector.inject.partition.guestfs.files import GuestfsFiles
from injector.model.facts import Root
from injector.model.hostile import one_line

NAME = "guestfs"

# Linux keeps owners and modes in them. Not every appliance has a driver for each: then the mount says so.
_SERVED = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "reiserfs"})
_EXT = frozenset({"ext2", "ext3", "ext4"})
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
        device = self._device(root)
        filesystem = self._filesystem(device)
        self._mount(device, filesystem, writable=writable)
        try:
            yield GuestfsFiles(self._handle, filesystem, stamp)
        finally:
            # After close() there is nothing left to do; without it, whoever left knows better why.
            with contextlib.suppress(RuntimeError):
                self._handle.umount_all()

    def _device(self, root: Root) -> str:
        if root.volume is not None:
            return root.volume
        if root.partition == 0:
            return self._drive
        for found in require(self._handle.part_list, self._drive):
            if found["part_num"] == root.partition:
                if found["part_start"] != root.start:
                    raise GuestUnreadable(f"partition {root.partition} is not where it was found to be")
                return f"{self._drive}{root.partition}"
        raise GuestUnreadable(f"there is no partition {root.partition}")

    def _filesystem(self, device: str) -> str:
        try:
            found = str(ask(self._handle.vfs_type, device))
        except Refusal as refusal:
            raise GuestUnreadable(f"the guest's root cannot be read: {refusal.text}") from refusal
        if found not in _SERVED:
            named = one_line(found, 30) or "nothing it knows"
            raise CannotServe(f"guestfs does not write into {named}")
        return found

    def _mount(self, device: str, filesystem: str, *, writable: bool) -> None:
        if filesystem in _EXT:
            self._require_healthy(device)
        # What an earlier mount has read is not to be believed: the caches go.
        require(self._handle.drop_caches, 3)
        options = "nodev,nosuid,noexec,noatime," + ("rw" if writable else "ro")
        if filesystem in _EXT:
            options += ",errors=remount-ro"
        try:
            ask(self._handle.mount_options, options, device, "/")
        except Refusal as refusal:
            if _UNKNOWN_KIND in refusal.text or refusal.errno == errno.ENODEV:
                raise CannotServe(f"this host's appliance has no driver for {filesystem}") from refusal
            raise GuestUnreadable(f"the guest's {filesystem} cannot be mounted: {refusal.text}") from refusal

    def _require_healthy(self, device: str) -> None:
        """The kernel mounts a file system that has errors noted in it, or no journal to replay; nobody writes there."""
        state = require(self._handle.tune2fs_l, device).get("Filesystem state")
        if state != "clean":
            raise GuestUnreadable("the guest's file system is not clean: it wants a check (e2fsck)")
