"""An honest hypervisor in memory: no guest runs, and all the rest is as on a host.

Images go through the real cache, identities through the real channels, forwards hold their real ports. What a
hypervisor would refuse is refused: a second guest of one id, a power action on a guest it does not know, a machine
that cannot be built, a start without its disks. Two things are simpler than on libvirt: the root disk is a sparse file
instead of an overlay, and the "guest" that looks for its drive and says on its console what it found is a line of
Python. Guests end with the process; their directories are found by the next one, as those of a host that crashed.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from injector.errors import HypervisorRefused
from injector.images.cache import BaseCache
from injector.images.fit import root_disk_bytes
from injector.inject.channel import Delivery
from injector.model.generation import Difference, Inspection
from injector.model.guest import GuestVerdict
from injector.model.host import HostFacts, Verdict
from injector.model.ingredients import Bus, Device
from injector.model.instance import Instance, State, Step
from injector.model.network import Forward, NetworkKind
from injector.model.preview import Preview
from injector.model.workspace import Workspace
from injector.settings import Settings
from injector.system import files
from injector.system.vault import Vault
from injector.virt import delivered, generations, injection, places
from injector.virt.driver import Asks, Enter, Given, Heard, Order, Spawned
from injector.virt.libvirt import said
from injector.virt.libvirt.domain import hardware
from injector.virt.libvirt.domain.storage import serial_of

_VERDICT = Verdict("test", "none", "nothing runs: the hypervisor is a fake", proven=False)
_TRIES = 10
_MIB = 1024**2


@dataclass(slots=True)
class _Guest:
    """A "domain": the files it needs to start, what it does, and the ports it listens on while it is on.

    ``drive`` is the config drive that its definition names, ``inserted`` the one that it runs with.
    """

    disk: Path
    drive: Path | None
    state: State = State.STOPPED
    inserted: Path | None = None
    console_begins: int = 0
    doors: dict[Forward, socket.socket] = field(default_factory=dict)

    @property
    def on(self) -> bool:
        return self.state in (State.ACTIVE, State.PAUSED)


class FakeDriver:
    """Implements ``injector.virt.driver.Driver``."""

    def __init__(self, settings: Settings, vault: Vault, cache: BaseCache, asks: Asks) -> None:
        self._settings = settings
        self._cache = cache
        self._reforward = asks.reforward
        self._injection = injection.offered(settings, vault, None)
        self._drives = generations.Drives(injection.drive_channel(settings, vault, None), vault, asks.drive)
        self._mutex = threading.Lock()
        self._guests: dict[str, _Guest] = {}
        self._heard: Heard | None = None

    def facts(self) -> HostFacts:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MIB
        return HostFacts(
            name=self._settings.host,
            hypervisor="fake",
            hypervisor_version="0",
            arch=platform.machine(),
            vcpus=os.cpu_count() or 1,
            memory_mib=memory,
            disk_gib=shutil.disk_usage("/").total // 1024**3,
            virt=_VERDICT,
            policy=self._settings.policy,
            carriages=self._injection.carriages,
            guests=len(self._guests),
            reported_at=datetime.now(UTC),
            availability_zone=self._settings.availability_zone,
            reserved_mib=self._settings.compute.reserved_memory_mib,
        )

    def fetch(self, instance: Instance) -> None:
        for image in (instance.image, instance.kernel, instance.ramdisk):
            if image is not None:
                self._cache.base(image)

    def spawn(self, order: Order, enter: Enter) -> Spawned:
        with self._undone_on_failure(order.instance):
            enter(Step.IMAGE)
            places.make(self._workspace(order.instance.id), None)
            self.fetch(order.instance)
            enter(Step.DISK)
            delivery = self._create_image(order)
            enter(Step.DEFINE)
            guest = self._define(delivery)
            enter(Step.DELIVER)
            spawned = self._injection.deliver(replace(delivery, devices=_devices(order.instance)))
            enter(Step.START)
            self._switch_on(guest, order.instance)
            self._open_doors(guest, order.instance)
        return spawned

    def preview(self, order: Order) -> Preview:
        hardware(order.instance.image)
        delivery = self._injection.choose(order, self._workspace(order.instance.id))
        files = self._injection.preview(replace(delivery, devices=_devices(order.instance)))
        return Preview(self._settings.host, delivery.plan, files, "<domain type='fake'/>")

    def listen(self, heard: Heard) -> None:
        self._heard = heard

    def befall(self, instance_id: str, state: State | None) -> None:
        """What happens to a guest by itself or by somebody else's hand: it becomes that, or is undefined (None)."""
        guest = self._guests[instance_id]
        if state is None:
            with self._mutex:
                del self._guests[instance_id]
        if state is State.SUSPENDED:
            _save(guest)
        elif state in (State.STOPPED, None):
            _switch_off(guest)
        else:
            guest.state = state
        if self._heard is not None:
            self._heard(instance_id)

    def close(self) -> None:
        """Nothing is kept running."""
        self._heard = None

    @contextmanager
    def _undone_on_failure(self, instance: Instance) -> Iterator[None]:
        if instance.id in self._guests:
            raise HypervisorRefused("the hypervisor has this guest already")
        with ExitStack() as undo:
            undo.callback(self.destroy, instance.id)
            yield
            undo.pop_all()

    def _create_image(self, order: Order) -> Delivery:
        workspace = self._workspace(order.instance.id)
        with files.disk_full("make the root disk"), workspace.disk.open("xb") as disk:
            disk.truncate(root_disk_bytes(order.instance.image, order.instance.flavor))
        return self._injection.choose(order, workspace)

    def _define(self, delivery: Delivery) -> _Guest:
        hardware(delivery.instance.image)
        fittings = self._injection.fittings(delivery)
        guest = _Guest(delivery.workspace.disk, next((fitting.path for fitting in fittings), None))
        with self._mutex:
            self._guests[delivery.instance.id] = guest
        return guest

    def recall(self, instance: Instance) -> Spawned | None:
        guest = self._guests.get(instance.id)
        if guest is None or not guest.on:
            return None
        spawned = delivered.recall(self._workspace(instance.id), instance.attempt)
        if spawned is not None:
            self._open_doors(guest, instance)
        return spawned

    def destroy(self, instance_id: str) -> None:
        with self._mutex:
            guest = self._guests.pop(instance_id, None)
        if guest is not None:
            _switch_off(guest)
        places.remove(self._workspace(instance_id))

    def start(self, instance: Instance) -> None:
        guest = self._required(instance)
        if guest.state in (State.PAUSED, State.SUSPENDED):
            self._go_on(guest, instance)
        self._switch_on(guest, instance)
        self._open_doors(guest, instance)

    def stop(self, instance: Instance) -> None:
        guest = self._required(instance)
        if guest.on:
            _switch_off(guest)

    def reboot(self, instance: Instance, *, hard: bool) -> None:  # noqa: ARG002 - this guest always listens
        _switch_off(self._required(instance))
        self.start(instance)

    def pause(self, instance: Instance) -> None:
        guest = self._required(instance)
        if not guest.on:
            raise HypervisorRefused("the guest is not running")
        guest.state = State.PAUSED

    def unpause(self, instance: Instance) -> None:
        guest = self._required(instance)
        if not guest.on:
            raise HypervisorRefused("the guest is not running")
        guest.state = State.ACTIVE

    def suspend(self, instance: Instance) -> None:
        guest = self._required(instance)
        if guest.on:
            _save(guest)
        if guest.state is not State.SUSPENDED:
            raise HypervisorRefused("the guest is not running")

    def resume(self, instance: Instance) -> None:
        guest = self._required(instance)
        if guest.state is State.STOPPED:
            raise HypervisorRefused("the guest's saved memory is gone: it can only be started anew")
        self._go_on(guest, instance)
        self._open_doors(guest, instance)

    def _go_on(self, guest: _Guest, instance: Instance) -> None:
        """With the drive that its memory knows of."""
        if instance.inserted == instance.generation:
            self._drives.mend(instance, self._workspace(instance.id))
        if guest.inserted is not None and not guest.inserted.is_file():
            raise HypervisorRefused(f"the guest cannot go on: {guest.inserted.name} is missing")
        guest.state = State.ACTIVE

    def refresh(self, instance: Instance) -> Given:
        guest, home = self._required(instance), self._workspace(instance.id)
        if guest.drive is None:
            raise HypervisorRefused("the guest's definition names no config drive")
        generation = self._drives.renew(instance, home, _devices(instance))
        guest.drive = replace(home, generation=generation.number).config_drive
        if guest.on and instance.plan is not None and instance.plan.medium_changes_live:
            guest.inserted = guest.drive
        if not guest.on:
            return Given(generation, 0)
        return Given(generation, generation.number if guest.inserted == guest.drive else instance.inserted)

    def prune(self, instance_id: str, inserted: int) -> None:
        self._drives.prune(instance_id, self._workspace(instance_id), inserted)

    def verify(self, instance: Instance) -> Inspection:
        return self._drives.verify(instance, self._workspace(instance.id))

    def differences(self, instance: Instance) -> tuple[Difference, ...]:
        return self._drives.differences(instance, self._workspace(instance.id))

    def state(self, instance_id: str) -> State | None:
        guest = self._guests.get(instance_id)
        return None if guest is None else guest.state

    def mend_forwards(self, instance: Instance) -> None:
        guest = self._guests.get(instance.id)
        if guest is not None and guest.on:
            self._open_doors(guest, instance)

    def console(self, instance_id: str, length: int) -> bytes:
        try:
            return self._workspace(instance_id).console.read_bytes()[-length:] if length > 0 else b""
        except FileNotFoundError:
            return b""

    def witness(self, instance: Instance) -> GuestVerdict | None:
        guest = self._guests.get(instance.id)
        if guest is None:
            return None
        heard = self._workspace(instance.id).console.read_bytes()[guest.console_begins :]
        verdict = said.on_console(heard, instance.plan)
        return verdict and replace(verdict, at=datetime.now(UTC))

    def witnessed(self, instance: Instance) -> tuple[int, ...]:  # noqa: ARG002 - nobody is there who could show it
        return ()

    def local(self) -> frozenset[str]:
        return places.ids(self._settings.instances_dir) | self._guests.keys()

    def _switch_on(self, guest: _Guest, instance: Instance) -> None:
        if guest.on:
            return
        if instance.generation:
            home = self._workspace(instance.id)
            self._drives.mend(instance, home)
            guest.drive = replace(home, generation=instance.generation).config_drive
        missing = [path.name for path in (guest.disk, guest.drive) if path is not None and not path.is_file()]
        if missing:
            raise HypervisorRefused(f"the guest cannot be started: {', '.join(missing)} is missing")
        with self._workspace(instance.id).console.open("ab") as console:
            guest.console_begins = console.tell()
            console.write(b"the fake guest found its disks\n" + said.MARKER.encode() + b'{"status": "done"}\n')
        guest.state, guest.inserted = State.ACTIVE, guest.drive

    def _open_doors(self, guest: _Guest, instance: Instance) -> None:
        on_user_networks = {nic.mac for nic in instance.nics if nic.network.kind is NetworkKind.USER}
        for forward in instance.forwards:
            if forward.mac in on_user_networks and forward not in guest.doors:
                self._open_door(guest, instance, forward)

    def _open_door(self, guest: _Guest, instance: Instance, forward: Forward) -> None:
        for _ in range(_TRIES):
            try:
                guest.doors[forward] = socket.create_server(("127.0.0.1", forward.host_port))
                return
            except OSError:
                forward = self._reforward(instance.id, instance.attempt, forward)
        raise HypervisorRefused(f"no free port for a forward to port {forward.guest_port} was found")

    def _required(self, instance: Instance) -> _Guest:
        guest = self._guests.get(instance.id)
        if guest is None:
            raise HypervisorRefused("the hypervisor knows no such guest")
        return guest

    def _workspace(self, instance_id: str) -> Workspace:
        return Workspace(self._settings.instances_dir, instance_id)


def _devices(instance: Instance) -> tuple[Device, ...]:
    """Addresses in the order of the devices, as a machine with one bus would have them."""
    slots = (f"0000:00:{slot:02x}.0" for slot in count(2))
    tag, cards = instance.disk_tag, [nic for nic in instance.nics if nic.tag]
    disk = (Device("disk", Bus.PCI, next(slots), (tag,), serial=serial_of(instance)),) if tag else ()
    return disk + tuple(Device("nic", Bus.PCI, next(slots), (str(nic.tag),), mac=nic.mac) for nic in cards)


def _switch_off(guest: _Guest) -> None:
    for door in guest.doors.values():
        door.close()
    guest.doors.clear()
    guest.state, guest.inserted = State.STOPPED, None


def _save(guest: _Guest) -> None:
    inserted = guest.inserted
    _switch_off(guest)
    guest.state, guest.inserted = State.SUSPENDED, inserted
