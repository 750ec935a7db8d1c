"""A real ``injector serve`` for tests and benchmarks: its own state directory, socket and port, started and ended."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.caller import HEADERS, Caller
from tests.caller import b64 as b64
from tests.reach import Seat
from tests.running import Options, Running, write_config
from tests.system.leftovers import remove_domains

# Nothing under /tmp or /home: libvirt's AppArmor helper accepts no such paths.
STATE_ROOT = Path(os.environ.get("INJECTOR_TEST_STATE", "/var/lib/injector-test"))


@dataclass(frozen=True)
class User:
    """Another user to run the daemon as, in these groups only."""

    name: str
    seat: Seat
    groups: tuple[str, ...] = ("injector", "libvirt")

    @property
    def switch(self) -> dict[str, Any]:
        return {"user": self.name, "extra_groups": list(self.groups), "env": dict(self.seat.environment)}


class Daemon(Running, Caller):
    """One daemon and an HTTP client for its socket. ``options`` by group: {"libvirt": {"virt_type": "qemu"}}."""

    def __init__(self, state: Path, options: Options, user: User | None = None) -> None:
        self.state = state
        self.user = user
        self.config = state.with_name(state.name + ".conf")
        self.socket = state / "api.sock"
        python = user.seat.python if user else sys.executable
        command = [str(python), "-m", "injector.client.shell", "serve", f"--config-file={self.config}"]
        super().__init__(command, state.with_name(state.name + ".log"), **(user.switch if user else {}))
        mine: Options = {
            "DEFAULT": {"state_path": state, "host": "testhost", "log_file": self.log, "shutdown_timeout": 20},
            "api": {"socket": self.socket, "port": 0},
            "libvirt": {"virt_type": "qemu"},
        }
        write_config(self.config, mine, options)
        transport = httpx.HTTPTransport(uds=str(self.socket))
        self.http = httpx.Client(transport=transport, base_url="http://injector", timeout=120, headers=HEADERS)

    def start(self, *, wait: bool = True) -> None:
        """Start it; with ``wait`` until its socket answers. AssertionError with its log when it does not."""
        self.launch()
        if wait:
            self.wait_until_up()

    def wait_until_up(self, seconds: float = 60) -> None:
        self.wait_until(self.answers, seconds)

    def addresses(self) -> list[str]:
        """Where the API listens, as the daemon's log says it."""
        said = re.findall(r"injector \S+ serves on (.+)", self.words())
        return str(said[-1]).split(", ")


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
            assert daemon.stop() == 0, daemon.words()[-4000:]
    finally:
        if daemon.process is not None:
            daemon.kill()
            remove_domains(daemon.state)
        daemon.http.close()
        shutil.rmtree(parent)


@contextlib.contextmanager
def a_daemon_without_guests(scratch: Path, options: Options | None = None, **default: Any) -> Iterator[Daemon]:
    """One on libvirt's own test hypervisor, with an empty image and the flavor "1".

    ``options`` as of ``Daemon``, ``default`` those of DEFAULT.
    """
    disk = scratch / "disk.raw"
    disk.write_bytes(bytes(1024 * 1024))
    libvirt = {"connection_uri": "test:///default", "virt_type": "qemu"}
    options = options or {}
    with a_daemon({**options, "DEFAULT": {**options.get("DEFAULT", {}), **default}, "libvirt": libvirt}) as running:
        running.start()
        running.add_image("empty", disk, "raw")
        running.add_flavor("1", ram=64)
        yield running
