"""The road to a real guest in seconds: its kernel finds on the drive what was asked and what the receipt says."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Daemon, b64
from tests.system import leftovers
from tests.system.conftest import GUESTS, House

SERVE = "#!/bin/sh\nhttpd -p 80 -h /mnt\n"
BINARY = bytes(range(256)) * 8


def seen_files(console: str) -> dict[str, str]:
    """Digest by path, of the last boot on the console, as the guest's own kernel read the drive."""
    last = console.rpartition("tiny-guest: drive=")[2]
    return {path: digest for digest, path in re.findall(r"tiny-guest: file ([0-9a-f]{64}) \S+ \d+ (\S+)", last)}


def fetch(port: int, path: str, seconds: float = 20) -> bytes:
    """From the guest's web server through the forward."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=3) as answer:
                return bytes(answer.read())
        except (OSError, urllib.error.URLError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def forward(server: dict[str, Any]) -> int:
    (found,) = server["injector:forwards"]
    assert found["guest_port"] == 80
    return int(found["host_port"])


def drive(daemon: Daemon, server_id: str) -> str:
    return hashlib.sha256((daemon.state / "instances" / server_id / "disk.config").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def served(house: House) -> Any:
    """A guest that serves what it found on its drive, its boot done."""
    daemon = house.daemon
    server_id = daemon.boot(
        house.tiny,
        "served",
        networks=[{"uuid": house.network}],
        metadata={"role": "webservers", "essential": "false"},
        personality=[
            {"path": "/etc/motd", "contents": b64("hello\n")},
            {"path": "known_hosts", "contents": b64(BINARY)},
        ],
        user_data=b64(SERVE),
        adminPass="correct horse",
    )
    daemon.wait_for_guest(server_id, "done", seconds=240)
    yield server_id
    daemon.delete(server_id)
    daemon.wait_until_gone(server_id)


def test_the_guest_reads_what_the_receipt_says(house: House, served: str) -> None:
    receipt = house.daemon.receipt(served)
    seen = seen_files(house.daemon.console(served))
    assert receipt["channel"] == "config_drive"
    assert receipt["drive_digest"] == drive(house.daemon, served)
    digests = {hashlib.sha256(content).hexdigest() for content in (b"hello\n", BINARY, SERVE.encode())}
    assert digests <= set(seen.values())
    assert {item["outcome"] for item in receipt["items"]} <= {"read back", "witnessed"}
    assert {(item["kind"], item["name"]) for item in receipt["items"]} >= {
        ("file", "/etc/motd"),
        ("file", "known_hosts"),
        ("metadata", "metadata"),
        ("user_data", "user_data"),
        ("password", "password"),
    }


def test_a_receipt_does_not_let_a_guess_be_confirmed(house: House, served: str) -> None:
    text = json.dumps(house.daemon.receipt(served))
    for secret in (b"correct horse", b"hello\n", BINARY, SERVE.encode()):
        assert hashlib.sha256(secret).hexdigest() not in text
    assert "correct horse" not in text


def test_metadata_is_on_the_drive(house: House, served: str) -> None:
    server = house.daemon.server(served)
    found = json.loads(fetch(forward(server), "openstack/latest/meta_data.json"))
    assert found["meta"] == {"role": "webservers", "essential": "false"}
    assert found["uuid"] == served
    assert {file["path"] for file in found["files"]} == {"/etc/motd", "known_hosts"}


def test_the_forward_is_bound_to_the_loopback_only(house: House, served: str) -> None:
    port = forward(house.daemon.server(served))
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    bound = {line[1] for line in listening if line[3] == "0A" and line[1].endswith(f":{port:04X}")}
    assert bound == {f"0100007F:{port:04X}"}


@pytest.mark.parametrize("action", ["stop and start", "soft reboot", "hard reboot"])
def test_the_drive_is_the_same_and_the_forward_works_again_after(house: House, served: str, action: str) -> None:
    daemon = house.daemon
    before = drive(daemon, served)
    if action == "stop and start":
        daemon.act(served, {"os-stop": None})
        daemon.wait_for_status(served, "SHUTOFF", seconds=240)
        assert daemon.server(served)["injector:guest"]["state"] in ("unknown", "done")
        daemon.act(served, {"os-start": None})
    else:
        daemon.act(served, {"reboot": {"type": action.partition(" ")[0].upper()}})
    server = daemon.wait_for_status(served, "ACTIVE", seconds=240)
    daemon.wait_for_guest(served, "done", seconds=240)
    assert drive(daemon, served) == before
    assert json.loads(fetch(forward(server), "openstack/latest/meta_data.json"))["uuid"] == served


def test_forwards_work_after_the_daemon_was_restarted(house: House, served: str) -> None:
    port = forward(house.daemon.server(served))
    assert house.daemon.stop() == 0
    house.daemon.start()
    server = house.daemon.wait_for_status(served, "ACTIVE")
    assert forward(server) == port
    assert fetch(port, "openstack/latest/user_data") == SERVE.encode()


def test_a_port_held_by_a_stranger_is_replaced(house: House) -> None:
    daemon = house.daemon
    server_id = daemon.boot(house.tiny, "moved", networks=[{"uuid": house.network}], user_data=b64(SERVE))
    port = forward(daemon.wait_for_status(server_id, "ACTIVE"))
    daemon.act(server_id, {"os-stop": None})
    daemon.wait_for_status(server_id, "SHUTOFF", seconds=240)
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", port))
        stranger.listen()
        daemon.act(server_id, {"os-start": None})
        moved = forward(daemon.wait_for_status(server_id, "ACTIVE"))
        assert moved != port
        assert json.loads(fetch(moved, "openstack/latest/meta_data.json"))["uuid"] == server_id
    daemon.delete(server_id)
    daemon.wait_until_gone(server_id)


def test_a_guest_reaches_the_api_and_gets_401_without_the_token(house: House) -> None:
    daemon = house.daemon
    port = next(int(line.rpartition(":")[2]) for line in daemon.addresses() if line.startswith("http://127.0.0.1"))
    script = f"#!/bin/sh\ntimeout 5 wget -O - http://10.0.2.2:{port}/v2.1/servers 2>&1\n"
    server_id = daemon.boot(house.tiny, "asker", networks=[{"uuid": house.network}], user_data=b64(script))
    daemon.wait_for_guest(server_id, "done", seconds=240)
    assert "HTTP/1.1 401" in daemon.console(server_id)
    daemon.delete(server_id)
    daemon.wait_until_gone(server_id)


def variant(house: House, **properties: str) -> str:
    """The tiny guest's image again, with other properties."""
    image = house.daemon.call("GET", f"/v2/images/{house.tiny}")
    kept = {name: image[name] for name in ("kernel_id", "ramdisk_id", "os_command_line")}
    return house.daemon.add_image("variant", GUESTS / "tiny" / "root.qcow2", "qcow2", **kept, **properties)


