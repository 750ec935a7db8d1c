"""Drivers for tests with all they need: in memory, on libvirt's own test hypervisor, on QEMU with the tiny guest."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from injector.errors import ImageUnavailable
from injector.images.cache import BaseCache
from injector.model.guest import GuestVerdict
from injector.model.host import InjectionPolicy
from injector.model.image import DiskFormat, Image
from injector.model.instance import Instance, Step
from injector.model.network import Forward
from injector.model.payload import ItemKind, Payload
from injector.model.preview import Preview
from injector.model.workspace import Workspace
from injector.settings import ApiSettings, LibvirtSettings, Settings
from injector.system import files
from injector.virt.driver import Driver, Order, Spawned
from injector.virt.fake import FakeDriver
from injector.virt.libvirt.driver import LibvirtDriver
from injector.virt.libvirt.host import Host
from tests import builders as a
from tests import crafted

GUESTS = Path(os.environ.get("INJECTOR_TEST_GUESTS", "/var/lib/injector-devstack/guests"))
STATE_ROOT = Path(os.environ.get("INJECTOR_TEST_STATE", "/var/lib/injector-test"))
GUEST_PORT = 80
MIB = 1024**2


class Shelf:
    """An image source: registered files in one directory, which can be taken away."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory

    def put(self, file: Path, disk_format: DiskFormat, virtual_size: int) -> Image:
        content = file.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        (self._directory / digest).write_bytes(content)
        return a.an_image(
            id=str(uuid.uuid4()), disk_format=disk_format, size=len(content), virtual_size=virtual_size, sha256=digest
        )

    def take_away(self, image: Image) -> None:
        (self._directory / str(image.sha256)).unlink()

    def fetch(self, image: Image, destination: Path) -> None:
        try:
            shutil.copyfile(self._directory / str(image.sha256), destination)
        except FileNotFoundError as error:
            raise ImageUnavailable(f"image {image.id} is gone", field="image") from error


class OtherPorts:
    """Gives another free port for a taken one; ``stuck``: the same again and again."""

    def __init__(self) -> None:
        self.taken: list[Forward] = []
        self.stuck = False

    def __call__(self, _instance_id: str, _attempt: int, forward: Forward) -> Forward:
        self.taken.append(forward)
        return forward if self.stuck else replace(forward, host_port=free_port())


@dataclass
class Stage:
    """A driver and the images its guests boot from; ``steps`` were entered, ``ports`` replaces taken ones.

    ``opens_forwards`` and ``guest_speaks`` are False where nothing runs that could.
    """

    driver: Driver
    settings: Settings
    shelf: Shelf
    images: Mapping[str, Image]
    opens_forwards: bool
    guest_speaks: bool
    ports: OtherPorts
    steps: list[Step] = field(default_factory=list)

    def instance(self, properties: Mapping[str, str] | None = None, **changes: Any) -> Instance:
        """A guest of its own: one card on a user network, a forward to port 80, and metadata asked for."""
        number = uuid.uuid4()
        mac = f"52:54:00:{number.hex[0:2]}:{number.hex[2:4]}:{number.hex[4:6]}"
        known = {"os_command_line": "console=ttyS0 quiet"} | dict(properties or {})
        values: dict[str, Any] = {
            "id": str(number),
            "image": replace(self.images["root"], properties=known),
            "kernel": self.images.get("kernel"),
            "ramdisk": self.images.get("ramdisk"),
            "flavor": a.a_flavor(ram=128, disk=0),
            "asked_metadata": {"role": "test"},
            "items": (a.an_item(ItemKind.METADATA, "metadata"),),
            "nics": (a.a_nic(mac=mac, network=a.a_network(forwards=(GUEST_PORT,))),),
            "forwards": (Forward(mac, GUEST_PORT, free_port()),),
        }
        return a.an_instance(**(values | changes))

    def spawn(self, instance: Instance, payload: Payload | None = None) -> Spawned:
        return self.driver.spawn(Order(instance, payload or a.a_payload()), self.steps.append)

    def preview(self, instance: Instance) -> Preview:
        return self.driver.preview(Order(instance, a.a_payload()))

    def workspace(self, instance: Instance) -> Workspace:
        return Workspace(self.settings.instances_dir, instance.id)

    def drive(self, instance: Instance) -> str:
        return hashlib.sha256(self.workspace(instance).config_drive.read_bytes()).hexdigest()

    def last_word(self, instance: Instance, seconds: float = 60.0) -> GuestVerdict:
        """What the guest says at the end of its boot."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            verdict = self.driver.witness(instance)
            if verdict is not None and verdict.state.final:
                return verdict
            time.sleep(0.1)
        raise AssertionError(f"the guest does not speak: {self.driver.console(instance.id, 2000)!r}")

    @property
    def leftovers(self) -> frozenset[str]:
        return self.driver.local() | {entry.name for entry in self.settings.instances_dir.iterdir()}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def listeners(port: int) -> set[str]:
    """The addresses somebody listens on at this TCP port, IPv6 ones in the kernel's spelling."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            address, _, number = line.split()[1].partition(":")
            if line.split()[3] == "0A" and int(number, 16) == port:
                found.add(socket.inet_ntoa(bytes.fromhex(address)[::-1]) if len(address) == 8 else address)
    return found


