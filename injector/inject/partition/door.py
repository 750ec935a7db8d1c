"""A back end as the daemon sees it: a door to another process, in which the guest's file system is read."""

from __future__ import annotations

from typing import Protocol, overload

from injector.inject.channel import GuestDisk
from injector.inject.partition.errand import Inject, Injected, Look, Looked, Survey, Surveyed
from injector.model.host import BackEnd


class Door(Protocol):
    """Calls may come from many threads. ``name`` is the operator's word, as in ``[injection] filesystems``.

    Whatever ``send`` returns or raises, everything it started has ended by then: no process, export, mount or lock is
    left, and another QEMU may open the overlay. Only an Inject opens the overlay to write; without an overlay the base
    is looked at alone. The base is never written.
    """

    @property
    def name(self) -> str: ...

    def check(self) -> BackEnd:
        """Whether it can work on this host, found out without a guest; never raises."""
        ...

    @overload
    def send(self, errand: Inject, disk: GuestDisk) -> Injected: ...

    @overload
    def send(self, errand: Look, disk: GuestDisk) -> Looked: ...

    @overload
    def send(self, errand: Survey, disk: GuestDisk) -> Surveyed: ...

    def send(self, errand: Inject | Look | Survey, disk: GuestDisk) -> Injected | Looked | Surveyed:
        """Have the errand done by a process of its own.

        CannotServe: another back end may. GuestUnreadable: damaged, or it took the process too much time or memory.
        ItemRefused names the item. ChannelBroken and NoSpace: this host is at fault.
        """
        ...

    def close(self) -> None:
        """End what is kept ready; errands under way fail."""
        ...
