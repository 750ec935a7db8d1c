"""What a boot starts on its host (QEMU, block layers, workers) has no secret where other users can read it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Daemon, a_daemon, b64
from tests.system.conftest import GUESTS, INJECTING
from tests.traces import traces
from tests.watch import Watch

PASSWORD, FILE, USER_DATA = b"tr0ub4dor-and-three", b"zw1tterwolf-word", b"#!/bin/sh\n# qu1ckbrownfox\n"
DRIVE: dict[str, Any] = {"DEFAULT": {"debug": True}}
PARTITION: dict[str, Any] = {**INJECTING, "DEFAULT": {**INJECTING["DEFAULT"], "debug": True}}


@pytest.fixture(params=["drive", "partition"])
def channel(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def daemon(channel: str) -> Iterator[Daemon]:
    with a_daemon(DRIVE if channel == "drive" else PARTITION) as running:
        running.start()
        running.add_flavor("1", ram=128)
        yield running


def test_no_secret_is_where_others_can_read(daemon: Daemon, channel: str) -> None:
    asked: dict[str, Any] = {
        "adminPass": PASSWORD.decode(),
        "personality": [{"path": "/etc/word", "contents": b64(FILE)}],
    }
    if channel == "drive":
        asked["user_data"] = b64(USER_DATA)
    with Watch() as seen:
        seen.look_at(daemon.pid)
        image = daemon.add_image("partition", GUESTS / "tiny" / "partition.qcow2", "qcow2", injector_agent="yes")
        guest = daemon.boot(image, "keeper", **asked)
        daemon.wait_for_status(guest, "ACTIVE")
    described = subprocess.run(["virsh", "dumpxml", guest], capture_output=True, check=True).stdout
    (name,) = (line for line in described.decode().splitlines() if "<name>" in line)
    name = name.strip().removeprefix("<name>").removesuffix("</name>")
    places = {
        "command lines": b"\n".join(seen.command_lines),
        "environments": b"\n".join(seen.environments),
        "domain": described,
        "QEMU's log": Path(f"/var/log/libvirt/qemu/{name}.log").read_bytes(),
        "the daemon's log": daemon.log.read_bytes(),
    }
    for place in places.keys() - {"environments"}:
        assert guest.encode() in places[place], f"the look does not reach {place}"
    assert b"PATH=" in places["environments"]
    for secret in (PASSWORD, FILE, USER_DATA):
        found = {place for place, text in places.items() if any(trace in text for trace in traces(secret))}
        assert found == set()
