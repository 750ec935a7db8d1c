"""The services as a cloud runs them, on one machine: apis, dispatchers and computes as processes over a real broker.

with a_rig(hosts=3) as rig:
    rig.start()
    server_id = rig.boot(rig.furnish().tiny)
    rig.computes["rig-1"].kill()
    assert rig.leftovers() == leftovers.NOTHING

Each process is a ``Service``: start, stop, kill, freeze and thaw it. At the end nothing of its guests is left, whatever
a test did. Needs the servers of devstack/test-servers.sh (tests/servers.py).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from oslo_config import cfg

from injector.db import open_store
from injector.rpc import Client
from injector.system.vault import KEY_BYTES
from tests.caller import HEADERS, Caller
from tests.daemon import STATE_ROOT
from tests.hypervisors import free_port
from tests.own_libvirt import OwnLibvirt
from tests.running import Options, Running, write_config
from tests.servers import Kind, a_database, a_vhost
from tests.system import leftovers
from tests.system.leftovers import Leftovers

QEMU = "qemu:///system"
IN_PROCESS = "test:///default"


class Service(Running):
    """One process of a rig; ``name`` is its host's on the bus, ``kind`` api, dispatcher or compute."""

    def __init__(self, kind: str, name: str, directory: Path, *options: Options) -> None:
        self.kind = kind
        self.name = name
        self.state = directory / name
        self.config = directory / f"{name}.conf"
        program = f"import sys; from injector.cmd import service; sys.exit(service.{kind}())"
        super().__init__(
            [sys.executable, "-c", program, f"--config-file={self.config}"], directory / "log" / f"{name}.log"
        )
        self.options = list(options)
        self._said_before = 0

    def configure(self, options: Options) -> None:
        """Say more, from the next start on."""
        self.options.append(options)

    def run_from(self, checkout: Path) -> None:
        """The code of another checkout, from the next start on."""
        self._switch["env"] = os.environ | {"PYTHONPATH": str(checkout)}

    def start(self, *, wait: bool = True) -> None:
        """Start it; with ``wait`` until it serves. AssertionError with its log when it does not."""
        write_config(self.config, *self.options)
        self._said_before = self.log.stat().st_size if self.log.exists() else 0
        self.launch()
        if wait:
            self.wait_until_up()

    def wait_until_up(self, seconds: float = 60) -> None:
        self.wait_until(lambda: f"injector-{self.kind} " in self.news() and " serves" in self.news(), seconds)

    def news(self) -> str:
        """What it has logged since its last start."""
        return self.log.read_bytes()[self._said_before :].decode(errors="replace")

    def restart(self) -> None:
        assert self.stop() == 0, self.words()[-4000:]
        self.start()

    @property
    def runs(self) -> bool:
        """Whether there is a process, be it frozen."""
        return self.process is not None and self.process.poll() is None

    def end(self) -> None:
        """Whatever it is doing, and however it has ended."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


@dataclass(frozen=True)
class Layout:
    """What a rig is made of. ``options`` are for all, ``more`` for those of a kind or a name; the name wins.

    ``quorum``: quorum queues and durable exchanges, as a cloud has them; without, a lost broker's are lost with it.
    ``own_libvirt``: each compute has a libvirtd to itself, as a host has, and not the machine's in common.
    """

    hosts: int = 3
    dispatchers: int = 2
    apis: int = 1
    hypervisor: str = QEMU
    quorum: bool = True
    own_libvirt: bool = False
    options: Options = field(default_factory=dict)
    more: Mapping[str, Options] = field(default_factory=dict)


@dataclass(frozen=True)
class Furniture:
    """Ids of what is registered: the flavor "1", a user network that forwards guest port 80, and the tiny guest."""

    tiny: str
    network: str


@dataclass(frozen=True)
class Tinies:
    """The tiny guest twice, for a channel each: as it looks at its drive, and as it looks at its root."""

    drive: str
    partition: str
    network: str


class Rig(Caller):
    """All services of one installation below ``directory``, on a broker and a database that are there already."""

    def __init__(self, directory: Path, bus: str, database: str, layout: Layout) -> None:
        self.directory = directory
        self.bus = bus
        self.database = database
        self.layout = layout
        self._token = secrets.token_urlsafe(32)
        (directory / "log").mkdir()
        self._write_secret(directory / "secrets.key", secrets.token_bytes(KEY_BYTES))
        self._write_secret(directory / "admin-token", self._token.encode())
        self.port = free_port()
        self.apis = [self._api(number) for number in range(1, layout.apis + 1)]
        self.dispatchers = [self._service("dispatcher", f"dispatcher-{n}") for n in range(1, layout.dispatchers + 1)]
        names = [f"rig-{number}" for number in range(1, layout.hosts + 1)]
        owners = names if layout.own_libvirt else []
        self.libvirts = {name: OwnLibvirt(directory / f"libvirt-{name}") for name in owners}
        self.computes = {name: self._compute(name) for name in names}
        self.http = self.client()

    @property
    def api(self) -> Service:
        """The first, which ``http`` speaks to."""
        return self.apis[0]

    @property
    def services(self) -> list[Service]:
        """In the order in which they may be started."""
        return [*self.dispatchers, *self.computes.values(), *self.apis]

    def client(self, api: int = 0) -> httpx.Client:
        """Over the socket of one of the apis; close it."""
        transport = httpx.HTTPTransport(uds=str(self.apis[api].state / "api.sock"))
        return httpx.Client(transport=transport, base_url="http://injector", timeout=120, headers=HEADERS)

    def words(self) -> str:
        """The end of every log."""
        return "\n".join(f"--- {one.name}\n{one.words()[-1500:]}" for one in self.services if one.log.exists())

    def start(self, seconds: float = 120) -> None:
        """The database's tables, then all services at once, until each host is known to the api."""
        for libvirt in self.libvirts.values():
            libvirt.start()
        open_store(self.database).close()
        for service in self.services:
            service.start(wait=False)
        for service in self.services:
            service.wait_until_up(seconds)
        self.wait_for_hosts(self.computes)

    def wait_for_hosts(self, names: Iterable[str], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not set(names) <= {host["name"] for host in self.hosts()}:
            assert time.monotonic() < deadline, self.words()
            time.sleep(0.1)

    def hosts(self) -> list[Any]:
        return list(self.call("GET", "/v2.1/injector-hosts")["hosts"])

    def furnish(self) -> Furniture:
        """On QEMU: the tiny guest, kernel and ramdisk apart. In the process: an empty disk."""
        self.add_flavor("1", ram=128)
        network = self.add_network("default", forwards=[80])
        if self.layout.hypervisor == IN_PROCESS:
            disk = self.directory / "empty.raw"
            disk.write_bytes(bytes(1024 * 1024))
            return Furniture(self.add_image("empty", disk, "raw"), network)
        return Furniture(self.add_tiny(), network)

    def furnish_both(self) -> Tinies:
        """As ``furnish`` on QEMU, with an image for either channel."""
        basic = self.furnish()
        return Tinies(basic.tiny, self.add_tiny("partition", " tiny_root=vda1"), basic.network)

    def client_config(self, **default: Any) -> Path:
        """A file for programs that call over the bus; it has to agree with the services on what is durable."""
        file = self.directory / "client.conf"
        write_config(file, {"DEFAULT": default, "oslo_messaging_rabbit": self._durability()})
        return file

    @contextlib.contextmanager
    def rpc_client(self, **default: Any) -> Iterator[Client]:
        """Of the RPC API; ``default`` are options of the group DEFAULT."""
        conf = cfg.ConfigOpts()
        conf([f"--config-file={self.client_config(**default)}"], project="injector")
        with Client.connect(conf, self.bus) as client:
            yield client

    def stop(self) -> None:
        """In order: apis, computes, dispatchers, those of a kind at once; each has to end cleanly."""
        for kind in (self.apis, self.computes.values(), self.dispatchers):
            ending = [one for one in kind if one.runs]
            for service in ending:
                service.thaw()
                os.kill(service.pid, signal.SIGTERM)
            for service in ending:
                assert service.wait() == 0, service.words()[-4000:]

    def leftovers(self) -> Leftovers:
        """Of all hosts; claims are the whole database's."""
        found = [self.leftovers_of(name) for name in self.computes]
        return Leftovers(
            domains=frozenset().union(*(one.domains for one in found)),
            directories=frozenset().union(*(one.directories for one in found)),
            saved=frozenset().union(*(one.saved for one in found)),
            emulators=frozenset().union(*(one.emulators for one in found)),
            claims=leftovers.claims(self.database),
        )

    def leftovers_of(self, host: str) -> Leftovers:
        """Of one host, without claims: these are of instances."""
        libvirt = self.libvirts[host].seat if host in self.libvirts else leftovers.MACHINE
        return leftovers.of_host(self.computes[host].state, libvirt)

    def left_by_injection(self) -> frozenset[str]:
        """Mounts, loop devices, exports and other processes that are nobody's."""
        pids = [one.pid for one in self.services if one.runs]
        return frozenset().union(*(leftovers.injection(one.state, pids) for one in self.computes.values()))

    def end(self) -> None:
        """All processes, all guests, all mounts and loop devices below ``directory``: whatever has happened."""
        self.http.close()
        for service in self.services:
            service.end()
        for name, libvirt in self.libvirts.items():
            leftovers.remove_domains(self.computes[name].state, libvirt.seat)
            libvirt.end()
        leftovers.remove_domains(self.directory)
        _unmount(self.directory)

    # what they are made of

    def _service(self, kind: str, name: str, own: Options | None = None) -> Service:
        layout = self.layout
        mine: Options = {
            "DEFAULT": {
                "host": name,
                "state_path": self.directory / name,
                "transport_url": self.bus,
                "shutdown_timeout": 20,
            },
            "secrets": {"key_files": self.directory / "secrets.key"},
            "oslo_messaging_rabbit": self._durability(),
        }
        database: Options = {} if kind == "compute" else {"database": {"connection": self.database}}
        of_kind, of_name = layout.more.get(kind, {}), layout.more.get(name, {})
        return Service(kind, name, self.directory, mine, database, own or {}, layout.options, of_kind, of_name)

    def _durability(self) -> Mapping[str, str]:
        quorum = str(self.layout.quorum).lower()
        return {"rabbit_quorum_queue": quorum, "amqp_durable_queues": quorum}

    def _api(self, number: int) -> Service:
        state = self.directory / f"api-{number}"
        state.mkdir(mode=0o711)
        self._write_secret(state / "admin-token", self._token.encode())
        api: Options = {
            "api": {
                "socket": state / "api.sock",
                "host": "127.0.0.1",
                "port": self.port if number == 1 else free_port(),
            },
            "images": {"directory": self.directory / "images"},
        }
        return self._service("api", state.name, api)

    def _compute(self, name: str) -> Service:
        uri = self.libvirts[name].uri if name in self.libvirts else self.layout.hypervisor
        compute: Options = {
            "libvirt": {"connection_uri": uri, "virt_type": "qemu", "shutdown_timeout": 15},
            "images": {
                "source": "http",
                "api_endpoint": f"http://127.0.0.1:{self.port}",
                "token_file": self.directory / "admin-token",
            },
        }
        return self._service("compute", name, compute)

    @staticmethod
    def _write_secret(path: Path, content: bytes) -> None:
        path.touch(mode=0o600)
        path.write_bytes(content)


@contextlib.contextmanager
def a_rig(layout: Layout | None = None, *, database: Kind = "postgresql", **parts: Any) -> Iterator[Rig]:
    """One with a virtual host and a database of its own, not yet started; ``parts`` are those of a Layout.

    After a test that passes its servers are deleted and its services stopped in order; nothing may be left. After one
    that fails everything of it is ended.
    """
    STATE_ROOT.mkdir(mode=0o711, parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(dir=STATE_ROOT, prefix="rig"))
    directory.chmod(0o711)
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, directory)
        bus, url = undo.enter_context(a_vhost()), undo.enter_context(a_database(database))
        rig = Rig(directory, bus, url, layout or Layout(**parts))
        undo.callback(rig.end)
        yield rig
        if rig.api.runs:
            rig.empty()
            assert rig.leftovers() == leftovers.NOTHING
        rig.stop()


def _unmount(directory: Path) -> None:
    """Mounts and loop devices below it, the last first."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in reversed(mounts):
        if mount.startswith(f"{directory}/"):
            subprocess.run(["umount", "--lazy", mount], capture_output=True, check=False)
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            if backing.read_text().startswith(f"{directory}/"):
                subprocess.run(["losetup", "-d", f"/dev/{backing.parts[3]}"], capture_output=True, check=False)
