"""Drivers for tests with all they need: in memory, on libvirt's own test hypervisor, on QEMU with the tiny guest."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from injector.errors import ImageUnavailable
from injector.images.cache import BaseCache
from injector.model.facts import ImageFacts
from injector.model.generation import Drive, Generation, IdPolicy, Refresh
from injector.model.guest import GuestVerdict
from injector.model.host import InjectionPolicy
from injector.model.image import DiskFormat, Image
from injector.model.instance import Instance, State, Step
from injector.model.network import Forward
from injector.model.payload import ItemKind, Payload
from injector.model.preview import Preview
from injector.model.workspace import Workspace
from injector.settings import ApiSettings, LibvirtSettings, Settings
from injector.system import files
from injector.virt.driver import Asks, Driver, Given, Order, Spawned
from injector.virt.fake import FakeDriver
from injector.virt.libvirt.driver import LibvirtDriver
from injector.virt.libvirt.host import Host, Power
from tests import builders as a
from tests import crafted
from tests.caller import COMMAND_LINE as COMMAND_LINE
from tests.caller import GUESTS as GUESTS

STATE_ROOT = Path(os.environ.get("INJECTOR_TEST_STATE", "/var/lib/injector-test"))
GUEST_PORT = 80
MIB = 1024**2
SAVES = Path("/var/lib/libvirt/qemu/save")
NOW = datetime(2026, 5, 1, 9, 30, tzinfo=UTC)


Hand = Callable[[str, State | None], None]
"""Brings a guest (id) to a state: ACTIVE, PAUSED, SUSPENDED, STOPPED; None: powers it off and undefines it."""


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

    ``hand`` is somebody's who is at the hypervisor, and not at the driver. ``records`` are the dispatcher's of what
    makes drives again.

    ``opens_forwards`` and ``guest_speaks`` are False where nothing runs that could.
    """

    driver: Driver
    settings: Settings
    shelf: Shelf
    images: Mapping[str, Image]
    opens_forwards: bool
    guest_speaks: bool
    ports: OtherPorts
    records: Records
    hand: Hand
    steps: list[Step] = field(default_factory=list)
    made: list[str] = field(default_factory=list)

    def instance(self, properties: Mapping[str, str] | None = None, **changes: Any) -> Instance:
        """A guest of its own: one card on a user network, a forward to port 80, and metadata asked for."""
        number = uuid.uuid4()
        mac = f"52:54:00:{number.hex[0:2]}:{number.hex[2:4]}:{number.hex[4:6]}"
        known = {"os_command_line": COMMAND_LINE} | dict(properties or {})
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
        self.made.append(str(number))
        return a.an_instance(**(values | changes))

    def spawn(self, instance: Instance, payload: Payload | None = None) -> Spawned:
        payload = payload or a.a_payload()
        spawned = self.driver.spawn(Order(instance, payload), self.steps.append)
        self.records.keep(instance, payload, spawned.generation)
        return spawned

    def launch(self, instance: Instance, payload: Payload | None = None) -> Instance:
        """Spawn it; the record as the dispatcher then has it."""
        spawned = self.spawn(instance, payload)
        return replace(
            instance,
            plan=spawned.plan,
            receipt=spawned.receipt,
            metadata=instance.asked_metadata,
            generation=1,
            inserted=1,
            generations_made=1,
            launched_at=a.NOON,
            state=State.ACTIVE,
        )

    def generation(self, instance_id: str, number: int) -> Generation:
        return self.records.known[instance_id, number]

    @property
    def changes_media(self) -> bool:
        """Of a guest that runs and has not mounted its drive; libvirt's test driver cannot."""
        return self.guest_speaks

    def refresh(self, instance: Instance, **wanted: Any) -> tuple[Instance, Given]:
        """Do what the dispatcher and the compute do: ask the driver, and keep what it made."""
        values: dict[str, Any] = {"number": instance.generations_made + 1, "at": NOW, "running": True}
        order = Refresh(**({"policy": IdPolicy.KEEP} | values | wanted))
        given = self.driver.refresh(replace(instance, refresh=order))
        self.records.add(instance.id, given.generation)
        number = given.generation.number
        after = replace(
            instance,
            generation=number,
            inserted=given.inserted,
            generations_made=max(number, instance.generations_made),
            receipt=given.generation.receipt,
        )
        return after, given

    def preview(self, instance: Instance) -> Preview:
        return self.driver.preview(Order(instance, a.a_payload()))

    def workspace(self, instance: Instance) -> Workspace:
        return Workspace(self.settings.instances_dir, instance.id)

    def drive(self, instance: Instance) -> str:
        return hashlib.sha256(self.file(instance).read_bytes()).hexdigest()

    def file(self, instance: Instance, number: int | None = None) -> Path:
        """Of the current config drive, or of another generation."""
        known = number or instance.generation or 1
        return replace(self.workspace(instance), generation=known).config_drive

    def last_word(self, instance: Instance, seconds: float = 180.0) -> GuestVerdict:
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
        # Only root may look where libvirt keeps them.
        seen = self.made if os.access(SAVES, os.X_OK) else ()
        saved = {f"the memory of {one}" for one in seen if (SAVES / f"injector-{one}.save").exists()}
        return self.driver.local() | {entry.name for entry in self.settings.instances_dir.iterdir()} | saved


