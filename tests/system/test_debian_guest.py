"""The Debian guest: its own cloud-init is the judge of what landed."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import b64
from tests.system.conftest import GUESTS, House

BINARY = bytes(range(256)) * 16
TEXT = "hello from the host\n"

# Run once by cloud-init; what it prints is the guest's own statement.
SCRIPT = """#!/usr/bin/python3
import hashlib, json, os, socket, subprocess
os.makedirs("/run/look", exist_ok=True)
subprocess.run(["mount", "-o", "ro", "LABEL=config-2", "/run/look"], check=True)
def digest(path):
    return hashlib.sha256(open(path, "rb").read()).hexdigest()
said = {
    "hostname": socket.gethostname(),
    "text": digest("/etc/motd.injected"),
    "binary": digest("/root/blob"),
    "key": open("/home/debian/.ssh/authorized_keys").read().split()[-2],
    "meta": json.load(open("/run/look/openstack/latest/meta_data.json"))["meta"],
}
# One write: the kernel and systemd speak on the same line.
console = os.open("/dev/ttyS0", os.O_WRONLY)
os.write(console, ("\\nCONFIRMATION " + json.dumps(said) + " END\\n").encode())
"""


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


def confirmation(console: str) -> Any:
    return json.loads(console.partition("CONFIRMATION ")[2].partition(" END")[0])


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_what_was_asked_is_what_the_guest_has(house: House, key: Path, machine: str) -> None:
    daemon = house.daemon
    daemon.add_flavor(f"debian-{machine}", ram=512, disk=4, vcpus=2)
    image = daemon.add_image(f"debian-{machine}", GUESTS / "debian" / "disk.qcow2", "qcow2", hw_machine_type=machine)
    public = key.with_suffix(".pub").read_text()
    daemon.call("POST", "/v2.1/os-keypairs", {"keypair": {"name": f"key-{machine}", "public_key": public}})
    network = daemon.add_network(f"ssh-{machine}", forwards=[22])
    server_id = daemon.boot(
        image,
        f"judge-{machine}",
        f"debian-{machine}",
        networks=[{"uuid": network}],
        key_name=f"key-{machine}",
        metadata={"role": "webservers", "essential": "false"},
        personality=[
            {"path": "/etc/motd.injected", "contents": b64(TEXT)},
            {"path": "/root/blob", "contents": b64(BINARY)},
        ],
        user_data=b64(SCRIPT),
    )
    server = daemon.wait_for_guest(server_id, "done", "degraded", "error", seconds=400)
    assert server["injector:guest"]["state"] == "done", server["injector:guest"]
    assert confirmation(daemon.console(server_id)) == {
        "hostname": f"judge-{machine}",
        "text": hashlib.sha256(TEXT.encode()).hexdigest(),
        "binary": hashlib.sha256(BINARY).hexdigest(),
        "key": public.split()[1],
        "meta": {"role": "webservers", "essential": "false"},
    }
    port = server["injector:forwards"][0]["host_port"]
    options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes")
    command = ["ssh", "-i", str(key), "-p", str(port), *(f"-o{option}" for option in options)]
    logged_in = subprocess.run(
        [*command, "debian@127.0.0.1", "sudo cat /etc/motd.injected"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert logged_in.stdout == TEXT, logged_in.stderr
    daemon.delete(server_id)
    daemon.wait_until_gone(server_id)


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
