"""A real ``injector serve`` for tests and benchmarks: its own state directory, socket and port, started and ended."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.reach import Seat

# Nothing under /tmp or /home: libvirt's AppArmor helper accepts no such paths.
STATE_ROOT = Path(os.environ.get("INJECTOR_TEST_STATE", "/var/lib/injector-test"))
Options = Mapping[str, Mapping[str, Any]]
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class User:
    """Another user to run the daemon as, in these groups only."""

    name: str
    seat: Seat
    groups: tuple[str, ...] = ("injector", "libvirt")

    @property
    def switch(self) -> dict[str, Any]:
        return {"user": self.name, "extra_groups": list(self.groups), "env": dict(self.seat.environment)}


class Daemon:
    """One daemon and an HTTP client for its socket. ``options`` by group: {"libvirt": {"virt_type": "qemu"}}."""

    def __init__(self, state: Path, options: Options, user: User | None = None) -> None:
        self.state = state
        self.user = user
        self.log = state.with_name(state.name + ".log")
        self.config = state.with_name(state.name + ".conf")
        self.socket = state / "api.sock"
        self._write_config(options)
        self.process: subprocess.Popen[bytes] | None = None
        transport = httpx.HTTPTransport(uds=str(self.socket))
        self.http = httpx.Client(
            transport=transport,
            base_url="http://injector",
            timeout=120,
            headers={"OpenStack-API-Version": "compute 2.56"},
        )

    def _write_config(self, options: Options) -> None:
        groups: dict[str, dict[str, object]] = {
            "DEFAULT": {"state_path": self.state, "host": "testhost", "log_file": self.log, "shutdown_timeout": 20},
            "api": {"socket": self.socket, "port": 0},
            "libvirt": {"virt_type": "qemu"},
        }
        for group, values in options.items():
            groups.setdefault(group, {}).update(values)
        lines = [
            line
            for group, values in groups.items()
            for line in (f"[{group}]", *(f"{name} = {value}" for name, value in values.items()))
        ]
        self.config.write_text("\n".join(lines) + "\n")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self, *, wait: bool = True) -> None:
        """Start it; with ``wait`` until its socket answers. AssertionError with its log when it does not."""
        python = self.user.seat.python if self.user else sys.executable
        command = [python, "-m", "injector.client.shell", "serve", f"--config-file={self.config}"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                **(self.user.switch if self.user else {}),
            )
        if wait:
            self.wait_until_up()

    def wait_until_up(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            with contextlib.suppress(httpx.HTTPError):
                if self.http.get("/v2.1/").status_code == 200:
                    return
            time.sleep(0.05)
        raise AssertionError("the daemon does not answer: " + self.log.read_text()[-4000:])

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: no clean end."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(120)
        self.process = None
        return status

    def cpu_ms(self) -> float:
        """CPU of the daemon and of all children it has reaped, in ms."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15]) * 1000 / CLOCK_TICKS

    def memory_mb(self) -> float:
        """Resident memory in MB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    # the API, as tests say it

    def call(self, method: str, path: str, body: object = None, expect: int | None = None) -> Any:
        answer = self.http.request(method, path, json=body)
        wanted = range(200, 300) if expect is None else (expect,)
        assert answer.status_code in wanted, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def add_image(self, name: str, file: Path, disk_format: str, **properties: str) -> str:
        container = disk_format if disk_format in ("aki", "ari") else "bare"
        record = {"name": name, "disk_format": disk_format, "container_format": container, **properties}
        image_id = str(self.call("POST", "/v2/images", record)["id"])
        with file.open("rb") as stream:
            answer = self.http.put(
                f"/v2/images/{image_id}/file", content=stream, headers={"Content-Type": "application/octet-stream"}
            )
        assert answer.status_code == 204, answer.text
        return image_id

    def add_flavor(self, flavor_id: str = "1", *, ram: int = 128, disk: int = 0, vcpus: int = 1) -> str:
        body = {"id": flavor_id, "name": f"f{flavor_id}", "ram": ram, "disk": disk, "vcpus": vcpus}
        return str(self.call("POST", "/v2.1/flavors", {"flavor": body})["flavor"]["id"])

    def add_network(self, name: str = "default", kind: str = "user", **more: Any) -> str:
        ours = {f"injector:{field}": value for field, value in {"kind": kind, **more}.items()}
        return str(self.call("POST", "/v2.0/networks", {"network": {"name": name, **ours}})["network"]["id"])

    def boot(self, image: str, name: str = "guest", flavor: str = "1", **server: Any) -> str:
        body = {"server": {"name": name, "imageRef": image, "flavorRef": flavor, "networks": "none", **server}}
        return str(self.call("POST", "/v2.1/servers", body, 202)["server"]["id"])

    def boot_many(self, image: str, name: str, flavor: str = "1", **server: Any) -> str:
        """The reservation's id."""
        body = {"server": {"name": name, "imageRef": image, "flavorRef": flavor, "networks": "none", **server}}
        return str(self.call("POST", "/v2.1/servers", body, 202)["reservation_id"])

    def addresses(self) -> list[str]:
        """Where the API listens, as the daemon's log says it."""
        said = re.findall(r"injector \S+ serves on (.+)", self.log.read_text())
        return str(said[-1]).split(", ")

    def server(self, server_id: str) -> Any:
        return self.call("GET", f"/v2.1/servers/{server_id}")["server"]

    def servers(self) -> list[Any]:
        return list(self.call("GET", "/v2.1/servers/detail")["servers"])

    def act(self, server_id: str, action: object) -> Any:
        return self.call("POST", f"/v2.1/servers/{server_id}/action", action)

    def receipt(self, server_id: str) -> Any:
        return self.call("GET", f"/v2.1/servers/{server_id}/injector-receipt")["receipt"]

    def console(self, server_id: str) -> str:
        return str(self.act(server_id, {"os-getConsoleOutput": {"length": None}})["output"])

    def wait_for_status(self, server_id: str, *statuses: str, seconds: float = 120) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            server = self.server(server_id)
            if server["status"] in statuses:
                return server
            assert server["status"] != "ERROR", server.get("fault")
            time.sleep(0.1)
        raise AssertionError(f"still {server['status']}, not {statuses}: {self.log.read_text()[-3000:]}")

    def wait_for_guest(self, server_id: str, *states: str, seconds: float = 240) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            server = self.server(server_id)
            if server["injector:guest"]["state"] in states:
                return server
            time.sleep(0.25)
        raise AssertionError(f"the guest says {server['injector:guest']}: {self.console(server_id)[-3000:]}")

    def delete(self, server_id: str) -> None:
        self.call("DELETE", f"/v2.1/servers/{server_id}", expect=204)

    def wait_until_gone(self, server_id: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.http.get(f"/v2.1/servers/{server_id}").status_code == 404:
                return
            time.sleep(0.05)
        raise AssertionError(f"{server_id} is still there")

    def empty(self) -> None:
        """Delete every server and wait until all are gone."""
        ids = [server["id"] for server in self.servers()]
        for server_id in ids:
            self.delete(server_id)
        for server_id in ids:
            self.wait_until_gone(server_id)


def b64(content: bytes | str) -> str:
    return base64.b64encode(content.encode() if isinstance(content, str) else content).decode()


@contextlib.contextmanager
def a_daemon(options: Options | None = None, user: User | None = None) -> Iterator[Daemon]:
    """A daemon with an empty state; afterwards its guests are deleted and nothing of it is left."""
    STATE_ROOT.mkdir(mode=0o711, parents=True, exist_ok=True)
    parent = Path(tempfile.mkdtemp(dir=STATE_ROOT, prefix="d"))
    parent.chmod(0o711)
    daemon = Daemon(parent / "state", options or {}, user)
    try:
        yield daemon
        if daemon.process is not None:
            daemon.empty()
            assert daemon.stop() == 0, daemon.log.read_text()[-4000:]
    finally:
        if daemon.process is not None:
            daemon.kill()
            _remove_domains(daemon.state)
        daemon.http.close()
        shutil.rmtree(parent)


@contextlib.contextmanager
def a_daemon_without_guests(scratch: Path, **default: Any) -> Iterator[Daemon]:
    """One on libvirt's own test hypervisor, with an empty image and the flavor "1"; ``default``: options of DEFAULT."""
    disk = scratch / "disk.raw"
    disk.write_bytes(bytes(1024 * 1024))
    libvirt = {"connection_uri": "test:///default", "virt_type": "qemu"}
    with a_daemon({"DEFAULT": default, "libvirt": libvirt}) as running:
        running.start()
        running.add_image("empty", disk, "raw")
        running.add_flavor("1", ram=64)
        yield running


def _remove_domains(state: Path) -> None:
    """After a test that failed: its guests would run on."""
    listed = subprocess.run(["virsh", "list", "--all", "--uuid"], capture_output=True, text=True, check=False)
    for uuid in listed.stdout.split():
        described = subprocess.run(["virsh", "dumpxml", uuid], capture_output=True, text=True, check=False)
        if str(state) in described.stdout:
            subprocess.run(["virsh", "destroy", uuid], capture_output=True, check=False)
            subprocess.run(["virsh", "undefine", "--nvram", uuid], capture_output=True, check=False)
