"""The promise every hypervisor driver keeps; the contract suite runs over all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from injector.model.facts import ImageFacts
from injector.model.generation import Difference, Drive, Generation, Inspection
from injector.model.guest import GuestVerdict
from injector.model.host import HostFacts
from injector.model.instance import Instance, State, Step
from injector.model.network import Forward
from injector.model.payload import Payload
from injector.model.plan import Plan
from injector.model.preview import Preview
from injector.model.receipt import Receipt


@dataclass(frozen=True, slots=True)
class Order:
    """One guest to make: the record, and its payload in clear."""

    instance: Instance
    payload: Payload


@dataclass(frozen=True, slots=True)
class Spawned:
    """What was decided, what was delivered and read back, and the config drive's generation if there is a drive."""

    plan: Plan
    receipt: Receipt
    generation: Generation | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """Another drive that a guest was given; ``inserted`` is the number of the one it runs with, 0 when it is off."""

    generation: Generation
    inserted: int


Enter = Callable[[Step], None]
"""Called before the first effect of each step; raises StaleError when the build must be let go, Unanswered when nobody
says whether it must."""


Heard = Callable[[str], None]
"""Called with an instance's id, from any thread; it must be quick, and must not ask the driver anything."""


class Driver(Protocol):
    """All calls may come from several threads at once, but never two for one instance.

    Every method raises errors of ``injector.errors`` only: HostError when this host cannot, GuestError when the image
    is at fault, Undeliverable when an item cannot be brought in; StaleError and Unanswered are passed through from
    ``enter`` and from what is asked (``Asks``).
    """

    def facts(self) -> HostFacts:
        """What this host is and can carry, looked at now."""
        ...

    def fetch(self, instance: Instance) -> None:
        """Have every image of the guest on this host, where ``spawn`` finds it; a guest that is there is not touched.

        ImageUnavailable or NoSpace when that cannot be.
        """
        ...

    def spawn(self, order: Order, enter: Enter) -> Spawned:
        """Make, define, deliver and start; on any failure all of it is undone before the error leaves."""
        ...

    def preview(self, order: Order) -> Preview:
        """What ``spawn`` would do with this order; nothing is made, fetched or defined.

        Raises what ``spawn`` would before its first effect.
        """
        ...

    def recall(self, instance: Instance) -> Spawned | None:
        """What an interrupted spawn had completed, if its guest runs and its receipt was kept; else None."""
        ...

    def destroy(self, instance_id: str) -> None:
        """Leave nothing: domain, files, forwards. Destroying what is not there is no error."""
        ...

    def start(self, instance: Instance) -> None:
        """Start a stopped guest; its forwards work again when this returns. Starting a running guest is no error.

        One that somebody has paused or suspended goes on where it was.
        """
        ...

    def stop(self, instance: Instance) -> None:
        """Ask the guest to power off; when it has not within ``shutdown_timeout``, pull the plug.

        A paused guest would not hear it, and is not asked. A suspended one is off, and keeps its memory.
        """
        ...

    def reboot(self, instance: Instance, *, hard: bool) -> None:
        """Soft: the guest restarts itself (hard when it does not within ``shutdown_timeout``). Hard: power cycle.

        The config drive stays as it is; a lost one is made again, here and by ``start``, before the guest comes up.
        A hard reboot of a paused or a suspended guest is a boot as well: what its memory held is lost.
        """
        ...

    def pause(self, instance: Instance) -> None:
        """Stop the guest's processors; its memory and its forwards stay. Pausing a paused guest is no error."""
        ...

    def unpause(self, instance: Instance) -> None:
        """Have a paused guest go on. No error when it runs."""
        ...

    def suspend(self, instance: Instance) -> None:
        """Write the guest's memory to the host's disk and power it off; no error when that was done.

        NoSpace when the disk is full: then the guest goes on.
        """
        ...

    def resume(self, instance: Instance) -> None:
        """Have a suspended guest go on where it was; its forwards work again when this returns. No error when it runs.

        HypervisorRefused when its memory is not kept any more: it is stopped then.
        """
        ...

    def state(self, instance_id: str) -> State | None:
        """ACTIVE, PAUSED, SUSPENDED or STOPPED as the hypervisor sees it; None when it knows no such guest.

        PAUSED is also a guest that the hypervisor has paused by itself, as it does when the host's disk is full.
        """
        ...

    def listen(self, heard: Heard) -> None:
        """From now on call ``heard`` when a guest has changed by itself, or by somebody else's hand. Asked once.

        Started, stopped, crashed, paused, gone on, or gone: ``state`` tells which. After a time in which the
        hypervisor could not be heard, it is called for every local instance. It may also be called in vain.
        """
        ...

    def refresh(self, instance: Instance) -> Given:
        """Make the drive that ``instance.refresh`` asks for, or go back to it, and have the definition name it.

        A running guest is given it as another medium where its plan says that this can be; where it cannot, or the
        guest holds on to the one it has, it comes with the next cold start. May be repeated. On failure the guest
        keeps what it has; NotFound when the generation to go back to is kept no more.
        """
        ...

    def prune(self, instance_id: str, inserted: int) -> None:
        """Remove the files of drives that are kept no more, except ``inserted``, which the guest runs with."""
        ...

    def verify(self, instance: Instance) -> Inspection:
        """Compare the current drive with its receipt, or the files of a partition that was injected.

        NotFound when there is nothing to compare; Conflict while a guest runs whose partition is to be looked at.
        """
        ...

    def differences(self, instance: Instance) -> tuple[Difference, ...]:
        """What a refresh now would change on the drive; NotFound when there is none."""
        ...

    def mend_forwards(self, instance: Instance) -> None:
        """Make those forwards of a running or paused guest that are missing; for a daemon that was restarted."""
        ...

    def console(self, instance_id: str, length: int) -> bytes:
        """The last ``length`` bytes of the console's log, as the guest wrote them (hostile); empty if none."""
        ...

    def witness(self, instance: Instance) -> GuestVerdict | None:
        """What the guest says of its boot, by agent or console marker; None when it does not speak."""
        ...

    def witnessed(self, instance: Instance) -> tuple[int, ...]:
        """The lines of ``instance.receipt`` whose content the guest shows to have; asked after its boot was done."""
        ...

    def local(self) -> frozenset[str]:
        """Ids of every instance of ours with a domain or a directory on this host."""
        ...

    def close(self) -> None:
        """End what is kept running for the driver's own use; guests go on."""
        ...


Reforward = Callable[[str, int, Forward], Forward]
"""Asks for another host port for a forward of an instance (id, attempt) whose port turned out to be taken.

The new one is on the record when this returns.
"""


@dataclass(frozen=True, slots=True)
class Asks:
    """What a driver asks or tells the dispatcher in the middle of its work.

    ``drive``: what makes an instance's drives again. ``image_report``: what was found in the image of a digest.
    """

    reforward: Reforward
    drive: Callable[[str], Drive]
    image_report: Callable[[str, ImageFacts], None]
