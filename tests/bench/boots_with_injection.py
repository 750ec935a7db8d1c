"""Boots a second with partition injection, 1, 4 and 8 at once, against the same boots with a config drive.

POST to ACTIVE on libvirt's test hypervisor: nothing but our own work, with overlays and injections really made. A row's
milliseconds are the time that passed for all boots, divided by their number.
"""

from __future__ import annotations

import time
from typing import Any

from tests.bench import _asked as asked
from tests.bench._processes import cpu_ms
from tests.daemon import Daemon, a_daemon, b64
from tests.system.conftest import GUESTS

BOOTS = 48
AT_ONCE = (1, 4, 8)


def run() -> list[dict[str, Any]]:
    return [_row(at_once) for at_once in AT_ONCE]


def _options(at_once: int) -> dict[str, dict[str, Any]]:
    return {
        "DEFAULT": {"force_config_drive": False, "shutdown_timeout": 5},
        "libvirt": {
            "connection_uri": "test:///default",
            "inject_partition": -1,
            "inject_key": True,
            "inject_password": True,
        },
        "injection": {"filesystems": "ext"},
        "dispatcher": {"ram_allocation_ratio": 100, "cpu_allocation_ratio": 1000},
        "compute": {"max_concurrent_builds": at_once},
        "quota": {"injected_file_content_bytes": 20480},
    }


def _row(at_once: int) -> dict[str, Any]:
    with a_daemon(_options(at_once)) as daemon:
        daemon.start()
        request = _furnish(daemon)
        wall, cpu = _measure(daemon, "partition", image=_image(daemon), **request)
        # The same image, said to have what reads a drive.
        agent = _image(daemon, injector_agent="yes")
        drive_wall, drive_cpu = _measure(daemon, "config_drive", image=agent, config_drive=True, **request)
    return {
        "name": f"boots_with_injection_{at_once}_at_once",
        "ours_ms": wall,
        "ours_cpu_ms": cpu,
        "peer": "config drive",
        "peer_ms": drive_wall,
        "peer_cpu_ms": drive_cpu,
        "ratio": wall / drive_wall,
        "runs": BOOTS,
    }


def _furnish(daemon: Daemon) -> dict[str, Any]:
    """Flavor, key and network; what a boot asks for."""
    daemon.add_flavor("1", ram=64)
    subnet = {"cidr": "10.0.0.0/16", "gateway": "10.0.0.2", "pool_first": "10.0.0.50", "pool_last": "10.0.9.250"}
    network = daemon.add_network("bench", subnets=[subnet])
    body = {"keypair": {"name": asked.KEY_NAME, "public_key": asked.PUBLIC_KEY}}
    daemon.call("POST", "/v2.1/os-keypairs", body)
    return {
        "networks": [{"uuid": network}],
        "key_name": asked.KEY_NAME,
        "adminPass": asked.PASSWORD,
        "metadata": asked.METADATA,
        "personality": [{"path": path, "contents": b64(content)} for path, content in asked.FILES],
    }


def _image(daemon: Daemon, **properties: str) -> str:
    return daemon.add_image("bench", GUESTS / "tiny" / "partition.qcow2", "qcow2", **properties)


def _measure(daemon: Daemon, channel: str, **request: Any) -> tuple[float, float]:
    """Milliseconds a boot, of time and of CPU; the first boot, which looks into the image, is not counted."""
    first = daemon.boot(name="first", **request)
    daemon.wait_for_status(first, "ACTIVE")
    assert daemon.receipt(first)["channel"] == channel
    before, started = cpu_ms(daemon.pid), time.monotonic()
    daemon.boot_many(name="many", return_reservation_id=True, min_count=BOOTS, max_count=BOOTS, **request)
    # The look that costs the daemon least: what it spends on being watched is no part of a boot.
    while daemon.call("GET", "/v2.1/servers?status=BUILD&limit=1")["servers"]:
        time.sleep(0.02)
    figures = (time.monotonic() - started) * 1000 / BOOTS, (cpu_ms(daemon.pid) - before) / BOOTS
    assert {server["status"] for server in daemon.servers()} == {"ACTIVE"}
    daemon.empty()
    return figures
