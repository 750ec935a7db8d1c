"""A host in trouble: each ends in ERROR with a reason its owner can act on, and nothing but the record is left."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.daemon import Daemon, a_daemon, b64
from tests.system import leftovers
from tests.system.conftest import House, furnish

LIBVIRT_SOCKET = "/run/libvirt/libvirt-sock"


class Line:
    """A wire to libvirtd that can be cut and mended: a forwarder between two Unix sockets."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ends: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self.mend()

    def mend(self) -> None:
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        assert self._listener is not None
        self._listener.close()
        self.path.unlink()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._ends.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(LIBVIRT_SOCKET)
            self._ends += [near, far]
            threading.Thread(target=_carry, args=(near, far), daemon=True).start()


def _carry(near: socket.socket, far: socket.socket) -> None:
    other = {near: far, far: near}
    try:
        while True:
            for end in select.select([near, far], [], [])[0]:
                data = end.recv(65536)
                if not data:
                    return
                other[end].sendall(data)
    except (OSError, ValueError):
        return
    finally:
        near.close()
        far.close()


def _fault(daemon: Daemon, server_id: str) -> str:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        server = daemon.server(server_id)
        if server["status"] == "ERROR":
            return str(server["fault"]["message"])
        assert server["status"] == "BUILD", server
        time.sleep(0.1)
    raise AssertionError(daemon.log.read_text()[-3000:])


def test_libvirtd_down_ends_in_error_and_leaves_nothing(tmp_path: Path) -> None:
    line = Line(tmp_path / "libvirt.sock")
    uri = f"qemu+unix:///system?socket={line.path}"
    with a_daemon({"libvirt": {"connection_uri": uri, "connect_timeout": 3}}) as daemon:
        daemon.start()
        house = furnish(daemon)
        line.cut()
        server_id = daemon.boot(house.tiny, "unlucky", networks=[{"uuid": house.network}])
        assert "libvirt" in _fault(daemon, server_id)
        line.mend()
        found = leftovers.of(daemon)
        assert (found.domains, found.emulators, found.claims) == (frozenset(),) * 3
        daemon.delete(server_id)
        daemon.wait_until_gone(server_id)
        again = daemon.boot(house.tiny, "lucky")
        daemon.wait_for_status(again, "ACTIVE")
        daemon.delete(again)
        daemon.wait_until_gone(again)
        assert leftovers.of(daemon) == leftovers.NOTHING


SAID = 1100  # MiB: what a host must have to be given the tiny guest, and a little


@contextmanager
def small_disk(path: Path, size: int) -> Iterator[None]:
    """Large enough for a guest, as it says; ``size`` MiB of it are left, the rest is a file without a name."""
    path.mkdir(mode=0o711, parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SAID}M,mode=0711", "tmpfs", path], check=True)
    try:
        with (path / "filler").open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, (SAID - size) * 1024**2)
            (path / "filler").unlink()
            yield
    finally:
        subprocess.run(["umount", path], check=True)


def fill(directory: Path, leave: int) -> Path:
    """Ballast that leaves ``leave`` bytes free."""
    space = os.statvfs(directory)
    ballast = directory / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(space.f_bavail * space.f_frsize - leave, 4096))
    return ballast


def test_a_full_disk_ends_in_error_and_leaves_nothing() -> None:
    """The disk of the guests is full, the database's is not."""
    with a_daemon() as daemon, ExitStack() as small:
        daemon.state.mkdir(mode=0o711)
        small.enter_context(small_disk(daemon.state / "instances", 8))
        daemon.start()
        daemon.add_flavor("1", ram=128)
        tiny = daemon.add_tiny()
        (daemon.state / "instances").chmod(0o711)
        ballast = fill(daemon.state / "instances", 64 * 1024)
        server_id = daemon.boot(tiny, "too much", user_data=b64(os.urandom(30000)))
        assert "full" in _fault(daemon, server_id)
        ballast.unlink()
        assert leftovers.of(daemon) == leftovers.NOTHING
        daemon.delete(server_id)
        daemon.wait_until_gone(server_id)
        daemon.empty()
        assert daemon.stop() == 0


def test_a_request_that_cannot_be_kept_is_not_accepted() -> None:
    """The disk of the database is full: 503 at once, and the daemon goes on when there is room again."""
    with a_daemon() as daemon, small_disk(daemon.state, 64):
        daemon.start()
        daemon.add_flavor("1", ram=128)
        tiny = daemon.add_tiny()
        ballast = fill(daemon.state, 0)
        body = {"name": "x", "imageRef": tiny, "flavorRef": "1", "networks": "none"}
        fault = daemon.call("POST", "/v2.1/servers", {"server": body}, 503)["serviceUnavailable"]
        assert "full" in fault["message"]
        assert str(daemon.state) not in fault["message"]
        ballast.unlink()
        assert daemon.servers() == []
        assert leftovers.of(daemon) == leftovers.NOTHING
        daemon.wait_for_status(daemon.boot(tiny, "enough"), "ACTIVE")
        daemon.empty()
        assert daemon.stop() == 0


def test_a_boot_that_libvirt_refuses_names_no_path_of_the_host(house: House) -> None:
    daemon = house.daemon
    network = daemon.add_network("nowhere", kind="bridge", source="no-such-br")
    before = leftovers.of(daemon)
    server_id = daemon.boot(house.tiny, "refused", networks=[{"uuid": network}])
    fault = _fault(daemon, server_id)
    assert "no-such-br" in fault
    assert str(daemon.state) not in fault
    assert leftovers.of(daemon) == before
    daemon.delete(server_id)
    daemon.wait_until_gone(server_id)


def test_a_frozen_guest_costs_nobody_else_anything() -> None:
    """A QEMU that does not answer: the daemon starts, boots another guest, and ends when told to."""
    with a_daemon({"compute": {"reconcile_interval": 2}, "libvirt": {"shutdown_timeout": 5}}) as daemon:
        daemon.start()
        house = furnish(daemon)
        frozen = daemon.boot(house.tiny, "frozen", networks=[{"uuid": house.network}])
        daemon.wait_for_status(frozen, "ACTIVE")
        (emulator,) = leftovers.of(daemon).emulators
        os.kill(int(emulator), signal.SIGSTOP)
        try:
            assert daemon.stop() == 0
            daemon.start()
            other = daemon.boot(house.tiny, "other", networks=[{"uuid": house.network}])
            daemon.wait_for_status(other, "ACTIVE")
            daemon.delete(other)
            daemon.wait_until_gone(other)
        finally:
            os.kill(int(emulator), signal.SIGCONT)
        daemon.empty()
        assert daemon.stop() == 0


def test_a_second_daemon_on_the_same_state_is_refused(house: House) -> None:
    command = [sys.executable, "-m", "injector.client.shell", "serve", f"--config-file={house.daemon.config}"]
    second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert second.returncode == 1
    assert "another injector runs on this state directory" in second.stderr
    house.daemon.call("GET", "/v2.1/servers")
