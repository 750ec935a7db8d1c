"""Boots a second and CPU a boot over RabbitMQ and PostgreSQL, with one compute and with fifty, on ``test:///default``.

Each compute is the service itself in a process of its own; only its hypervisor is libvirt's simulated one.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.bench import _processes
from tests.caller import b64
from tests.rig import IN_PROCESS, Rig, a_rig
from tests.running import Options
from tests.servers import rabbit_url

HOSTS = tuple(int(number) for number in os.environ.get("INJECTOR_BENCH_COMPUTES", "1,50").split(","))
BOOTS = int(os.environ.get("INJECTOR_BENCH_BOOTS", "300"))
IDLE_SECONDS = 20.0
_CALLERS = 8
_START_SECONDS = 600
_LOOK_SECONDS = 0.2

# As many guests as wanted on the simulated host, which has 3 GB of memory.
OPTIONS: Options = {
    "dispatcher": {"ram_allocation_ratio": 1000, "cpu_allocation_ratio": 1000, "disk_allocation_ratio": 1000},
    "compute": {"max_concurrent_builds": 10},
}
REQUEST: dict[str, Any] = {
    "networks": "auto",
    "user_data": b64("#cloud-config\n" + "# filler\n" * 400),
    "metadata": {"role": "web", "tier": "1", "essential": "false"},
    "personality": [{"path": f"/etc/file{number}", "contents": b64(bytes(6000))} for number in range(5)],
}

Spent = Mapping[str, float]
"""Milliseconds of CPU so far, by who spent them: api, dispatcher, compute, broker, database."""


def run() -> list[dict[str, Any]]:
    return [row for hosts in HOSTS for row in _of(hosts)]


def start(rig: Rig) -> str:
    """All services, and an image that every compute has; the image's id."""
    rig.start(_START_SECONDS)
    file = rig.directory / "image.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", file, "64M"], check=True)
    image = rig.add_image("bench", file, "qcow2")
    rig.add_flavor("1", ram=64)
    rig.add_network()
    # One after the other: the least loaded takes it, so that each takes one.
    boot_all(rig, image, len(rig.computes), callers=1)
    assert len({server["OS-EXT-SRV-ATTR:host"] for server in rig.servers()}) == len(rig.computes)
    rig.empty()
    return image


def boot_all(rig: Rig, image: str, count: int, callers: int = _CALLERS) -> None:
    """By some callers at once; returns when all of them are there."""
    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(lambda number: rig.boot(image, f"b{number}", **REQUEST), range(count)))
    while rig.call("GET", "/v2.1/servers?status=BUILD&limit=1")["servers"]:
        time.sleep(_LOOK_SECONDS)
    statuses = {server["status"] for server in rig.servers()}
    assert statuses == {"ACTIVE"}, statuses


def _of(hosts: int) -> list[dict[str, Any]]:
    with a_rig(hosts=hosts, hypervisor=IN_PROCESS, options=OPTIONS) as rig:
        image = start(rig)
        before, began = _spent(rig), time.monotonic()
        time.sleep(IDLE_SECONDS)
        idle = _since(before, _spent(rig), time.monotonic() - began)
        before, began = _spent(rig), time.monotonic()
        boot_all(rig, image, BOOTS)
        passed = time.monotonic() - began
        boot = _since(before, _spent(rig), BOOTS)
    return [
        _row(f"boot_on_{hosts}", passed * 1000 / BOOTS, boot, BOOTS),
        _row(f"idle_second_of_{hosts}", 1000.0, idle, int(IDLE_SECONDS)),
    ]


def _spent(rig: Rig) -> Spent:
    spent = {"broker": _processes.cpu_ms(_broker()), "database": _processes.cpu_ms(_database(rig))}
    for service in rig.services:
        spent[service.kind] = spent.get(service.kind, 0.0) + _processes.cpu_ms(service.pid)
    return spent


def _since(before: Spent, after: Spent, times: float) -> Spent:
    return {who: (after[who] - before[who]) / times for who in after}


def _broker() -> int:
    return _processes.listener(int(rabbit_url().rpartition(":")[2].partition("/")[0]))


def _database(rig: Rig) -> int:
    port = sa.make_url(rig.database).port
    assert port is not None
    return _processes.listener(port)


def _row(name: str, wall: float, cpu: Spent, runs: int) -> dict[str, Any]:
    """All services of ours, beside the broker and the database; each by itself is in the file."""
    ours = sum(cpu[kind] for kind in ("api", "dispatcher", "compute"))
    theirs = cpu["broker"] + cpu["database"]
    return {
        "name": name,
        "ours_ms": wall,
        "ours_cpu_ms": ours,
        "peer": ", ".join(f"{who} {spent:.1f}" for who, spent in sorted(cpu.items())),
        "peer_ms": wall,
        "peer_cpu_ms": theirs,
        "ratio": ours / max(theirs, 0.001),
        "runs": runs,
        "cpu_ms_by": dict(cpu),
        "load": Path("/proc/loadavg").read_text().split()[0],
    }
