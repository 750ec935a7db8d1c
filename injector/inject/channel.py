"""The promise every injection channel keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from injector.model.facts import ImageFacts
from injector.model.ingredients import Device, Ingredients
from injector.model.instance import Instance
from injector.model.payload import Payload
from injector.model.plan import Carriage, Plan
from injector.model.receipt import Receipt
from injector.model.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Fitting:
    """A disk that the channel wants in the domain: a read-only raw file. ``device`` is ``cdrom`` or ``disk``."""

    path: Path
    device: str
    bus: str


@dataclass(frozen=True, slots=True)
class GuestDisk:
    """The root disk: a qcow2 ``overlay`` over ``base``, whose format is raw or qcow2; ``facts`` of the image in it.

    Without an overlay it is the image alone, to be looked into.
    """

    overlay: Path | None
    base: Path
    base_format: str
    facts: ImageFacts | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """Everything one delivery needs: the record, the payload in clear, the plan and the place on this host.

    ``devices`` are those with a tag, as the hypervisor made them. ``ingredients`` are what the channel gathered, or
    what it had gathered when it made the same before, or the one before this. ``rehearsal``: nothing will come of it,
    so nobody outside this host is to be told or asked. ``disk`` is None where none was made.
    """

    instance: Instance
    payload: Payload
    plan: Plan
    workspace: Workspace
    devices: tuple[Device, ...] = ()
    ingredients: Ingredients | None = None
    rehearsal: bool = False
    disk: GuestDisk | None = None


class Channel(Protocol):
    """One way into a guest. What it cannot carry is found out by ``plan.choose`` before anything is touched."""

    @property
    def carriage(self) -> Carriage:
        """What this channel can carry, for the choice."""
        ...

    def fittings(self, plan: Plan, workspace: Workspace) -> tuple[Fitting, ...]:
        """The disks the domain must have for this delivery."""
        ...

    def gather(self, delivery: Delivery) -> Ingredients | None:
        """What must be kept beside record and payload to make the same again; None when that is nothing."""
        ...

    def contents(self, delivery: Delivery) -> Mapping[str, bytes]:
        """What would be delivered, by its place on the channel; nothing is written."""
        ...

    def deliver(self, delivery: Delivery) -> Receipt:
        """Write, read back by another path than the writer's, compare item by item.

        Raises ChannelBroken when what was read is not what was asked, NoSpace when the disk is full.
        """
        ...
