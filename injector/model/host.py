"""What one compute host is and can carry, as it reports itself."""

from __future__ import annotations

from dataclasses import dataclass
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

    ``back_ends`` of partition injection, in the order in which they are tried.
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


@dataclass(frozen=True, slots=True)
class Usage:
    """What a host has promised: a number of guests, their processors and their memory in MiB."""

    guests: int = 0
    vcpus: int = 0
    ram: int = 0

    def plus(self, vcpus: int, ram: int) -> Usage:
        return Usage(self.guests + 1, self.vcpus + vcpus, self.ram + ram)