def by_hand(host: Host) -> Hand:
    """What somebody does with virsh."""

    def act(instance_id: str, state: State | None) -> None:
        domain = host.anybodys(instance_id)
        assert domain is not None
        match state:
            case State.ACTIVE if domain.power().power is Power.PAUSED:
                domain.unpause()
            case State.ACTIVE:
                domain.start()
            case State.PAUSED:
                domain.pause()
            case State.SUSPENDED:
                domain.save()
            case _:
                domain.destroy()
        if state is None:
            domain.undefine()

    return act


class Records:
    """What the dispatcher keeps of each instance to make its drives again, and of images by digest.

    ``asked`` counts who wanted to know.
    """

    def __init__(self) -> None:
        self._drives: dict[str, Drive] = {}
        self.known: dict[tuple[str, int], Generation] = {}
        self.facts: dict[str, ImageFacts] = {}
        self.asked = 0

    def __call__(self, instance_id: str) -> Drive:
        self.asked += 1
        return self._drives[instance_id]

    def keep(self, instance: Instance, payload: Payload, generation: Generation | None) -> None:
        sealed = a.a_vault().seal(instance.id, payload)
        self._drives[instance.id] = Drive(sealed)
        if generation is not None:
            self.add(instance.id, generation)

    def keep_facts(self, sha256: str, facts: ImageFacts) -> None:
        self.facts[sha256] = facts

    def add(self, instance_id: str, generation: Generation) -> None:
        drive = self._drives[instance_id]
        others = tuple(one for one in drive.generations if one.number != generation.number)
        self._drives[instance_id] = replace(drive, generations=(*others, generation))
        self.known[instance_id, generation.number] = generation

    def forget(self, instance_id: str, number: int) -> None:
        drive = self._drives[instance_id]
        left = tuple(one for one in drive.generations if one.number != number)
        self._drives[instance_id] = replace(drive, generations=left)


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
def in_memory(directory: Path, policy: InjectionPolicy, make: type[FakeDriver] = FakeDriver) -> Iterator[Stage]:
    settings, shelf = _settings(directory, "", policy), Shelf(directory / "shelf")
    files.make_directory(settings.instances_dir, 0o711)
    ports, records = OtherPorts(), Records()
    driver = make(settings, a.a_vault(), BaseCache(settings.base_dir, shelf), Asks(ports, records, records.keep_facts))
    yield Stage(driver, settings, shelf, _small_images(shelf, directory), True, True, ports, records, driver.befall)


@contextmanager
def on_test_hypervisor(directory: Path, policy: InjectionPolicy) -> Iterator[Stage]:
    with _on_libvirt("test:///default", directory, policy) as (driver, settings, shelf, asks):
        yield Stage(driver, settings, shelf, _small_images(shelf, directory), False, False, *asks)


@contextmanager
def on_qemu(_directory: Path, policy: InjectionPolicy) -> Iterator[Stage]:
    """Not in pytest's directories: QEMU's user cannot pass through them, nor libvirt's AppArmor helper through /tmp."""
    STATE_ROOT.mkdir(mode=0o711, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=STATE_ROOT, prefix="driver") as name:
        directory = Path(name)
        directory.chmod(0o711)
        with _on_libvirt("qemu:///system", directory, policy) as (driver, settings, shelf, asks):
            yield Stage(driver, settings, shelf, tiny_images(shelf), True, True, *asks)


@contextmanager
def _on_libvirt(
    uri: str, directory: Path, policy: InjectionPolicy
) -> Iterator[tuple[Driver, Settings, Shelf, tuple[OtherPorts, Records, Hand]]]:
    settings, shelf = _settings(directory, uri, policy), Shelf(directory / "shelf")
    with ExitStack() as undo:
        host = Host(uri, 10.0, str(settings.instances_dir))
        undo.callback(host.close)
        group = host.qemu_group()
        files.make_directory(settings.instances_dir, 0o711, group)
        cache, ports, records = BaseCache(settings.base_dir, shelf, group), OtherPorts(), Records()
        driver = LibvirtDriver(host, settings, a.a_vault(), cache, group, Asks(ports, records, records.keep_facts))
        undo.callback(driver.close)
        yield driver, settings, shelf, (ports, records, by_hand(host))
