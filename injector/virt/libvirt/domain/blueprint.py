"""Everything a domain is made from, decided before the first element is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from injector.inject.channel import Fitting
from injector.model.host import Verdict
from injector.model.image import DiskFormat
from injector.model.instance import Instance
from injector.virt.libvirt.domain.hardware import Hardware


@dataclass(frozen=True, slots=True)
class RootDisk:
    """A qcow2 overlay over a shared base image; ``direct``: the file system can do without the host's page cache."""

    path: Path
    base: Path
    base_format: DiskFormat
    direct: bool


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel given apart from the disk, and its ramdisk."""

    path: Path
    ramdisk: Path | None


@dataclass(frozen=True, slots=True)
class Blueprint:
    """One domain. ``home`` is the installation's mark, ``cpu_model`` the operator's for the CPU mode ``custom``."""

    instance: Instance
    home: str
    hardware: Hardware
    verdict: Verdict
    disk: RootDisk
    console: Path
    fittings: tuple[Fitting, ...] = ()
    kernel: Kernel | None = None
    cpu_model: str | None = None
