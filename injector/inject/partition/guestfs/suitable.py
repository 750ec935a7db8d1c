"""Says why libguestfs cannot work on this host, in one line, or nothing: ``python -m …guestfs.suitable``.

A program, because the binding brings a large library along that the daemon has no use for.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_QEMU = "qemu-system-x86_64"


def obstacle(root: Path = Path("/")) -> str | None:
    """What is missing; an appliance is made by supermin of the host's own kernel, modules and programs."""
    try:
        import guestfs  # noqa: F401
    except ImportError as error:
        return f"libguestfs's Python binding cannot be loaded (Debian: python3-guestfs): {error}"
    for program, package in (("supermin", "supermin"), (_QEMU, "qemu-system-x86")):
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian: {package})"
    return _kernel_obstacle(root)


def _kernel_obstacle(root: Path) -> str | None:
    kernels = [kernel for kernel in root.glob("boot/vmlinu[xz]-*") if _modules(root, kernel).is_dir()]
    if not kernels:
        return (
            "there is no kernel with its modules that this daemon can see, and the appliance is made of one "
            "(Debian: linux-image-cloud-amd64; a unit with ProtectKernelModules hides the modules)"
        )
    if not any(os.access(kernel, os.R_OK) for kernel in kernels):
        return "the kernel in /boot is readable by root only, and the appliance is made of one (dpkg-statoverride)"
    return None


def _modules(root: Path, kernel: Path) -> Path:
    return root / "lib/modules" / kernel.name.partition("-")[2]


if __name__ == "__main__":
    print(obstacle() or "", end="")
