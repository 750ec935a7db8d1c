"""The Debian guest: its own cloud-init is the judge of what landed."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Daemon, a_daemon, b64
from tests.system.conftest import GUESTS, House
from tests.system.logins import over_ssh, said_at_the_console
from tests.system.test_drives import generations, reboot, refresh

pytestmark = pytest.mark.timeout(900)

BINARY = bytes(range(256)) * 16
TEXT = "hello from the host\n"

PASSWORD = "correct horse battery"

# Run once by cloud-init; what it prints is the guest's own statement.
SCRIPT = """#!/usr/bin/python3
import hashlib, json, os, socket, subprocess, sys
# One write: the kernel and systemd speak on the same line.
def say(text):
    os.write(os.open("/dev/ttyS0", os.O_WRONLY), ("\\n" + text + " END\\n").encode())
sys.excepthook = lambda kind, error, trace: say("COMPLAINT " + repr(error))
os.makedirs("/mnt/config", exist_ok=True)
subprocess.run(["mount", "-o", "ro", "/dev/disk/by-label/config-2", "/mnt/config"], check=True)
def file(path):
    stat = os.stat(path)
    return [hashlib.sha256(open(path, "rb").read()).hexdigest(), oct(stat.st_mode & 0o7777), stat.st_uid]
def told(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
cards = json.loads(told("ip", "-j", "address", "show", "scope", "global"))
said = {
    "hostname": socket.gethostname(),
    "text": file("/etc/motd.injected"),
    "binary": file("/root/blob"),
    "key": open("/home/debian/.ssh/authorized_keys").read().split()[-2],
    "meta": json.load(open("/mnt/config/openstack/latest/meta_data.json"))["meta"],
    "drive": told("findmnt", "-no", "FSTYPE", "/mnt/config").strip(),
    "addresses": sorted(
        one["local"] + "/" + str(one["prefixlen"])
        for card in cards for one in card.get("addr_info", []) if one.get("local") and not one.get("dynamic")
    ),
}
say("CONFIRMATION " + json.dumps(said))
"""


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


def confirmation(console: str) -> Any:
    """Of the last boot that made one."""
    return json.loads(console.rpartition("CONFIRMATION ")[2].partition(" END")[0])


@dataclass(frozen=True)
class Judge:
    """A Debian guest that has said how its first boot went."""

    daemon: Daemon
    server: Any
    key: Path
    drive_format: str

    @property
    def id(self) -> str:
        return str(self.server["id"])

    def told(self, command: str) -> str:
        return over_ssh(self.server, self.key, command)


KINDS = [("q35", "iso9660"), pytest.param(("pc", "vfat"), marks=pytest.mark.matrix)]


@pytest.fixture(scope="module", params=KINDS, ids=["q35-iso9660", "pc-vfat"])
def judge(request: pytest.FixtureRequest, key: Path) -> Iterator[Judge]:
    """By the machine, and the format of the drive."""
    machine, drive_format = request.param
    options = {"DEFAULT": {"config_drive_format": drive_format}, "libvirt": {"shutdown_timeout": 15}}
    with a_daemon(options) as daemon:
        daemon.start()
        server_id = boot_the_judge(daemon, key, machine)
        server = daemon.wait_for_guest(server_id, "done", "degraded", "error", seconds=400)
        complaint = daemon.console(server_id).partition("COMPLAINT")[2][:300]
        assert server["injector:guest"]["state"] == "done", (complaint, server["injector:guest"])
        yield Judge(daemon, server, key, drive_format)


def a_subnet(cidr: str, prefix: str, **more: Any) -> dict[str, Any]:
    return {"cidr": cidr, "gateway": f"{prefix}2", "pool_first": f"{prefix}50", "pool_last": f"{prefix}60", **more}


def boot_the_judge(daemon: Daemon, key: Path, machine: str) -> str:
    daemon.add_flavor("debian", ram=512, disk=4, vcpus=2)
    image = daemon.add_image("debian", GUESTS / "debian" / "disk.qcow2", "qcow2", hw_machine_type=machine)
    public = key.with_suffix(".pub").read_text()
    daemon.call("POST", "/v2.1/os-keypairs", {"keypair": {"name": "key", "public_key": public}})
    subnets = [
        a_subnet("10.0.2.0/24", "10.0.2.", dns=["10.0.2.3"]),
        a_subnet("fd00:5ca1::/64", "fd00:5ca1::"),
    ]
    network = daemon.add_network("ssh", forwards=[22], subnets=subnets)
    return daemon.boot(
        image,
        "judge",
        "debian",
        networks=[{"uuid": network}],
        key_name="key",
        adminPass=PASSWORD,
        metadata={"role": "webservers", "essential": "false"},
        personality=[
            {"path": "/etc/motd.injected", "contents": b64(TEXT)},
            {"path": "/root/blob", "contents": b64(BINARY)},
        ],
        user_data=b64(SCRIPT),
    )


def test_what_was_asked_is_what_the_guest_has(judge: Judge) -> None:
    assert confirmation(judge.daemon.console(judge.id)) == {
        "hostname": "judge",
        "text": [hashlib.sha256(TEXT.encode()).hexdigest(), "0o660", 0],
        "binary": [hashlib.sha256(BINARY).hexdigest(), "0o660", 0],
        "key": judge.key.with_suffix(".pub").read_text().split()[1],
        "meta": {"role": "webservers", "essential": "false"},
        "drive": judge.drive_format,
        "addresses": ["10.0.2.50/24", "fd00:5ca1::50/64"],
    }
    assert judge.told("sudo cat /etc/motd.injected") == TEXT
    words = ("login:", "root"), ("assword:", PASSWORD), ("# ", "id; echo END OF ''DIALOGUE")
    assert "uid=0(root)" in said_at_the_console(judge.id, *words)


def test_with_another_identity_everything_is_done_again(judge: Judge) -> None:
    daemon, host_key = judge.daemon, "sha256sum </etc/ssh/ssh_host_ed25519_key.pub"
    before = judge.told(host_key)
    refresh(daemon, judge.id, "databases", policy="new-id")
    assert reboot(daemon, judge.id)["injector:guest"]["state"] == "done"
    assert confirmation(daemon.console(judge.id))["meta"] == {"role": "databases", "essential": "false"}
    identity = generations(daemon, judge.id)[1]["uuid"]
    assert judge.told("sudo cat /var/lib/cloud/data/instance-id").strip() == identity != judge.id
    assert judge.told(host_key) != before


@pytest.mark.matrix
def test_a_guest_that_cannot_see_its_drive_says_so(house: House) -> None:
    daemon = house.daemon
    image = daemon.add_image(
        "debian-sata", GUESTS / "debian" / "disk.qcow2", "qcow2", hw_machine_type="q35", hw_cdrom_bus="sata"
    )
    daemon.add_flavor("debian-sata", ram=512, disk=4, vcpus=2)
    server_id = daemon.boot(image, "blind", "debian-sata", user_data=b64("#!/bin/sh\necho never\n"))
    server = daemon.wait_for_guest(server_id, "done", "degraded", "error", seconds=400)
    assert server["injector:guest"]["state"] == "error", server["injector:guest"]
    assert server["injector:guest"]["detail"]
    daemon.delete(server_id)
    daemon.wait_until_gone(server_id)
