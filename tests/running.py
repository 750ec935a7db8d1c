"""A process of injector for tests and benchmarks: started, stopped, killed, frozen, and asked what it costs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Options = Mapping[str, Mapping[str, Any]]
# Tests run side by side, and a forwarded port is on this host: each lane has a range of its own.
_LANE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_FORWARDS: Options = {
    "dispatcher": {"forward_first_port": 20000 + 500 * _LANE, "forward_last_port": 20499 + 500 * _LANE}
}
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class Running:
    """One program with a log; ``process`` is None while it does not run. ``switch``: more for Popen, as a user."""

    def __init__(self, command: Sequence[str], log: Path, **switch: Any) -> None:
        self.command = list(command)
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self._switch = switch

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def words(self) -> str:
        """All that it has logged, in this life and earlier ones."""
        return self.log.read_text(errors="replace")

    def launch(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", **self._switch
            )

    def wait_until(self, up: Callable[[], bool], seconds: float = 60) -> None:
        """AssertionError with its log when it does not come up in time, or ends."""
        deadline = time.monotonic() + seconds
        while not up():
            assert self.process is not None
            assert self.process.poll() is None, self.words()[-4000:]
            assert time.monotonic() < deadline, "it does not come up: " + self.words()[-4000:]
            time.sleep(0.05)

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: no clean end."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """It stands still, its connections stay."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, number: signal.Signals) -> int:
        os.kill(self.pid, number)
        return self.wait()

    def wait(self, seconds: float = 120) -> int:
        """Its exit status, when it has ended."""
        assert self.process is not None
        status = self.process.wait(seconds)
        self.process = None
        return status

    def cpu_ms(self) -> float:
        """CPU of it and of all children it has reaped, in ms."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15]) * 1000 / CLOCK_TICKS

    def memory_mb(self) -> float:
        """Resident memory in MB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024


def write_config(file: Path, *layers: Options) -> None:
    """The later ones win, option by option; unless they say otherwise, forwards are in this lane's range of ports."""
    groups: dict[str, dict[str, object]] = {}
    for layer in (_FORWARDS, *layers):
        for group, values in layer.items():
            groups.setdefault(group, {}).update(values)
    lines = [
        line
        for group, values in groups.items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in values.items()))
    ]
    file.write_text("\n".join(lines) + "\n")
