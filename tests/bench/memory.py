"""Memory of each service, idle and after thousands of boots over RabbitMQ and PostgreSQL: it does not grow.

Each boot is a whole one, on ``test:///default``; about fifty guests are there at a time, and the oldest is deleted for
the next. What was measured so far is in ``bench-memory.json``.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.bench.scale import OPTIONS, REQUEST, start
from tests.rig import IN_PROCESS, Rig, a_rig

BOOTS = int(os.environ.get("INJECTOR_BENCH_BOOTS", "1000"))
PORTIONS = 10
POPULATION = 50
RESULTS = Path("bench-memory.json")
_CALLERS = 6
_REST_SECONDS = 10.0


class Tenants:
    """Whoever boots guests and deletes the oldest, several at once."""

    def __init__(self, rig: Rig, image: str) -> None:
        self._rig = rig
        self._image = image
        self._guests: deque[str] = deque()
        self._mutex = threading.Lock()

    def boot(self, count: int) -> None:
        with ThreadPoolExecutor(_CALLERS) as callers:
            list(callers.map(self._one, range(count)))

    def _one(self, number: int) -> None:
        guest = self._rig.boot(self._image, f"m{number}", **REQUEST)
        with self._mutex:
            self._guests.append(guest)
            oldest = self._guests.popleft() if len(self._guests) > POPULATION else None
        if oldest is not None:
            # It has begun fifty boots ago: as a rule it is there.
            self._rig.wait_for_status(oldest, "ACTIVE")
            self._rig.delete(oldest)


def run() -> list[dict[str, Any]]:
    with a_rig(hosts=2, hypervisor=IN_PROCESS, options=OPTIONS) as rig:
        image = start(rig)
        taken = {0: _taken(rig)}
        tenants = Tenants(rig, image)
        began = time.monotonic()
        for portion in range(1, PORTIONS + 1):
            tenants.boot(BOOTS // PORTIONS)
            boots = portion * (BOOTS // PORTIONS)
            taken[boots] = _taken(rig)
            RESULTS.write_text(json.dumps({"seconds": time.monotonic() - began, "mb": taken}, indent=1) + "\n")
    return [_row(name, taken) for name in taken[0]]


def _taken(rig: Rig) -> dict[str, float]:
    """Resident memory of each service, in MB."""
    time.sleep(_REST_SECONDS)
    return {service.name: service.memory_mb() for service in rig.services}


def _row(name: str, taken: dict[int, dict[str, float]]) -> dict[str, Any]:
    """After all boots, beside a tenth of them: the first fill caches and pools, and libvirt's simulated host."""
    first, last = (taken[boots][name] for boots in (BOOTS // PORTIONS, BOOTS // PORTIONS * PORTIONS))
    return {
        "name": f"memory_{name}_mb",
        "ours_ms": last,
        "ours_cpu_ms": 0.0,
        "peer": f"after a tenth; idle {taken[0][name]:.1f}",
        "peer_ms": first,
        "peer_cpu_ms": 0.0,
        "ratio": last / first,
        "runs": BOOTS,
    }
