"""kill -9 many times during a partition injection: the next start finishes or undoes it, and nothing is orphaned."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Daemon, a_daemon, b64
from tests.guest_disks import GuestDisk, debugfs, fsck
from tests.system import leftovers
from tests.system.conftest import GUESTS, INJECTING, raw_disk

MOMENTS = int(os.environ.get("INJECTOR_KILLS", "12"))
SEED = int(os.environ.get("INJECTOR_SEED", "4"))
ROOT_START, ROOT_SIZE = 1024**2, 64 * 1024**2
CONTENT = "0123456789abcde\n" * 448
REQUEST: dict[str, Any] = {
    "adminPass": "correct horse",
    "metadata": {"role": "web"},
    "personality": [{"path": f"/etc/file{number}", "contents": b64(CONTENT)} for number in range(5)],
}


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """One that is killed."""
    with a_daemon(INJECTING | {"dispatcher": {"ring_interval": 1}}) as running:
        running.start()
        running.add_flavor("1", ram=128)
        yield running


@pytest.fixture(scope="module")
def tiny(daemon: Daemon) -> str:
    """Without its kernel: the machine runs, finds nothing to start, and leaves the processor to others."""
    return daemon.add_image("partition", GUESTS / "tiny" / "partition.qcow2", "qcow2")


def wait_for_step(daemon: Daemon, server_id: str, *steps: str) -> float:
    """When the build was at one of these, as its journal says."""
    journal, until = daemon.state / "instances" / server_id / "intent.json", time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if json.loads(journal.read_text())["step"] in steps:
                return time.monotonic()
        except (FileNotFoundError, ValueError):
            pass
        time.sleep(0.0005)
    raise AssertionError(f"the build never came to {steps}")


def seconds_of_an_injection(daemon: Daemon, image: str) -> float:
    """Of the step that delivers, undisturbed."""
    server_id = daemon.boot(image, "measure", **REQUEST)
    begun = wait_for_step(daemon, server_id, "deliver")
    seconds = wait_for_step(daemon, server_id, "start", "running") - begun
    daemon.wait_for_status(server_id, "ACTIVE")
    daemon.delete(server_id)
    daemon.wait_until_gone(server_id)
    return seconds


def kill_at(daemon: Daemon, image: str, moment: float, work: Path) -> str:
    """Boot, kill the daemon so many seconds into the injection, start it again: the status the instance comes to."""
    server_id = daemon.boot(image, f"killed at {moment:.4f}", **REQUEST)
    wait_for_step(daemon, server_id, "deliver")
    time.sleep(moment)
    family = leftovers.family(daemon.pid)
    daemon.kill()
    daemon.start()
    server = daemon.wait_for_status(server_id, "ACTIVE", "ERROR", seconds=240)
    assert [one for one in family if one.alive] == []
    assert leftovers.of_injection(daemon) == frozenset()
    own = leftovers.of(daemon)
    assert own.directories == {server_id}
    assert len(own.domains) == len(own.emulators) == (1 if server["status"] == "ACTIVE" else 0)
    if server["status"] == "ACTIVE":
        check_disk(daemon, server_id, work)
    else:
        assert server["fault"]["message"]
    daemon.delete(server_id)
    daemon.wait_until_gone(server_id)
    assert leftovers.of(daemon) == leftovers.NOTHING
    return str(server["status"])


def check_disk(daemon: Daemon, server_id: str, work: Path) -> None:
    """Finished means all of it, in a sound file system."""
    assert {item["outcome"] for item in daemon.receipt(server_id)["items"]} == {"read back"}
    disk = GuestDisk(raw_disk(daemon, server_id, work / "raw"), ROOT_START, ROOT_SIZE)
    assert fsck(disk) == ""
    paths = [file["path"] for file in REQUEST["personality"]]
    assert debugfs(disk, *(f"cat {path}" for path in paths)) == CONTENT * len(paths)


@pytest.mark.timeout(60 * MOMENTS)
def test_killed_at_any_moment_of_an_injection_it_is_finished_or_undone(
    daemon: Daemon, tiny: str, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    slice_ = seconds_of_an_injection(daemon, tiny) * 1.1 / MOMENTS
    ended = {kill_at(daemon, tiny, (number + chance.random()) * slice_, tmp_path) for number in range(MOMENTS)}
    assert ended <= {"ACTIVE", "ERROR"}
