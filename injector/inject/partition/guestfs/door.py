"""The daemon's door to ``guestfs``: an appliance for each errand, started and ended by a program of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import overload

from injector.errors import HostError
from injector.inject.channel import GuestDisk
from injector.inject.partition.errand import Inject, Injected, Look, Looked, Survey, Surveyed
from injector.inject.partition.order import order
from injector.inject.partition.program import Program
from injector.model.host import BackEnd
from injector.model.hostile import one_line
from injector.settings import PartitionSettings
from injector.system import process

NAME = "guestfs"

_SUITABLE = "injector.inject.partition.guestfs.suitable"
_LOOK = 20.0
_OPEN_FILES = 1024


class GuestfsDoor:
    """``Door``. The appliance is kept below ``directory``, of which nobody else needs anything.

    ``emulated``: what was found out about KVM does not speak for it. The appliance itself is never given a limit of
    memory: QEMU maps what it likes, and the guest behind it has a fixed amount.
    """

    def __init__(self, settings: PartitionSettings, directory: Path, *, emulated: bool) -> None:
        limits = process.Limits(open_files=_OPEN_FILES)
        self._program = Program(NAME, directory, settings.guestfs_deadline, limits)
        self._program.sweep()
        self._cache = directory / "appliance"
        self._emulated = emulated

    @property
    def name(self) -> str:
        return NAME

    def check(self) -> BackEnd:
        """A quick look at what an appliance is made of; starting one takes too long."""
        try:
            said = process.run(
                [sys.executable, "-P", "-m", _SUITABLE], purpose="look for libguestfs", limits=None, timeout=_LOOK
            )
        except HostError as error:
            return BackEnd(NAME, False, one_line(error.message))
        reason = one_line(said.stdout) or None
        return BackEnd(NAME, reason is None, reason)

    @overload
    def send(self, errand: Inject, disk: GuestDisk) -> Injected: ...

    @overload
    def send(self, errand: Look, disk: GuestDisk) -> Looked: ...

    @overload
    def send(self, errand: Survey, disk: GuestDisk) -> Surveyed: ...

    def send(self, errand: Inject | Look | Survey, disk: GuestDisk) -> Injected | Looked | Surveyed:
        self._cache.mkdir(0o700, parents=True, exist_ok=True)
        patience = self._program.timeout / 2
        manner = order(disk, patience=patience, cache=str(self._cache), emulated=self._emulated)
        return self._program.send(errand, disk, manner)

    def close(self) -> None:
        """Nothing is kept ready; errands under way end with the daemon."""
