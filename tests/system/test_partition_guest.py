"""Guests that nothing sets up but partition injection: a Debian without cloud-init, and one that enforces SELinux."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from injector.model.plan import ChannelKind
from tests.daemon import Daemon, a_daemon, b64
from tests.guest_disks import GuestDisk, debugfs
from tests.system.conftest import GUESTS, INJECTING, raw_disk
from tests.system.logins import over_ssh, said_at_the_console

BINARY = bytes(range(256)) * 28
TEXT = "hello from the host\n"
PASSWORD = "correct horse battery"
METADATA = {"role": "wëbservers", "essential": "false"}
ROOT_START = 20 * 1024**2
# The guest's own statement, given to its Python over ssh.
STATEMENT = """
import grp, hashlib, json, os, pwd, shutil, subprocess
def file(path):
    stat = os.stat(path)
    digest = hashlib.sha256(open(path, "rb").read()).hexdigest()
    owner = pwd.getpwuid(stat.st_uid).pw_name + ":" + grp.getgrgid(stat.st_gid).gr_name
    return [digest, oct(stat.st_mode & 0o7777), owner]
def told(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
cards = json.loads(told("ip", "-j", "address", "show", "scope", "global"))
print(json.dumps({
    "text": file("/etc/motd.injected"),
    "tool": file("/usr/local/bin/tool"),
    "blob": file("/srv/deep/er/blob"),
    "parents": [oct(os.stat(path).st_mode & 0o7777) for path in ("/root/.ssh", "/etc/network", "/srv/deep/er")],
    "keys": open("/root/.ssh/authorized_keys").read().split("\\n"),
    "meta": json.load(open("/meta.js")),
    "password": told("passwd", "-S", "root").split()[1],
    "addresses": sorted(
        one["local"] + "/" + str(one["prefixlen"]) for card in cards
        # Whether a router's advertisement was heard by now is chance; what was injected is for good.
        for one in card.get("addr_info", []) if "local" in one and not one.get("dynamic")
    ),
    "networking": told("systemctl", "is-active", "networking").strip(),
    "cloud-init": shutil.which("cloud-init"),
}))
"""
# What restorecon would change, and what matchpathcon does not find as the policy has it.
LABELS = (
    "getenforce; P='/root /etc/network /etc/shadow /etc/motd.injected /meta.js /usr/local/bin/tool /srv';"
    " restorecon -nRvF $P; matchpathcon -V /root/.ssh/authorized_keys /etc/network/interfaces /etc/shadow /meta.js"
)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


@pytest.fixture(scope="module")
def daemon(key: Path) -> Iterator[Daemon]:
    with a_daemon(INJECTING) as running:
        running.start()
        running.add_flavor("debian", ram=512, disk=4, vcpus=2)
        public = key.with_suffix(".pub").read_text()
        running.call("POST", "/v2.1/os-keypairs", {"keypair": {"name": "key", "public_key": public}})
        yield running


@dataclass(frozen=True)
class Booted:
    """A guest that lets root in by the injected key, what it says of itself, and its record."""

    server: Any
    statement: Any
    receipt: Any

    @property
    def id(self) -> str:
        return str(self.server["id"])


def a_subnet(cidr: str, prefix: str, **more: Any) -> dict[str, Any]:
    return {"cidr": cidr, "pool_first": f"{prefix}50", "pool_last": f"{prefix}60", **more}


def booted(daemon: Daemon, key: Path, variant: str) -> Booted:
    image = daemon.add_image(variant, GUESTS / "debian" / f"{variant}.qcow2", "qcow2")
    first = [a_subnet("10.0.2.0/24", "10.0.2.", gateway="10.0.2.2"), a_subnet("fd00:5ca1::/64", "fd00:5ca1::")]
    networks = [
        daemon.add_network(f"{variant}-ssh", forwards=[22], subnets=first),
        daemon.add_network(f"{variant}-second", subnets=[a_subnet("10.0.3.0/24", "10.0.3.")]),
    ]
    server_id = daemon.boot(
        image,
        variant,
        "debian",
        networks=[{"uuid": network} for network in networks],
        key_name="key",
        adminPass=PASSWORD,
        metadata=METADATA,
        personality=[
            {"path": "/etc/motd.injected", "contents": b64(TEXT)},
            {
                "path": "/usr/local/bin/tool",
                "contents": b64("#!/bin/sh\necho ran\n"),
                "injector:mode": "0750",
                "injector:owner": "www-data:adm",
            },
            {"path": "/srv/deep/er/blob", "contents": b64(BINARY)},
        ],
    )
    server = daemon.wait_for_status(server_id, "ACTIVE")
    told = over_ssh(server, key, "python3 -", user="root", said=STATEMENT, patience=400)
    return Booted(server, json.loads(told), daemon.receipt(server_id))


def digest(content: bytes | str) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def confirm(guest: Booted, key: Path) -> None:
    """Everything that was asked for, as the guest itself sees it; then root's password, as a person types it."""
    statement = dict(guest.statement)
    assert key.with_suffix(".pub").read_text().strip() in statement.pop("keys")
    assert statement == {
        "text": [digest(TEXT), "0o644", "root:root"],
        "tool": [digest("#!/bin/sh\necho ran\n"), "0o750", "www-data:adm"],
        "blob": [digest(BINARY), "0o644", "root:root"],
        "parents": ["0o700", "0o755", "0o755"],
        "meta": METADATA,
        "password": "P",
        "addresses": ["10.0.2.50/24", "10.0.3.50/24", "fd00:5ca1::50/64"],
        "networking": "active",
        "cloud-init": None,
    }
    words = ("login:", "root"), ("assword:", PASSWORD), ("# ", "id; echo END OF ''DIALOGUE")
    assert "uid=0(root)" in said_at_the_console(guest.id, *words)
    receipt = guest.receipt
    assert (receipt["channel"], receipt["back_end"], receipt["filesystem"]) == (ChannelKind.PARTITION, "ext", "ext4")
    assert {item["outcome"] for item in receipt["items"]} <= {"read back", "witnessed"}


def finish(daemon: Daemon, guest: Booted) -> None:
    daemon.delete(guest.id)
    daemon.wait_until_gone(guest.id)


def test_a_kernel_reads_what_the_receipt_says(daemon: Daemon, key: Path) -> None:
    """In seconds: the tiny guest's own kernel mounts the root, and replays no journal for it."""
    daemon.add_flavor("tiny", ram=128)
    network = daemon.add_network("tiny", subnets=[a_subnet("10.0.2.0/24", "10.0.2.")])
    server_id = daemon.boot(
        daemon.add_tiny("partition", " tiny_root=vda1"),
        "tiny",
        "tiny",
        networks=[{"uuid": network}],
        key_name="key",
        adminPass=PASSWORD,
        metadata=METADATA,
        personality=[
            {"path": "/etc/blob", "contents": b64(BINARY), "injector:mode": "2755", "injector:owner": "ada:staff"}
        ],
    )
    daemon.wait_for_status(server_id, "ACTIVE")
    daemon.wait_for_guest(server_id, "done", seconds=240)
    seen = seen_files(daemon.console(server_id))
    assert seen["/etc/blob"] == (digest(BINARY), "2755", "1000:50", len(BINARY))
    assert seen["/root/.ssh/authorized_keys"][1:3] == ("600", "0:0")
    assert seen["/meta.js"][:3] == (digest(json.dumps(METADATA, sort_keys=True)), "644", "0:0")
    assert seen["/etc/shadow"][1:3] == ("640", "0:42")
    where = {path for item in daemon.receipt(server_id)["items"] for path in (item["where"] or "").split(", ")}
    assert where <= seen.keys()
    daemon.delete(server_id)
    daemon.wait_until_gone(server_id)


def seen_files(console: str) -> dict[str, tuple[str, str, str, int]]:
    """Digest, mode, owner and size by path, as the tiny guest prints them."""
    found = re.findall(r"tiny-guest: entry ([0-9a-f]{64}) (\d+) (\d+:\d+) (\d+) (.+?)\r?$", console, re.MULTILINE)
    return {path: (digest, mode, owner, int(size)) for digest, mode, owner, size, path in found}


@pytest.mark.timeout(600)
def test_a_debian_without_cloud_init_has_what_was_asked(daemon: Daemon, key: Path) -> None:
    guest = booted(daemon, key, "plain")
    confirm(guest, key)
    assert daemon.wait_for_guest(guest.id, "done", "degraded", "error")["injector:guest"]["state"] == "done"
    finish(daemon, guest)


@pytest.mark.timeout(600)
def test_a_guest_that_enforces_selinux_reads_what_was_injected(daemon: Daemon, key: Path, tmp_path: Path) -> None:
    """sshd may read no key without a label, nor login a shadow: being let in is half of the proof."""
    guest = booted(daemon, key, "selinux")
    confirm(guest, key)
    said = over_ssh(guest.server, key, LABELS, user="root").splitlines()
    assert said[0] == "Enforcing"
    assert [line for line in said[1:] if not line.endswith("verified.")] == []
    # Off: a file system that is written to while it is copied is none.
    daemon.act(guest.id, {"os-stop": None})
    daemon.wait_for_status(guest.id, "SHUTOFF")
    labels = labels_on_disk(daemon, guest, tmp_path)
    assert labels["/root/.ssh/authorized_keys"].split(":")[2] == "ssh_home_t"
    assert labels["/etc/shadow"].split(":")[2] == "shadow_t"
    assert all(labels.values()), labels
    finish(daemon, guest)


def labels_on_disk(daemon: Daemon, guest: Booted, work: Path) -> dict[str, str]:
    """As debugfs reads them on the guest's disk; no kernel has to know what a label is."""
    disk = GuestDisk(raw_disk(daemon, guest.id, work / "raw"), ROOT_START, 0)
    paths = (
        "/root/.ssh",
        "/root/.ssh/authorized_keys",
        "/etc/network/interfaces",
        "/etc/shadow",
        "/etc/motd.injected",
        "/meta.js",
        "/usr/local/bin/tool",
        "/srv/deep/er/blob",
    )
    return {path: _label(debugfs(disk, f"ea_get {path} security.selinux")) for path in paths}


def _label(said: str) -> str:
    found = re.search(r'"(\S+:\S+:\S+)\\000"', said)
    return found[1] if found else ""
