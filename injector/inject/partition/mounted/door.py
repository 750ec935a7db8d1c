"""The daemon's door to ``mounted``: a mount in a namespace of its own for each errand, by a program of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from pathlib import Path
from typing import overload

from injector.inject.channel import GuestDisk
from injector.inject.partition.errand import Inject, Injected, Look, Looked, Survey, Surveyed
from injector.inject.partition.order import order
from injector.inject.partition.program import Program
from injector.model.host import BackEnd
from injector.settings import PartitionSettings
from injector.system import process

NAME = "mounted"

_BLOCK_LAYER = "qemu-storage-daemon"
_DEVICES = (Path("/dev/fuse"), Path("/dev/loop-control"))
_SYS_ADMIN = 1 << 21
_OPEN_FILES = 1024


class MountedDoor:
    """``Door``; only what the operator names in ``[injection] filesystems`` gets one."""

    def __init__(self, settings: PartitionSettings, directory: Path) -> None:
        limits = process.Limits(open_files=_OPEN_FILES)
        self._program = Program(NAME, directory, settings.deadline, limits)
        self._program.sweep()
        self._btrfs = threading.Lock()

    @property
    def name(self) -> str:
        return NAME

    def check(self) -> BackEnd:
        reason = _obstacle()
        return BackEnd(NAME, reason is None, reason)

    @overload
    def send(self, errand: Inject, disk: GuestDisk) -> Injected: ...

    @overload
    def send(self, errand: Look, disk: GuestDisk) -> Looked: ...

    @overload
    def send(self, errand: Survey, disk: GuestDisk) -> Surveyed: ...

    def send(self, errand: Inject | Look | Survey, disk: GuestDisk) -> Injected | Looked | Surveyed:
        manner = order(disk, patience=self._program.timeout)
        with self._alone(errand):
            return self._program.send(errand, disk, manner)

    def close(self) -> None:
        """Nothing is kept ready; errands under way end with the daemon."""

    def _alone(self, errand: Inject | Look | Survey) -> contextlib.AbstractContextManager[object]:
        """Two overlays of one btrfs have one id, and not every kernel mounts both at once."""
        if not isinstance(errand, Survey) and errand.root.filesystem != "btrfs":
            return contextlib.nullcontext()
        return self._btrfs


def _obstacle() -> str | None:
    if os.geteuid() != 0:
        return "only root may mount, and this daemon is not"
    if not _capabilities() & _SYS_ADMIN:
        return "this daemon may not mount (its unit has no CAP_SYS_ADMIN)"
    for device in _DEVICES:
        if not device.exists():
            return f"there is no {device} here (a unit with PrivateDevices has none)"
    if shutil.which(_BLOCK_LAYER, path=process.PATH) is None:
        return f"{_BLOCK_LAYER} is not installed (Debian: qemu-utils)"
    return None


def _capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0
