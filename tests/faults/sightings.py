"""Who was seen running where, many times a second: one guest on two hosts at once is what must never be."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime

from tests.own_libvirt import OwnLibvirt
from tests.system import leftovers

_PAUSE_SECONDS = 0.05


class Sightings:
    """A thread, from ``start`` to ``stop``. ``twice``: a sentence for each guest that had two QEMUs at one moment."""

    def __init__(self, libvirts: Mapping[str, OwnLibvirt]) -> None:
        self._libvirts = libvirts
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._rounds, daemon=True)
        self.twice: dict[str, str] = {}

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _rounds(self) -> None:
        while not self._stopping.wait(_PAUSE_SECONDS):
            self.look()

    def look(self) -> None:
        seen: dict[str, dict[str, int]] = {}
        for host, libvirt in self._libvirts.items():
            for domain, pid in libvirt.emulators().items():
                seen.setdefault(domain, {})[host] = pid
        for domain, pids in seen.items():
            # One may have ended before the other was looked for.
            if len(pids) > 1 and all(leftovers.alive(pid) for pid in pids.values()):
                where = " and ".join(f"{host} ({pid})" for host, pid in sorted(pids.items()))
                now = datetime.now(UTC).isoformat(timespec="milliseconds")
                self.twice.setdefault(domain, f"{domain} ran on {where} at {now}")
