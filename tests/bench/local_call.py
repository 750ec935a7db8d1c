"""A call over ``local://`` with the payload of a boot (18 KB), beside the same call over the library's ``fake://``."""

from __future__ import annotations

import statistics
import time
from typing import Any

from oslo_config import cfg

from injector.rpc.bus import Bus

PAYLOAD = {f"file-{number}": "x" * 1000 for number in range(18)}
WARM_UP = 5


class Echo:
    version = "1.0"
    methods = ("echo",)

    def echo(self, payload: dict[str, str]) -> dict[str, str]:
        return payload


def run(runs: int = 500, peer_runs: int = 40) -> list[dict[str, Any]]:
    """One row; milliseconds a call, wall median and processor mean, both sides of the call together."""
    ours_ms, ours_cpu_ms = measure("local:///bench", runs)
    peer_ms, peer_cpu_ms = measure("fake://", peer_runs)
    return [
        {
            "name": "local_call",
            "ours_ms": ours_ms,
            "ours_cpu_ms": ours_cpu_ms,
            "peer": "oslo.messaging fake://",
            "peer_ms": peer_ms,
            "peer_cpu_ms": peer_cpu_ms,
            "ratio": round(ours_ms / peer_ms, 4),
            "runs": runs,
        }
    ]


def measure(url: str, runs: int) -> tuple[float, float]:
    """Wall (median) and processor time (mean) of one call, in milliseconds."""
    conf = cfg.ConfigOpts()
    conf([], project="injector")
    bus = Bus.open(conf, url)
    bus.serve("bench", "here", Echo())
    for _ in range(WARM_UP):
        _one_call(bus)
    begun = time.process_time()
    walls = [_one_call(bus) for _ in range(runs)]
    cpu = (time.process_time() - begun) / runs
    bus.close()
    return round(statistics.median(walls) * 1000, 3), round(cpu * 1000, 3)


def _one_call(bus: Bus) -> float:
    begun = time.perf_counter()
    bus.call("bench", "echo", version="1.0", payload=PAYLOAD)
    return time.perf_counter() - begun


if __name__ == "__main__":
    print(run())