@pytest.mark.parametrize("machine", ["pc", "q35"])
@pytest.mark.parametrize("bus", ["scsi", "virtio"])
def test_every_machine_shows_its_drive(house: House, machine: str, bus: str) -> None:
    daemon = house.daemon
    image = variant(house, hw_machine_type=machine, hw_cdrom_bus=bus)
    server_id = daemon.boot(image, "look", user_data=b64("#!/bin/sh\ntrue\n"))
    server = daemon.wait_for_guest(server_id, "done", "error", seconds=240)
    assert server["injector:guest"]["state"] == "done", server["injector:guest"]
    assert server["injector:plan"]["drive_bus"] == bus
    assert server["injector:plan"]["medium_changes_live"] is (bus == "scsi")
    daemon.delete(server_id)
    daemon.wait_until_gone(server_id)


def test_a_drive_that_the_guest_cannot_see_is_not_claimed(house: House) -> None:
    daemon = house.daemon
    image = variant(house, hw_machine_type="q35", hw_cdrom_bus="sata")
    server_id = daemon.boot(image, "blind", user_data=b64("#!/bin/sh\ntrue\n"))
    guest = daemon.wait_for_guest(server_id, "done", "error", seconds=240)["injector:guest"]
    assert guest["state"] == "error"
    assert "config-2" in guest["detail"]
    assert "witnessed" not in json.dumps(daemon.receipt(server_id))
    daemon.delete(server_id)
    daemon.wait_until_gone(server_id)


def test_ten_at_once_and_ten_deletes_leave_nothing(house: House) -> None:
    daemon = house.daemon
    before = leftovers.of(daemon)
    body: dict[str, Any] = {"min_count": 10, "max_count": 10, "return_reservation_id": True, "metadata": {"n": "ten"}}
    daemon.boot_many(house.tiny, "ten", **body)
    ids = [server["id"] for server in daemon.servers() if server["name"].startswith("ten-")]
    assert len(ids) == 10
    for server_id in ids:
        server = daemon.wait_for_status(server_id, "ACTIVE", "ERROR", seconds=240)
        assert server["status"] == "ACTIVE" or server["fault"]["message"]
    for server_id in ids:
        daemon.delete(server_id)
    for server_id in ids:
        daemon.wait_until_gone(server_id)
    assert leftovers.of(daemon) == before


def test_a_delete_during_the_build_wins(house: House) -> None:
    daemon = house.daemon
    before = leftovers.of(daemon)
    for pause in (0.0, 0.05, 0.2, 0.6):
        server_id = daemon.boot(house.tiny, "short-lived", networks=[{"uuid": house.network}])
        time.sleep(pause)
        daemon.delete(server_id)
        daemon.wait_until_gone(server_id)
    assert leftovers.of(daemon) == before


def test_owners_and_modes(house: House) -> None:
    daemon = house.daemon
    first, second = (daemon.boot(house.tiny, f"owner-{number}", user_data=b64("#!/bin/sh\n:\n")) for number in (1, 2))
    for server_id in (first, second):
        daemon.wait_for_status(server_id, "ACTIVE")
    check_owners(daemon, first)
    daemon.delete(first)
    daemon.wait_until_gone(first)
    check_owners(daemon, second)
    daemon.act(second, {"os-stop": None})
    daemon.wait_for_status(second, "SHUTOFF", seconds=240)
    check_owners(daemon, second)
    daemon.delete(second)
    daemon.wait_until_gone(second)


def check_owners(daemon: Daemon, server_id: str) -> None:
    """As the design has it, whatever libvirt did: base image and drive are still the daemon's own."""
    me = os.stat(daemon.state / "admin-token").st_uid
    instance = daemon.state / "instances" / server_id
    group = os.stat(instance).st_gid
    assert [_mode(daemon.state / name) for name in ("", "instances", "base")] == [0o711] * 3
    assert _mode(instance) == 0o750
    drive = instance / "disk.config"
    assert (_mode(drive), drive.stat().st_uid, drive.stat().st_gid) == (0o440, me, group)
    for base in (daemon.state / "base").iterdir():
        if not base.name.startswith("."):
            assert (_mode(base), base.stat().st_uid, base.stat().st_gid) == (0o440, me, group), base
    assert _mode(instance / "disk") == 0o600
    assert [_mode(daemon.state / name) for name in ("admin-token", "secrets.key", "injector.sqlite")] == [0o600] * 3


def _mode(path: Any) -> int:
    return int(os.stat(path).st_mode & 0o777)
