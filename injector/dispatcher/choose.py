"""Which host builds a guest: a pure choice among the hosts that can carry it and have room, the least loaded first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from injector.errors import GuestUnreadable, NoHost, Undeliverable
from injector.inject import plan
from injector.inject.plan import Asked
from injector.model.flavor import Flavor
from injector.model.host import HostFacts, HostRecord, Room
from injector.settings import DispatcherSettings

_NAME = "host"
_CAPABILITIES: Mapping[str, Callable[[HostFacts], str]] = {
    "arch": lambda facts: facts.arch,
    "hypervisor": lambda facts: facts.hypervisor,
    "virt_type": lambda facts: facts.virt.virt_type,
    _NAME: lambda facts: facts.name,
}
"""What a flavor may ask for as ``capabilities:<name>`` in its extra specs; compared without regard to case."""

_IMAGE_CAPABILITIES = {
    "hw_architecture": "arch",
    "architecture": "arch",
    "img_hv_type": "hypervisor",
    "hypervisor_type": "hypervisor",
}
"""Properties of images, as Glance names them, and the capability that each asks for."""

_PREFIX = "capabilities:"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One guest looking for a host: what it asks for, its size, its zone, and the hosts already tried."""

    asked: Asked
    flavor: Flavor
    availability_zone: str | None = None
    tried: tuple[str, ...] = ()

    @property
    def need(self) -> Room:
        return self.flavor.need(self.asked.image.virtual_size)


def room_of(facts: HostFacts, settings: DispatcherSettings) -> Room:
    """What a host may promise: what it has, without what it keeps for itself, times the operator's ratios."""
    return Room(
        vcpus=int(facts.vcpus * settings.cpu_allocation_ratio),
        ram=int(max(facts.memory_mib - facts.reserved_mib, 0) * settings.ram_allocation_ratio),
        disk=int(facts.disk_gib * settings.disk_allocation_ratio),
    )


def choose(wanted: Wanted, hosts: Collection[HostRecord]) -> HostRecord:
    """The host; NoHost when none of these is left or has room; else as ``able``."""
    return least_loaded(wanted, able(wanted, hosts))


def able(wanted: Wanted, hosts: Collection[HostRecord]) -> list[HostRecord]:
    """Those of them that can build it, had they the room, in the order given; NoHost when none of these is left.

    Undeliverable when hosts are left but none of them can carry what was asked; GuestUnreadable when that is because
    the image has not what their operator names.
    """
    left = [host for host in hosts if host.facts.name not in wanted.tried and _in_zone(wanted, host.facts)]
    if not left:
        raise NoHost("no host is left to try", field="availability_zone")
    return _carrying(wanted, _suitable(wanted, left))


def least_loaded(wanted: Wanted, hosts: Collection[HostRecord]) -> HostRecord:
    """Of those with room, and of several the first by name; NoHost when none has room."""
    need = wanted.need
    roomy = [host for host in hosts if host.usage.leaves(host.room, need)]
    if not roomy:
        raise no_room(wanted)
    return min(roomy, key=lambda host: (host.load, host.facts.name))


def could_build(wanted: Wanted, facts: HostFacts) -> bool:
    """Whether hosts of its kind are what image and flavor ask for, and can carry what is to be injected.

    False for a kind is final: only a flavor that names one host is about that host, and True here for any.
    """
    asked = {name: value for name, value in _capabilities(wanted).values() if name != _NAME}
    if not all(_has(facts, name, value) for name, value in asked.items()):
        return False
    try:
        plan.choose(wanted.asked, facts.policy, facts.carriages)
    except (Undeliverable, GuestUnreadable):
        return False
    return True


def no_room(wanted: Wanted) -> NoHost:
    need = wanted.need
    return NoHost(f"no host has {need.vcpus} vCPUs, {need.ram} MiB and {need.disk} GiB left", field="flavor")


def _in_zone(wanted: Wanted, facts: HostFacts) -> bool:
    return wanted.availability_zone in (None, facts.availability_zone)


def _suitable(wanted: Wanted, hosts: Collection[HostRecord]) -> list[HostRecord]:
    """Those that are what image and flavor ask for; NoHost naming the property when none is."""
    asked = _capabilities(wanted)
    suitable = [host for host in hosts if all(_has(host.facts, name, value) for name, value in asked.values())]
    if suitable:
        return suitable
    missing = [
        said for said, (name, value) in asked.items() if not any(_has(host.facts, name, value) for host in hosts)
    ]
    what = ", ".join(f"{said} = {asked[said][1]}" for said in missing) or "all that image and flavor ask for"
    raise NoHost(f"no host has {what}", field="image" if set(missing) & _IMAGE_CAPABILITIES.keys() else "flavor")


def _capabilities(wanted: Wanted) -> dict[str, tuple[str, str]]:
    """By the word that asks: the capability and the value that it must have."""
    asked = {
        said: (_IMAGE_CAPABILITIES[said], value)
        for said, value in wanted.asked.image.properties.items()
        if said in _IMAGE_CAPABILITIES
    }
    specs = wanted.flavor.extra_specs.items()
    return asked | {said: (said.removeprefix(_PREFIX), value) for said, value in specs if said.startswith(_PREFIX)}


def _has(facts: HostFacts, name: str, value: str) -> bool:
    told = _CAPABILITIES.get(name)
    return told is not None and told(facts).lower() == value.lower()


def _carrying(wanted: Wanted, hosts: Collection[HostRecord]) -> list[HostRecord]:
    """Hosts of one policy and the same channels decide alike, and a cloud has few kinds of them."""
    able: list[HostRecord] = []
    refusal: Undeliverable | GuestUnreadable | None = None
    known: dict[object, bool] = {}
    for host in hosts:
        kind = (host.facts.policy, host.facts.carriages)
        if kind not in known:
            try:
                plan.choose(wanted.asked, host.facts.policy, host.facts.carriages)
                known[kind] = True
            except (Undeliverable, GuestUnreadable) as error:
                refusal, known[kind] = refusal or error, False
        if known[kind]:
            able.append(host)
    if not able and refusal is not None:
        raise refusal
    return able
