"""The end of a process: whichever thread a signal meets, and while it starts; a second one is not waited for."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from injector.db import open_store
from tests.api_house import eventually
from tests.daemon import Daemon, a_daemon_without_guests
from tests.worlds import World

# "Not at once" would be the time a service waits, or for ever.
SOON = 20.0
SERVICES = ("api", "dispatcher", "compute")


@pytest.fixture
def daemon(tmp_path: Path, world: World) -> Iterator[Daemon]:
    with a_daemon_without_guests(tmp_path, world.with_options({})) as running:
        yield running


def send(pid: int, thread: int, number: signal.Signals) -> None:
    """To this thread of the process, as the kernel may choose for itself when it is sent to the process."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.tgkill(pid, thread, number) != 0:
        raise OSError(ctypes.get_errno(), "tgkill")


def others(pid: int) -> list[int]:
    """Its threads but the main one."""
    return [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir() if int(task.name) != pid]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_meets_another_thread_ends_it(daemon: Daemon, number: signal.Signals) -> None:
    process = daemon.process
    assert process is not None
    send(daemon.pid, others(daemon.pid)[-1], number)
    assert process.wait(SOON) == 0
    assert "ended" in daemon.log.read_text().splitlines()[-1]
    daemon.process = None


def test_a_second_signal_ends_it_hard(daemon: Daemon) -> None:
    """While the first one waits for a request that hangs."""
    process = daemon.process
    assert process is not None
    with hanging_request(daemon):
        os.kill(daemon.pid, signal.SIGTERM)
        eventually(lambda: "ending: " in daemon.log.read_text())
        os.kill(daemon.pid, signal.SIGTERM)
        assert process.wait(SOON) == -signal.SIGTERM
    daemon.process = None


@contextmanager
def hanging_request(daemon: Daemon) -> Iterator[None]:
    """One whose body does not come."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(daemon.socket))
        caller.sendall(b"POST /v2.1/flavors HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
        yield


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_refuses_a_bus_that_ends_at_its_own_process(service: str, tmp_path: Path) -> None:
    ended = run_service(service, tmp_path, "[database]\nconnection = postgresql+psycopg://127.0.0.1:1/injector\n")
    assert ended.returncode == 1
    assert f"injector-{service} cannot start" in ended.stderr
    assert "local:// ends at its own process: set transport_url = rabbit://" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["injector.conf"]


@pytest.mark.parametrize("service", ["api", "dispatcher"])
def test_a_service_refuses_a_database_of_its_own(service: str, tmp_path: Path) -> None:
    ended = run_service(service, tmp_path, "", "rabbit://127.0.0.1:1/")
    assert ended.returncode == 1
    assert "[database] connection" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["injector.conf"]


def run_service(service: str, directory: Path, more: str, bus: str = "local://") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(service, directory, more, bus), capture_output=True, text=True, check=False, timeout=60
    )


def command(service: str, directory: Path, more: str, bus: str) -> list[str]:
    file = directory / "injector.conf"
    file.write_text(f"[DEFAULT]\nstate_path = {directory}/state\ntransport_url = {bus}\n{more}")
    program = f"import sys; from injector.cmd import service; sys.exit(service.{service}())"
    return [sys.executable, "-c", program, f"--config-file={file}"]


LIBVIRT = "[libvirt]\nconnection_uri = test:///default\nvirt_type = qemu\n"


@contextmanager
def starting(service: str, directory: Path, port: int) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A service whose broker is at this port, and its log."""
    log = directory / "log"
    open_store(f"sqlite:///{directory}/shared.sqlite").close()
    more = f"[database]\nconnection = sqlite:///{directory}/shared.sqlite\n{LIBVIRT}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(service, directory, more, f"rabbit://x:x@127.0.0.1:{port}/"), stdout=output, stderr=output
        )
    try:
        yield process, log
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_waits_for_its_broker_and_ends_at_once(service: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with starting(service, tmp_path, port) as (process, log):
        eventually(lambda: log.read_text().count("waiting for the message broker: ") > 1, 60)
        assert process.poll() is None
        process.terminate()
        assert process.wait(SOON) == 0


def test_a_service_ends_though_its_broker_takes_the_call_and_says_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        with starting("dispatcher", tmp_path, silent.getsockname()[1]) as (process, _):
            caller, _ = silent.accept()
            process.terminate()
            assert process.wait(SOON) == 0
            caller.close()
