"""The guest's own root disk: a qcow2 that holds what differs from the shared base image."""

from __future__ import annotations

from pathlib import Path

from injector.model.image import DiskFormat
from injector.settings import ImageSettings
from injector.system.process import Limits, run


def create_overlay(base: Path, base_format: DiskFormat, disk: Path, size_bytes: int, settings: ImageSettings) -> None:
    """Make ``disk``, 0600 and ``size_bytes`` large, over ``base``; both paths absolute, the format never guessed.

    NoSpace when the disk is full, ProgramFailed when qemu-img fails; then ``disk`` does not exist.
    """
    try:
        run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", base_format.value, "-b", base, disk, str(size_bytes)],
            purpose="make the root disk",
            limits=Limits(settings.cpu_time_limit, settings.address_space_limit, open_files=64),
            timeout=settings.wall_time_limit,
        )
    except BaseException:
        disk.unlink(missing_ok=True)
        raise
