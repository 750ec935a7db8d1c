"""A disk image as its owner registered it, and what was found out about its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class ImageStatus(StrEnum):
    """As in Glance: a record without bytes is ``queued``."""

    QUEUED = "queued"
    ACTIVE = "active"


class DiskFormat(StrEnum):
    """The formats accepted; ``aki`` and ``ari`` are a bare kernel and ramdisk, as Glance names them."""

    RAW = "raw"
    QCOW2 = "qcow2"
    KERNEL = "aki"
    RAMDISK = "ari"


@dataclass(frozen=True, slots=True)
class Image:
    """``size`` and ``virtual_size`` in bytes, ``sha256`` in hex; all None until the bytes have arrived.

    ``properties`` are Glance's free ones: ``kernel_id``, ``ramdisk_id``, ``hw_machine_type``, ``hw_disk_bus``,
    ``hw_cdrom_bus``, ``hw_vif_model``, ``hw_firmware_type``, ``os_type``, ``os_command_line``, ``img_config_drive``,
    ``os_admin_user``; and ours, ``injector_agent``.
    """

    id: str
    name: str
    disk_format: DiskFormat
    owner: str
    created_at: datetime
    status: ImageStatus = ImageStatus.QUEUED
    size: int | None = None
    virtual_size: int | None = None
    sha256: str | None = None
    min_disk: int = 0
    min_ram: int = 0
    properties: Mapping[str, str] = field(default_factory=dict)
