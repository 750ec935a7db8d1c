"""Looks at every process of this machine, as any of its users can."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


class Watch:
    """Command lines and environments of every process of this machine, as often as there is time for it.

    Environments only of the daemon and of what it has started: ours knows where the servers are.
    """

    def __init__(self) -> None:
        self.command_lines: set[bytes] = set()
        self.environments: set[bytes] = set()
        self._daemon: int | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def look_at(self, daemon: int) -> None:
        self._daemon = daemon

    def _run(self) -> None:
        while not self._ended.wait(0.01):
            pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
            parents = {pid: _parent(pid) for pid in pids}
            for pid in pids:
                self.command_lines.add(_read(pid, "cmdline"))
                if self._daemon is not None and _descends(pid, self._daemon, parents):
                    self.environments.add(_read(pid, "environ"))

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def _read(pid: int, name: str) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_bytes()
    return b""


def _parent(pid: int) -> int:
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0


def _descends(pid: int, ancestor: int, parents: Mapping[int, int]) -> bool:
    while pid not in (0, ancestor):
        pid = parents.get(pid, 0)
    return pid == ancestor
