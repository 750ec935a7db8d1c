"""kill -9 at many moments of a boot: the next start finishes or undoes it, and nothing is orphaned."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.daemon import a_daemon, b64
from tests.system import leftovers
from tests.system.conftest import House, furnish

MOMENTS = int(os.environ.get("INJECTOR_KILLS", "8"))
SEED = int(os.environ.get("INJECTOR_SEED", "2"))


@pytest.fixture(scope="module")
def fragile() -> Iterator[House]:
    """A daemon of its own: it is killed."""
    with a_daemon({"dispatcher": {"ring_interval": 1}, "libvirt": {"shutdown_timeout": 5}}) as daemon:
        daemon.start()
        yield furnish(daemon)


def _moments(longest: float) -> list[float]:
    """From the POST to a little after the boot's end, one in each slice of it."""
    chance = random.Random(SEED)
    slice_ = longest * 1.1 / MOMENTS
    return [(number + chance.random()) * slice_ for number in range(MOMENTS)]


def measure(house: House) -> float:
    """Seconds from the POST to ACTIVE, undisturbed."""
    daemon, started = house.daemon, time.monotonic()
    server_id = daemon.boot(house.tiny, "measure", **request(house))
    daemon.wait_for_status(server_id, "ACTIVE")
    seconds = time.monotonic() - started
    daemon.delete(server_id)
    daemon.wait_until_gone(server_id)
    return seconds


def request(house: House) -> dict[str, Any]:
    return {"networks": [{"uuid": house.network}], "user_data": b64("#!/bin/sh\n:\n")}


def kill_at(house: House, moment: float) -> str:
    """Boot, kill the daemon after ``moment`` seconds, start it again; the status in which the instance ended."""
    daemon = house.daemon
    server_id = daemon.boot(house.tiny, f"killed at {moment:.3f}", **request(house))
    time.sleep(moment)
    daemon.kill()
    daemon.start()
    server = daemon.wait_for_status(server_id, "ACTIVE", "ERROR", seconds=240)
    assert server["status"] == "ACTIVE" or server["fault"]["message"]
    own = leftovers.of(daemon)
    assert own.directories == {server_id}
    assert len(own.domains) == len(own.emulators) == (1 if server["status"] == "ACTIVE" else 0)
    daemon.delete(server_id)
    daemon.wait_until_gone(server_id)
    assert leftovers.of(daemon) == leftovers.NOTHING
    return str(server["status"])


@pytest.mark.timeout(60 * MOMENTS)
def test_killed_at_any_moment_a_boot_is_finished_or_undone(fragile: House) -> None:
    for moment in _moments(measure(fragile)):
        kill_at(fragile, moment)


def test_killed_during_a_delete_it_is_finished(fragile: House) -> None:
    daemon = fragile.daemon
    for moment in (0.0, 0.02, 0.1):
        server_id = daemon.boot(fragile.tiny, "deleted", networks=[{"uuid": fragile.network}])
        daemon.wait_for_status(server_id, "ACTIVE")
        daemon.delete(server_id)
        time.sleep(moment)
        daemon.kill()
        daemon.start()
        daemon.wait_until_gone(server_id)
        assert leftovers.of(daemon) == leftovers.NOTHING


def test_a_daemon_told_to_end_finishes_its_builds(fragile: House) -> None:
    daemon = fragile.daemon
    server_id = daemon.boot(fragile.tiny, "in flight")
    assert daemon.stop() == 0
    daemon.start()
    server = daemon.wait_for_status(server_id, "ACTIVE")
    assert server["status"] == "ACTIVE"
    daemon.delete(server_id)
    daemon.wait_until_gone(server_id)
    assert leftovers.of(daemon) == leftovers.NOTHING
