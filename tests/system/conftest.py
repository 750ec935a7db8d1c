"""Real libvirtd, real QEMU, real guests: the daemon of these tests and the images it boots."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.caller import GUESTS as GUESTS
from tests.daemon import Daemon, a_daemon

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


def raw_disk(daemon: Daemon, server_id: str, path: Path) -> Path:
    """A raw copy of a guest's disk, for readers of file systems; the guest may run, if it leaves its disk alone."""
    overlay = daemon.state / "instances" / server_id / "disk"
    subprocess.run(["qemu-img", "convert", "-U", "-f", "qcow2", "-O", "raw", overlay, path], check=True)
    return path


def furnish(daemon: Daemon) -> House:
    """The flavor "1", a user network that forwards guest port 80, and the tiny guest."""
    daemon.add_flavor("1", ram=128)
    network = daemon.add_network("default", forwards=[80])
    return House(daemon, daemon.add_tiny(), network)


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    with a_daemon({"libvirt": {"shutdown_timeout": 15}}) as daemon:
        daemon.start()
        yield furnish(daemon)