def _settings(directory: Path, uri: str, policy: InjectionPolicy) -> Settings:
    settings = Settings(
        host="testhost",
        state_dir=directory / "state",
        database_connection="",
        api=ApiSettings(None, None),
        policy=policy,
        libvirt=LibvirtSettings(connection_uri=uri, virt_type="qemu", shutdown_timeout=30.0),
    )
    settings.state_dir.mkdir(mode=0o711)
    return settings


def _small_images(shelf: Shelf, directory: Path) -> dict[str, Image]:
    disk = directory / "small.qcow2"
    crafted.qemu_img("create", "-q", "-f", "qcow2", disk, "1M")
    return {"root": shelf.put(disk, DiskFormat.QCOW2, MIB)}


def tiny_images(shelf: Shelf) -> dict[str, Image]:
    tiny = GUESTS / "tiny"
    return {
        "root": shelf.put(tiny / "root.qcow2", DiskFormat.QCOW2, 16 * MIB),
        "kernel": shelf.put(tiny / "vmlinuz", DiskFormat.KERNEL, MIB),
        "ramdisk": shelf.put(tiny / "initrd", DiskFormat.RAMDISK, MIB),
    }


@contextmanager
def in_memory(directory: Path, policy: InjectionPolicy) -> Iterator[Stage]:
    settings, shelf = _settings(directory, "", policy), Shelf(directory / "shelf")
    files.make_directory(settings.instances_dir, 0o711)
    ports = OtherPorts()
    driver = FakeDriver(settings, a.a_vault(), BaseCache(settings.base_dir, shelf), ports)
    yield Stage(driver, settings, shelf, _small_images(shelf, directory), True, True, ports)


@contextmanager
def on_test_hypervisor(directory: Path, policy: InjectionPolicy) -> Iterator[Stage]:
    with _on_libvirt("test:///default", directory, policy) as (driver, settings, shelf, ports):
        yield Stage(driver, settings, shelf, _small_images(shelf, directory), False, False, ports)


@contextmanager
def on_qemu(_directory: Path, policy: InjectionPolicy) -> Iterator[Stage]:
    """Not in pytest's directories: QEMU's user cannot pass through them, nor libvirt's AppArmor helper through /tmp."""
    STATE_ROOT.mkdir(mode=0o711, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=STATE_ROOT, prefix="driver") as name:
        directory = Path(name)
        directory.chmod(0o711)
        with _on_libvirt("qemu:///system", directory, policy) as (driver, settings, shelf, ports):
            yield Stage(driver, settings, shelf, tiny_images(shelf), True, True, ports)


@contextmanager
def _on_libvirt(
    uri: str, directory: Path, policy: InjectionPolicy
) -> Iterator[tuple[Driver, Settings, Shelf, OtherPorts]]:
    settings, shelf = _settings(directory, uri, policy), Shelf(directory / "shelf")
    with ExitStack() as undo:
        host = Host(uri, 10.0, str(settings.instances_dir))
        undo.callback(host.close)
        group = host.qemu_group()
        files.make_directory(settings.instances_dir, 0o711, group)
        cache, ports = BaseCache(settings.base_dir, shelf, group), OtherPorts()
        yield (
            LibvirtDriver(host, settings, a.a_vault(), cache, group, ports),
            settings,
            shelf,
            ports,
        )
