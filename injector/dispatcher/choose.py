"""Which host builds a guest: a pure choice among the hosts that can carry it and have room, the least loaded first."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from injector.errors import GuestUnreadable, NoHost, Undeliverable
from injector.inject import plan
from injector.inject.plan import Asked
from injector.model.flavor import Flavor
from injector.model.host import HostFacts, Usage
from injector.settings import DispatcherSettings


@dataclass(frozen=True, slots=True)
class Wanted:
    """One guest looking for a host: what it asks for, its size, its zone, and the hosts already tried."""

    asked: Asked
    flavor: Flavor
    availability_zone: str | None = None
    tried: tuple[str, ...] = ()


def choose(
    wanted: Wanted, hosts: Collection[HostFacts], usage: Mapping[str, Usage], settings: DispatcherSettings
) -> HostFacts:
    """The host; NoHost when none is left or has room.

    Undeliverable when hosts are left but none of them can carry what was asked; GuestUnreadable when that is because
    the image has not what their operator names.
    """
    if not hosts:
        raise NoHost("no host has reported itself yet")
    left = [host for host in hosts if host.name not in wanted.tried and _in_zone(wanted, host)]
    if not left:
        raise NoHost("no host is left to try", field="availability_zone")
    carrying = _carrying(wanted, left)
    roomy = [host for host in carrying if _has_room(wanted, host, usage.get(host.name, Usage()), settings)]
    if not roomy:
        flavor = wanted.flavor
        raise NoHost(f"no host has {flavor.vcpus} vCPUs and {flavor.ram} MiB left", field="flavor")
    return min(roomy, key=lambda host: (_load(host, usage.get(host.name, Usage())), host.name))


def _in_zone(wanted: Wanted, host: HostFacts) -> bool:
    return wanted.availability_zone in (None, host.availability_zone)


def _carrying(wanted: Wanted, hosts: Collection[HostFacts]) -> list[HostFacts]:
    able: list[HostFacts] = []
    refusal: Undeliverable | GuestUnreadable | None = None
    for host in hosts:
        try:
            plan.choose(wanted.asked, host.policy, host.carriages)
            able.append(host)
        except (Undeliverable, GuestUnreadable) as error:
            refusal = refusal or error
    if not able and refusal is not None:
        raise refusal
    return able


def _has_room(wanted: Wanted, host: HostFacts, used: Usage, settings: DispatcherSettings) -> bool:
    flavor = wanted.flavor
    processors = host.vcpus * settings.cpu_allocation_ratio - used.vcpus
    memory = host.memory_mib * settings.ram_allocation_ratio - used.ram
    return flavor.vcpus <= processors and flavor.ram <= memory


def _load(host: HostFacts, used: Usage) -> float:
    return used.ram / max(host.memory_mib, 1)
