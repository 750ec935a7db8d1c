"""What one compute host is and can carry, as it reports itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from injector.model.plan import Carriage


@dataclass(frozen=True, slots=True)
class InjectionPolicy:
    """The operator's decisions that bear on the choice of channel, as Nova names them.

    ``linux_password``: which passwords Linux guests are told by a drive (given | always | never); ``drive_password``:
    whether drives hold ``admin_pass``.
    """

    force_config_drive: bool = True
    inject_partition: int = -2
    inject_key: bool = False
    inject_password: bool = False
    undeliverable: str = "refuse"
    drive_format: str = "iso9660"
    linux_password: str = "given"
    drive_password: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether KVM was proven: ``virt_type`` is ``kvm``, ``qemu`` or ``test``, ``reason`` says what was seen."""

    virt_type: str
    cpu_mode: str
    reason: str
    proven: bool


@dataclass(frozen=True, slots=True)
class BackEnd:
    """A back end of partition injection on this host, as it was found at start; ``reason`` says why it is missing."""

    name: str
    available: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Inventory in processors, MiB and GiB; ``carriages`` what each channel here can carry.

    ``back_ends`` of partition injection, in the order in which they are tried. ``reserved_mib`` of the memory is the
    host's own.
    """

    name: str
    hypervisor: str
    hypervisor_version: str
    arch: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    virt: Verdict
    policy: InjectionPolicy
    carriages: tuple[Carriage, ...]
    guests: int
    reported_at: datetime
    availability_zone: str = "nova"
    back_ends: tuple[BackEnd, ...] = ()
    reserved_mib: int = 0

    @property
    def kind(self) -> HostKind:
        return HostKind(self.arch, self.hypervisor, self.virt.virt_type, self.policy, self.carriages)


@dataclass(frozen=True, slots=True)
class HostKind:
    """All that decides whether a host can build a guest, without its name, its zone and its room: a cloud has few."""

    arch: str
    hypervisor: str
    virt_type: str
    policy: InjectionPolicy
    carriages: tuple[Carriage, ...]


@dataclass(frozen=True, slots=True)
class Room:
    """Processors, MiB of memory and GiB of disk: what a host may promise, or what one guest takes of it."""

    vcpus: int
    ram: int
    disk: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What was promised: a number of guests, their processors, their memory in MiB and their disks in GiB.

    Negative: what is given back.
    """

    guests: int = 0
    vcpus: int = 0
    ram: int = 0
    disk: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.guests + other.guests, self.vcpus + other.vcpus, self.ram + other.ram, self.disk + other.disk)

    def __neg__(self) -> Usage:
        return Usage(-self.guests, -self.vcpus, -self.ram, -self.disk)

    def plus(self, need: Room) -> Usage:
        """With one guest more."""
        return self + Usage(1, need.vcpus, need.ram, need.disk)

    def leaves(self, room: Room, need: Room) -> bool:
        """Whether ``need`` fits into what is left of ``room``."""
        after = self.plus(need)
        return after.vcpus <= room.vcpus and after.ram <= room.ram and after.disk <= room.disk


@dataclass(frozen=True, slots=True)
class HostRecord:
    """What the installation knows of a host; ``silent`` are the seconds since it was last heard of (database's clock).

    ``room`` is what it may promise, the operator's ratios applied; ``usage`` what it has.
    """

    facts: HostFacts
    usage: Usage
    room: Room
    enabled: bool = True
    disabled_reason: str | None = None
    silent: float = 0.0

    @property
    def load(self) -> float:
        """The share of its memory that is promised."""
        return self.usage.ram / max(self.room.ram, 1)

    def holding(self, need: Room) -> HostRecord:
        """With one guest more."""
        return replace(self, usage=self.usage.plus(need))
