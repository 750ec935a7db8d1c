"""Whether an image fits a flavor; known without a host, so the api asks before anything is made."""

from __future__ import annotations

from injector.errors import Conflict, InvalidRequest
from injector.model.flavor import Flavor
from injector.model.image import Image

_GIB = 1024**3


def root_disk_bytes(image: Image, flavor: Flavor) -> int:
    """How large the guest's root disk will be: the flavor's disk, or the image's own size when that is 0.

    InvalidRequest (as Nova's FlavorDiskSmallerThanImage and FlavorDiskSmallerThanMinDisk) when it is too small,
    Conflict when the image has no bytes yet.
    """
    if image.virtual_size is None:
        raise Conflict(f"image {image.id} has no bytes yet", field="image")
    if flavor.disk == 0:
        return image.virtual_size
    if flavor.disk < image.min_disk:
        raise _too_small(flavor, f"disk of {flavor.disk} GiB", f"the image asks for {image.min_disk} GiB")
    if flavor.disk * _GIB < image.virtual_size:
        raise _too_small(flavor, f"disk of {flavor.disk} GiB", f"the image is {image.virtual_size} bytes large")
    return flavor.disk * _GIB


def require_fit(image: Image, flavor: Flavor) -> None:
    """Disk as in ``root_disk_bytes``, and memory: InvalidRequest as Nova's FlavorMemoryTooSmall."""
    root_disk_bytes(image, flavor)
    if flavor.ram < image.min_ram:
        raise _too_small(flavor, f"memory of {flavor.ram} MiB", f"the image asks for {image.min_ram} MiB")


def _too_small(flavor: Flavor, what: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"flavor {flavor.name} is too small for the image: its {what}; {why}", field="flavor")
