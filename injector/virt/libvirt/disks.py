"""What a guest starts from, in its workspace: an overlay over the shared base, copies of kernel and ramdisk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from injector.errors import HostError
from injector.images.cache import BaseCache
from injector.images.fit import root_disk_bytes
from injector.images.overlay import create_overlay
from injector.model.image import Image
from injector.model.instance import Instance
from injector.model.workspace import Workspace
from injector.settings import ImageSettings
from injector.system import files
from injector.virt.libvirt.domain import Kernel, RootDisk


class Disks:
    """``group`` is QEMU's: what libvirt must not give away has to be readable by it."""

    def __init__(self, cache: BaseCache, settings: ImageSettings, group: int | None) -> None:
        self._cache = cache
        self._settings = settings
        self._group = group

    def fetch(self, instance: Instance) -> None:
        """Have every image of the guest on this host."""
        for image in (instance.image, instance.kernel, instance.ramdisk):
            if image is not None:
                self._cache.base(image)

    def root(self, instance: Instance, workspace: Workspace) -> RootDisk:
        """The overlay, as large as the flavor says; InvalidRequest when the image does not fit."""
        image, base = instance.image, self._cache.base(instance.image)
        size = root_disk_bytes(image, instance.flavor)
        create_overlay(base, image.disk_format, workspace.disk, size, self._settings)
        return RootDisk(workspace.disk, base, image.disk_format, _direct(workspace.disk))

    def kernel(self, instance: Instance, workspace: Workspace) -> Kernel | None:
        """Copies: libvirt gives kernel and ramdisk to QEMU's user while a guest runs, and cannot be told not to."""
        if instance.kernel is None:
            return None
        kernel = self._copy(instance.kernel, workspace.kernel)
        return Kernel(kernel, self._copy(instance.ramdisk, workspace.ramdisk) if instance.ramdisk else None)

    def planned(self, instance: Instance, workspace: Workspace) -> tuple[RootDisk, Kernel | None]:
        """Where a boot would put what ``root`` and ``kernel`` make; nothing is fetched or made."""
        base = self._cache.place(instance.image)
        disk = RootDisk(workspace.disk, base, instance.image.disk_format, _direct_in(workspace.instances_dir))
        if instance.kernel is None:
            return disk, None
        return disk, Kernel(workspace.kernel, workspace.ramdisk if instance.ramdisk else None)

    def _copy(self, image: Image, target: Path) -> Path:
        with files.disk_full("copy the guest's kernel"):
            shutil.copyfile(self._cache.base(image), target)
            files.settle(target, 0o440, self._group)
        return target


def _direct(disk: Path) -> bool:
    """Whether the file system can do without the host's page cache; tmpfs and some network ones cannot."""
    try:
        os.close(os.open(disk, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC))
    except FileNotFoundError as error:
        raise HostError("the root disk is not where it was made", detail=str(error)) from error
    except OSError:
        return False
    return True


def _direct_in(directory: Path) -> bool:
    """The same of a disk that is not made yet, by a file that never has a name."""
    try:
        os.close(os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC, 0o600))
    except OSError:
        return False
    return True
