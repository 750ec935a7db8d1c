"""The back ends of partition injection on one host: opened in the operator's order, looked at once, ended together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from injector.inject.partition.crew.crew import Crew
from injector.inject.partition.door import Door
from injector.inject.partition.guestfs.door import GuestfsDoor
from injector.inject.partition.mounted.door import MountedDoor
from injector.model.host import BackEnd
from injector.settings import Settings

LOG = logging.getLogger(__name__)

_IDLE = 60.0


class BackEnds:
    """``emulated``: whether guests do without KVM here. None is looked at while partition injection is off."""

    def __init__(self, settings: Settings, *, emulated: Callable[[], bool]) -> None:
        off = settings.policy.inject_partition == -2
        # Then it only has a look at a new image now and then.
        idle = _IDLE if off else None
        self.quick: Door = Crew(settings.partition, images=settings.instances_dir, bases=settings.base_dir, idle=idle)
        """Costs milliseconds, and can be asked for any boot."""
        wanted = () if off else settings.partition.filesystems
        makers: Mapping[str, Callable[[], Door]] = {
            "ext": lambda: self.quick,
            "guestfs": lambda: GuestfsDoor(settings.partition, settings.state_dir / "guestfs", emulated=emulated()),
            "mounted": lambda: MountedDoor(settings.partition, settings.state_dir / "mounted"),
        }
        doors = {name: makers[name]() for name in wanted}
        self.found: tuple[BackEnd, ...] = tuple(door.check() for door in doors.values())
        self.doors: tuple[Door, ...] = tuple(doors[one.name] for one in self.found if one.available)
        for one in self.found:
            if not one.available:
                LOG.warning("partition injection: %s is not available: %s", one.name, one.reason)

    def close(self) -> None:
        for door in {id(door): door for door in (self.quick, *self.doors)}.values():
            door.close()
