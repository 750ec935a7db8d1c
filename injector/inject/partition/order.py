"""What a back end that is a program of its own is told on its standard input: which errand, on which disk, and how."""

from __future__ import annotations

import os
from dataclasses import dataclass

from injector.errors import InternalError
from injector.inject.channel import GuestDisk
from injector.inject.partition.errand import Inject, Look, Survey


@dataclass(frozen=True, slots=True)
class Order:
    """Exactly one of the errands is there. Paths are the host's; ``overlay`` is qcow2, ``base_format`` raw or qcow2.

    ``daemon`` is the process that wants it: without it the program ends too. ``directory`` is this errand's own and
    removed afterwards; ``cache`` is where an appliance is kept from errand to errand. ``emulated``: KVM is not to be
    tried. ``patience`` are the seconds in which a back end has to be ready for the guest.
    """

    daemon: int
    base: str
    base_format: str
    patience: float
    overlay: str | None = None
    directory: str = ""
    cache: str | None = None
    emulated: bool = False
    inject: Inject | None = None
    look: Look | None = None
    survey: Survey | None = None

    @property
    def errand(self) -> Inject | Look | Survey:
        errand = self.inject or self.look or self.survey
        if errand is None:
            raise InternalError("an order without an errand")
        return errand


def order(disk: GuestDisk, *, patience: float, cache: str | None = None, emulated: bool = False) -> Order:
    """For this disk, from this process; the errand is still to come."""
    overlay = None if disk.overlay is None else str(disk.overlay)
    return Order(os.getpid(), str(disk.base), disk.base_format, patience, overlay, cache=cache, emulated=emulated)
