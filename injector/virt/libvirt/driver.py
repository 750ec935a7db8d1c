"""Station 4 on a libvirt host: a guest is made in order, one line a step, and undone whole when a step fails."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from injector.errors import Conflict, HostError, HypervisorRefused
from injector.images.cache import BaseCache
from injector.inject.channel import Delivery, Fitting, GuestDisk
from injector.model.generation import Difference, Inspection
from injector.model.guest import GuestVerdict
from injector.model.host import HostFacts, Verdict
from injector.model.ingredients import Device
from injector.model.instance import Instance, State, Step
from injector.model.plan import ChannelKind
from injector.model.preview import Preview
from injector.model.workspace import Workspace
from injector.settings import Settings
from injector.system.vault import Vault
from injector.virt import delivered, generations, injection, places
from injector.virt.back_ends import BackEnds
from injector.virt.driver import Asks, Enter, Given, Heard, Order, Spawned
from injector.virt.inspector import Inspector
from injector.virt.libvirt import disks, forwards, guest, kvm, medium, power, said, testimony
from injector.virt.libvirt.console import Console
from injector.virt.libvirt.domain import Blueprint, Kernel, RootDisk, domain_xml, hardware
from injector.virt.libvirt.ears import Ears
from injector.virt.libvirt.host import Domain, Host, Power
from injector.virt.libvirt.news import News
from injector.virt.libvirt.tagged import tagged

LOG = logging.getLogger(__name__)

_WITH_MEMORY = frozenset({Power.ON, Power.PAUSED})
"""Where QEMU holds the guest and its forwards."""


@dataclass(frozen=True, slots=True)
class _Build:
    """One boot on its way: what was ordered, where its files go, and whom to ask before each step."""

    order: Order
    workspace: Workspace
    enter: Enter

    @property
    def instance(self) -> Instance:
        return self.order.instance


@dataclass(frozen=True, slots=True)
class _Made:
    """What ``_create_image`` leaves: disks to start from, what is to be delivered, and the disks that takes."""

    disk: RootDisk
    kernel: Kernel | None
    delivery: Delivery
    fittings: tuple[Fitting, ...]


class LibvirtDriver:
    """Implements ``injector.virt.driver.Driver``. ``group`` is QEMU's (``Host.qemu_group``)."""

    def __init__(
        self,
        host: Host,
        settings: Settings,
        vault: Vault,
        cache: BaseCache,
        group: int | None,
        asks: Asks,
    ) -> None:
        self._host = host
        self._settings = settings
        self._group = group
        self._vault = vault
        self._reforward = asks.reforward
        self._disks = disks.Disks(cache, settings.images, group)
        self._console = Console(host)
        self._verdict: Verdict | None = None
        self._proving = threading.Lock()
        self._back_ends = BackEnds(settings, emulated=self._emulated)
        looking = self._back_ends.doors or (self._back_ends.quick,)
        self._inspector = Inspector(settings.facts_dir, looking, asks.image_report)
        self._injection = injection.offered(settings, vault, group, self._back_ends, self._inspector)
        self._drives = generations.Drives(injection.drive_channel(settings, vault, group), vault, asks.drive)
        self._news = News()
        self._ears: Ears | None = None

    # the boot

    def fetch(self, instance: Instance) -> None:
        self._disks.fetch(instance)

    def spawn(self, order: Order, enter: Enter) -> Spawned:
        with ExitStack() as undo:
            build = self._begin(order, enter, undo)
            self._fetch_images(build)
            made = self._create_image(build)
            domain = self._define(build, made)
            spawned = self._deliver(build, made, domain)
            self._start(build, domain)
            self._make_forwards(domain, order.instance)
            undo.pop_all()
        return spawned

    def _begin(self, order: Order, enter: Enter, undo: ExitStack) -> _Build:
        """A guest that is there already is not ours to make again, and not to undo."""
        self._nobody_has(order.instance.id)
        undo.callback(self._undo, order.instance.id)
        return _Build(order, self._workspace(order.instance.id), enter)

    def _nobody_has(self, instance_id: str) -> None:
        if self._host.anybodys(instance_id) is None:
            return
        if self._host.domain(instance_id) is None:
            raise HypervisorRefused("another installation has this guest on the same hypervisor")
        raise HypervisorRefused("the hypervisor has this guest already")

    def _fetch_images(self, build: _Build) -> None:
        build.enter(Step.IMAGE)
        places.make(build.workspace, self._group)
        self.fetch(build.instance)

    def _create_image(self, build: _Build) -> _Made:
        """The root disk from the image, then the choice: by which channel the guest receives its identity."""
        build.enter(Step.DISK)
        disk = self._disks.root(build.instance, build.workspace)
        kernel = self._disks.kernel(build.instance, build.workspace)
        delivery = self._injection.choose(build.order, build.workspace, _guest_disk(disk))
        return _Made(disk, kernel, delivery, self._injection.fittings(delivery))

    def _define(self, build: _Build, made: _Made) -> Domain:
        """libvirt would take the definition for a change of the one that somebody has made meanwhile."""
        build.enter(Step.DEFINE)
        self._nobody_has(build.instance.id)
        return self._host.define(self._domain_xml(build, made))

    def _domain_xml(self, build: _Build, made: _Made) -> str:
        blueprint = Blueprint(
            instance=build.instance,
            home=str(self._settings.instances_dir),
            hardware=hardware(build.instance.image),
            verdict=self._verdict_of_host(),
            disk=made.disk,
            console=build.workspace.console,
            fittings=made.fittings,
            kernel=made.kernel,
            cpu_model=self._settings.libvirt.cpu_model,
        )
        return domain_xml(blueprint)

    def _deliver(self, build: _Build, made: _Made, domain: Domain) -> Spawned:
        build.enter(Step.DELIVER)
        return self._injection.deliver(replace(made.delivery, devices=_tagged(build.instance, domain.xml)))

    def _start(self, build: _Build, domain: Domain) -> None:
        self._console.prepare(build.workspace)
        build.enter(Step.START)
        with self._news.by_us(build.instance.id, State.ACTIVE):
            power.switch_on(domain, self._settings.libvirt.start_timeout)

    def preview(self, order: Order) -> Preview:
        workspace = self._workspace(order.instance.id)
        disk, kernel = self._disks.planned(order.instance, workspace)
        delivery = self._injection.foresee(order, workspace, _guest_disk(disk))
        made = _Made(disk, kernel, delivery, self._injection.fittings(delivery))
        xml = self._domain_xml(_Build(order, workspace, _nowhere), made)
        devices = _tagged(order.instance, lambda: ElementTree.fromstring(xml))  # noqa: S314 - our own words
        return Preview(
            host=self._settings.host,
            plan=delivery.plan,
            files=self._injection.preview(replace(delivery, devices=devices)),
            domain_xml=xml,
        )

    def _undo(self, instance_id: str) -> None:
        """What cannot be undone now is found by ``local`` later; the failure that led here is the one to tell."""
        try:
            self.destroy(instance_id)
        except HostError as error:
            LOG.warning("instance %s: not undone yet: %s (%s)", instance_id, error, error.detail or "-")

    def recall(self, instance: Instance) -> Spawned | None:
        spawned = delivered.recall(self._workspace(instance.id), instance.attempt)
        if spawned is None:
            return None
        domain = self._host.domain(instance.id)
        if domain is None or domain.power().power not in _WITH_MEMORY:
            return None
        self._make_forwards(domain, instance)
        return spawned

    def destroy(self, instance_id: str) -> None:
        """The domain first: as long as it is there, its files are in use."""
        with self._news.ended_by_us(instance_id):
            domain = self._host.domain(instance_id)
            if domain is not None:
                domain.destroy()
                domain.undefine()
            places.remove(self._workspace(instance_id))

    # power

    def start(self, instance: Instance) -> None:
        domain = self._required(instance)
        if domain.power().power is Power.PAUSED or domain.saved:
            self._go_on(domain, instance)
        else:
            self._switch_on(domain, instance)

    def stop(self, instance: Instance) -> None:
        domain = self._required(instance)
        with self._news.by_us(instance.id, State.STOPPED):
            if not power.ask_to_end(domain, self._settings.libvirt.shutdown_timeout):
                domain.destroy()

    def reboot(self, instance: Instance, *, hard: bool) -> None:
        """Soft as in Nova, asked to end and started again: needs no agent, and shows that it was heard."""
        domain = self._required(instance)
        if hard or not power.ask_to_end(domain, self._settings.libvirt.shutdown_timeout):
            domain.destroy()
        domain.drop_saved()
        self._switch_on(domain, instance)

    def pause(self, instance: Instance) -> None:
        with self._news.by_us(instance.id, State.PAUSED):
            self._required(instance).pause()

    def unpause(self, instance: Instance) -> None:
        with self._news.by_us(instance.id, State.ACTIVE):
            self._required(instance).unpause()

    def suspend(self, instance: Instance) -> None:
        """What another call of this kind has begun may be complete by the time that libvirt refuses this one."""
        domain = self._required(instance)
        with self._news.by_us(instance.id, State.SUSPENDED):
            try:
                domain.save()
            except HypervisorRefused:
                if not _sleeps(domain):
                    raise

    def resume(self, instance: Instance) -> None:
        domain = self._required(instance)
        if domain.power().power is Power.OFF and not domain.saved:
            raise HypervisorRefused("the guest's saved memory is gone: it can only be started anew")
        self._go_on(domain, instance)

    def _go_on(self, domain: Domain, instance: Instance) -> None:
        """Where it was, with the drive it had: nothing of it is prepared as for a boot."""
        with self._news.by_us(instance.id, State.ACTIVE):
            if domain.power().power is Power.PAUSED:
                domain.unpause()
            else:
                if instance.inserted == instance.generation:
                    self._drives.mend(instance, self._workspace(instance.id))
                power.switch_on(domain, self._settings.libvirt.start_timeout)
        self._make_forwards(domain, instance)

    def state(self, instance_id: str) -> State | None:
        domain = self._host.domain(instance_id)
        if domain is None:
            return None
        match domain.power().power:
            case Power.OFF:
                return State.SUSPENDED if domain.saved else State.STOPPED
            case Power.PAUSED:
                return State.PAUSED
            case Power.ON | Power.ENDING:
                return State.ACTIVE

    def _switch_on(self, domain: Domain, instance: Instance) -> None:
        if domain.power().power is not Power.ON:
            self._see_to_the_drive(domain, instance)
            self._console.begin(self._workspace(instance.id))
            with self._news.by_us(instance.id, State.ACTIVE):
                power.switch_on(domain, self._settings.libvirt.start_timeout)
        self._make_forwards(domain, instance)

    def _see_to_the_drive(self, domain: Domain, instance: Instance) -> None:
        """It must be there as its receipt has it, and the definition must name it, whatever was interrupted before."""
        if not instance.generation:
            return
        self._drives.mend(instance, self._workspace(instance.id))
        drive = self._drive(instance.id, instance.generation)
        if not medium.named(domain, drive):
            medium.name(self._host, domain, drive, self._drives.current(instance).uuid)

    # another drive

    def refresh(self, instance: Instance) -> Given:
        """The definition first: a guest that cannot be given it now comes up with it."""
        domain, home = self._required(instance), self._workspace(instance.id)
        generation = self._drives.renew(instance, home, _tagged(instance, domain.xml))
        drive = self._drive(instance.id, generation.number)
        try:
            medium.name(self._host, domain, drive, generation.uuid)
        except HypervisorRefused:
            self._drives.give_up(instance, home)
            raise
        if domain.power().power is Power.OFF:
            return Given(generation, 0)
        changes = instance.plan is not None and instance.plan.medium_changes_live
        inserted = medium.insert(domain, drive) if changes else medium.has(domain, drive)
        return Given(generation, generation.number if inserted else instance.inserted)

    def prune(self, instance_id: str, inserted: int) -> None:
        self._drives.prune(instance_id, self._workspace(instance_id), inserted)

    def verify(self, instance: Instance) -> Inspection:
        home = self._workspace(instance.id)
        if instance.plan is None or instance.plan.channel is not ChannelKind.PARTITION:
            return self._drives.verify(instance, home)
        domain = self._required(instance)
        if domain.power().power is not Power.OFF or domain.saved:
            why = "its disk is its own while it runs or is suspended: stop it first"
            raise Conflict(f"Instance {instance.id} cannot be looked into now: {why}", field="server")
        disk, _ = self._disks.planned(instance, home)
        return self._injection.verify(instance, _guest_disk(disk))

    def differences(self, instance: Instance) -> tuple[Difference, ...]:
        tagged = _tagged(instance, self._required(instance).xml)
        return self._drives.differences(instance, self._workspace(instance.id), tagged)

    def _drive(self, instance_id: str, number: int) -> Path:
        return Workspace(self._settings.instances_dir, instance_id, number).config_drive

    def mend_forwards(self, instance: Instance) -> None:
        domain = self._host.domain(instance.id)
        if domain is not None and domain.power().power in _WITH_MEMORY:
            self._make_forwards(domain, instance)

    def _make_forwards(self, domain: Domain, instance: Instance) -> None:
        """libvirt's test driver has no QEMU behind it, and so nothing that could lead anywhere."""
        if instance.forwards and self._host.has_qemu:
            forwards.make(domain, instance, self._reforward)

    # what the guest says

    def console(self, instance_id: str, length: int) -> bytes:
        return self._console.tail(self._workspace(instance_id), length)

    def witness(self, instance: Instance) -> GuestVerdict | None:
        console = self._console.of_this_boot(self._workspace(instance.id), said.CONSOLE_BYTES)
        return guest.ask(self._host.domain(instance.id), console, instance.plan)

    def witnessed(self, instance: Instance) -> tuple[int, ...]:
        domain = self._host.domain(instance.id)
        if domain is None or instance.receipt is None:
            return ()
        return testimony.witnessed(guest.Agent(domain), instance, partial(self._vault.matches, instance.id))

    # the host

    def facts(self) -> HostFacts:
        has = self._host.inventory()
        space = os.statvfs(_existing(self._settings.instances_dir))
        return HostFacts(
            name=self._settings.host,
            hypervisor=has.kind,
            hypervisor_version=has.version,
            arch=has.arch,
            vcpus=has.vcpus,
            memory_mib=has.memory_mib,
            disk_gib=space.f_blocks * space.f_frsize // 1024**3,
            virt=self._verdict_of_host(),
            policy=self._settings.policy,
            carriages=self._injection.carriages,
            guests=len(self._host.ours()),
            reported_at=datetime.now(UTC),
            availability_zone=self._settings.availability_zone,
            back_ends=self._back_ends.found,
            reserved_mib=self._settings.compute.reserved_memory_mib,
        )

    def local(self) -> frozenset[str]:
        return places.ids(self._settings.instances_dir) | self._host.ours().keys()

    def listen(self, heard: Heard) -> None:
        def happened(instance_id: str, state: State | None) -> None:
            """Only the guests of this installation have a directory in it."""
            if not self._news.is_news(instance_id, state):
                return
            if self._workspace(instance_id).path.exists():
                heard(instance_id)
            else:
                self._news.forget(instance_id)

        def missed() -> None:
            self._news.forget_all()
            for instance_id in self.local():
                heard(instance_id)

        self._ears = Ears(self._host, happened, missed)
        self._ears.open()

    def close(self) -> None:
        if self._ears is not None:
            self._ears.close()
        self._back_ends.close()

    def _emulated(self) -> bool:
        return self._verdict_of_host().virt_type != "kvm"

    def _verdict_of_host(self) -> Verdict:
        """Decided once a process: a machine does not change its mind, and proving takes a second."""
        with self._proving:
            if self._verdict is None:
                self._verdict = kvm.decide(self._host, self._settings.libvirt, self._settings.instances_dir)
            return self._verdict

    def _required(self, instance: Instance) -> Domain:
        domain = self._host.domain(instance.id)
        if domain is None:
            raise HypervisorRefused("the hypervisor knows no such guest")
        return domain

    def _workspace(self, instance_id: str) -> Workspace:
        return Workspace(self._settings.instances_dir, instance_id)


def _sleeps(domain: Domain) -> bool:
    return domain.power().power is Power.OFF and domain.saved


def _guest_disk(disk: RootDisk) -> GuestDisk:
    return GuestDisk(disk.path, disk.base, disk.base_format.value)


def _nowhere(_: Step) -> None:
    """A preview enters no step."""


def _tagged(instance: Instance, description: Callable[[], Element]) -> tuple[Device, ...]:
    """Only a guest that has tags pays for being looked at again."""
    return tagged(description(), instance) if instance.has_tags else ()


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)
