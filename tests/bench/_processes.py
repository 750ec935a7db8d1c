"""What a process and all that it started cost this host: CPU, those that have ended included, and memory."""

from __future__ import annotations

import os
import threading
from pathlib import Path

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_BREATH = 0.002
_LISTENS = "0A"


def cpu_ms(pid: int) -> float:
    """Of the processes that live, with the children each has waited for. In steps of the clock's ticks (10 ms)."""
    return sum(_ticks(one) for one in tree(pid)) * 1000 / CLOCK_TICKS


def memory_mb(pid: int) -> float:
    """Resident now; a page that several of them share is counted once (PSS)."""
    return sum(_pss_kb(one) for one in tree(pid)) / 1024


def tree(pid: int) -> list[int]:
    """The process and its descendants."""
    children: dict[int, list[int]] = {}
    for one in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        fields = _stat(one)
        if fields:
            children.setdefault(int(fields[1]), []).append(one)
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def listener(port: int) -> int:
    """The pid of the process that listens on this TCP port of 127.0.0.1 or of all addresses."""
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    sockets = {f"socket:[{line[9]}]" for line in lines if line[1].endswith(f":{port:04X}") and line[3] == _LISTENS}
    found = {int(link.parts[2]) for link in Path("/proc").glob("[0-9]*/fd/*") if _target(link) in sockets}
    # A server's children may have inherited it.
    return min(found)


class Peak:
    """The most memory that the process and all that it started had at once, as far as a look now and then sees it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.mb = 0.0

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_BREATH):
            self.mb = max(self.mb, memory_mb(self._pid))


def _target(link: Path) -> str | None:
    try:
        return str(link.readlink())
    except OSError:
        return None


def _ticks(pid: int) -> int:
    return sum(int(field) for field in _stat(pid)[11:15])


def _stat(pid: int) -> list[str]:
    """From the state on; nothing of a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
