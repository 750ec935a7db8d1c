"""Real libvirtd, real QEMU, real guests: the daemon of these tests and the images it boots."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Daemon, a_daemon

GUESTS = Path(os.environ.get("INJECTOR_TEST_GUESTS", "/var/lib/injector-devstack/guests"))

# A daemon that writes into the partitions of its guests, by its own means only.
INJECTING: dict[str, dict[str, Any]] = {
    "DEFAULT": {"force_config_drive": False},
    "libvirt": {"inject_partition": -1, "inject_key": True, "inject_password": True, "shutdown_timeout": 15},
    "injection": {"filesystems": "ext"},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.system)


@dataclass(frozen=True)
class House:
    """A running daemon with the tiny guest registered: ``tiny`` is the image's id, ``network`` the user network's."""

    daemon: Daemon
    tiny: str
    network: str


def add_tiny(daemon: Daemon, disk: str = "root", options: str = "") -> str:
    """The tiny guest as Nova has such images, kernel and ramdisk apart; ``options`` for its kernel."""
    tiny = GUESTS / "tiny"
    kernel = daemon.add_image("tiny-kernel", tiny / "vmlinuz", "aki")
    ramdisk = daemon.add_image("tiny-ramdisk", tiny / "initrd", "ari")
    properties = {"kernel_id": kernel, "ramdisk_id": ramdisk, "os_command_line": f"console=ttyS0 quiet{options}"}
    return daemon.add_image("tiny", tiny / f"{disk}.qcow2", "qcow2", **properties)


def raw_disk(daemon: Daemon, server_id: str, path: Path) -> Path:
    """A raw copy of a guest's disk, for readers of file systems; the guest may run, if it leaves its disk alone."""
    overlay = daemon.state / "instances" / server_id / "disk"
    subprocess.run(["qemu-img", "convert", "-U", "-f", "qcow2", "-O", "raw", overlay, path], check=True)
    return path


def furnish(daemon: Daemon) -> House:
    """The flavor "1", a user network that forwards guest port 80, and the tiny guest."""
    daemon.add_flavor("1", ram=128)
    network = daemon.add_network("default", forwards=[80])
    return House(daemon, add_tiny(daemon), network)


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    with a_daemon({"libvirt": {"shutdown_timeout": 15}}) as daemon:
        daemon.start()
        yield furnish(daemon)
