"""A broker and a database that are nobody else's: to be stopped, killed and started again."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.daemon import STATE_ROOT

LIBRARY = Path(__file__).parents[2] / "devstack/lib"
_ONE_APART = 10
_ALL = 20


@dataclass(frozen=True)
class Server:
    """One program of devstack/lib/servers.sh in its directory; with what it holds it survives all that is done here."""

    kind: Literal["rabbit", "postgresql"]
    directory: Path
    port: int

    def up(self) -> None:
        self._do(f"{self.kind}_up {self.directory} {self.port}")

    def down(self) -> None:
        """A clean end."""
        self._do(f"{self.kind}_down {self.directory}")

    def kill(self) -> None:
        self._do(f"{self.kind}_kill {self.directory}")

    def url(self) -> str:
        return self._do(f"{self.kind}_url {self.directory} {self.port}")

    def management_url(self) -> str:
        """The broker's."""
        return self._do(f"rabbit_management_url {self.directory} {self.port}")

    def _do(self, words: str) -> str:
        libraries = " ".join(f". {LIBRARY}/{name}.sh;" for name in ("steps", "daemons", "servers"))
        log = self.directory.parent / "servers.log"
        script = f"set -euo pipefail; DEVSTACK_LOG={log}; {libraries} {words}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}{log.read_text()[-2000:]}"
        return done.stdout.strip()


@dataclass(frozen=True)
class Servers:
    """Both; ``tests.servers`` makes its virtual hosts and databases there."""

    broker: Server
    database: Server


@contextmanager
def private_servers(first_port: int) -> Iterator[Servers]:
    """In a directory that goes with them; on twenty ports from ``first_port`` on, or from the next that are free."""
    while not all(_is_free(port) for port in range(first_port, first_port + _ALL)):
        first_port += _ALL
    STATE_ROOT.mkdir(mode=0o711, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=STATE_ROOT, prefix="servers", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        directory.chmod(0o711)
        broker = Server("rabbit", directory / "rabbit", first_port)
        database = Server("postgresql", directory / "postgresql", first_port + _ONE_APART)
        try:
            broker.up()
            database.up()
            found = {
                "INJECTOR_TEST_RABBIT": broker.url(),
                "INJECTOR_TEST_RABBIT_MANAGEMENT": broker.management_url(),
                "INJECTOR_TEST_POSTGRESQL": database.url(),
            }
            with _environment(found):
                yield Servers(broker, database)
        finally:
            database.kill()
            broker.down()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
