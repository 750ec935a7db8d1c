"""Another config drive for a guest that runs: what was promised is what happens, seen from inside."""

from __future__ import annotations

import json
import random
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Daemon, b64
from tests.system.conftest import GUESTS, House
from tests.system.test_tiny_guest import variant

# Says what the drive says whenever that is something else, and lets go of it in between.
WATCHER = """#!/bin/sh
umount /mnt
mkdir -p /tmp/look
( last=''
while :; do
    if mount -r -t iso9660 /dev/sr0 /tmp/look 2>/dev/null; then
        now=$(sed -n 's/.*"role": "\\([a-z]*\\)".*/\\1/p' /tmp/look/openstack/latest/meta_data.json)
        umount /tmp/look
        [ "$now" = "$last" ] || echo "the drive says $now"
        last=$now
    fi
    sleep 1
done ) &
"""


def refresh(daemon: Daemon, server_id: str, role: str | None = None, **wanted: Any) -> Any:
    """Have another drive made, perhaps of other metadata; the server when that is done."""
    if role is not None:
        daemon.call("POST", f"/v2.1/servers/{server_id}/metadata", {"metadata": {"role": role}})
    daemon.act(server_id, {"injector:refresh": wanted})
    return settled(daemon, server_id)


def settled(daemon: Daemon, server_id: str, seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while (server := daemon.server(server_id))["OS-EXT-STS:task_state"] is not None:
        assert time.monotonic() < deadline, server
        time.sleep(0.1)
    return server


def reboot(daemon: Daemon, server_id: str) -> Any:
    """By injector, until the guest is done with it."""
    daemon.act(server_id, {"reboot": {"type": "SOFT"}})
    settled(daemon, server_id)
    return daemon.wait_for_guest(server_id, "done", "degraded", "error", seconds=400)


def said(daemon: Daemon, server_id: str, words: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while words not in (console := daemon.console(server_id)):
        assert time.monotonic() < deadline, console[-2000:]
        time.sleep(0.3)


def drive_seen_at_boot(daemon: Daemon, server_id: str) -> str:
    """The digest over all files that the guest's kernel read when it last booted."""
    found = re.findall(r"tiny-guest: digest ([0-9a-f]{64})", daemon.console(server_id))
    return str(found[-1])


def generations(daemon: Daemon, server_id: str) -> Any:
    return daemon.call("GET", f"/v2.1/servers/{server_id}/injector-generations")["generations"]


def verified(daemon: Daemon, server_id: str) -> Any:
    return daemon.call("GET", f"/v2.1/servers/{server_id}/injector-verify")["verify"]


def gone(daemon: Daemon, server_id: str) -> None:
    daemon.delete(server_id)
    daemon.wait_until_gone(server_id)


def test_a_running_guest_sees_the_new_medium_and_the_old_one_again(house: House) -> None:
    daemon = house.daemon
    server_id = daemon.boot(house.tiny, "watcher", metadata={"role": "first"}, user_data=b64(WATCHER))
    daemon.wait_for_guest(server_id, "done", seconds=240)
    said(daemon, server_id, "the drive says first")
    server = refresh(daemon, server_id, "second")
    assert (server["injector:generation"], server["injector:drive_in_guest"]) == (2, "now")
    said(daemon, server_id, "the drive says second")
    server = refresh(daemon, server_id, "third", policy="new-id")
    said(daemon, server_id, "the drive says third")
    server = refresh(daemon, server_id, to=2)
    assert (server["injector:generation"], server["injector:fault"]) == (2, None)
    said(daemon, server_id, "the drive says third\nthe drive says second")
    assert [one["current"] for one in generations(daemon, server_id)] == [False, True, False]
    assert verified(daemon, server_id)["intact"]
    gone(daemon, server_id)


def test_a_guest_that_holds_its_drive_has_the_new_one_after_a_cold_start(house: House) -> None:
    daemon = house.daemon
    server_id = daemon.boot(house.tiny, "holder", metadata={"role": "first"})
    daemon.wait_for_guest(server_id, "done", seconds=240)
    first = drive_seen_at_boot(daemon, server_id)
    server = refresh(daemon, server_id, "second", policy="new-id")
    assert server["injector:generation"] == 2
    assert server["status"] == "ACTIVE"
    assert "cold start" in server["injector:drive_in_guest"]
    assert [one["inserted"] for one in generations(daemon, server_id)] == [True, False]
    server = reboot(daemon, server_id)
    assert server["injector:drive_in_guest"] == "now"
    assert drive_seen_at_boot(daemon, server_id) != first
    told = generations(daemon, server_id)[1]["uuid"]
    assert re.findall(r"tiny-guest: uuid=(\S+)", daemon.console(server_id)) == [server_id, told]
    refresh(daemon, server_id, to=1)
    reboot(daemon, server_id)
    assert drive_seen_at_boot(daemon, server_id) == first
    assert re.findall(r"tiny-guest: uuid=(\S+)", daemon.console(server_id))[2:] == [server_id]
    gone(daemon, server_id)


def test_on_a_bus_without_media_it_is_said_when_the_guest_has_it(house: House) -> None:
    daemon = house.daemon
    image = variant(house, hw_cdrom_bus="virtio")
    server_id = daemon.boot(image, "virtio", metadata={"role": "first"})
    daemon.wait_for_guest(server_id, "done", seconds=240)
    first = drive_seen_at_boot(daemon, server_id)
    daemon.call("POST", f"/v2.1/servers/{server_id}/metadata", {"metadata": {"role": "second"}})
    begun = daemon.act(server_id, {"injector:refresh": {}})["refresh"]
    assert "no medium" in begun["when"]
    server = settled(daemon, server_id)
    assert (server["injector:generation"], server["injector:fault"]) == (2, None)
    assert "cold start" in server["injector:drive_in_guest"]
    assert reboot(daemon, server_id)["injector:drive_in_guest"] == "now"
    assert drive_seen_at_boot(daemon, server_id) != first
    gone(daemon, server_id)


def test_a_lost_drive_is_told_and_made_again_at_the_next_start(house: House) -> None:
    daemon = house.daemon
    server_id = daemon.boot(house.tiny, "loser", metadata={"role": "first"})
    daemon.wait_for_guest(server_id, "done", seconds=240)
    first = drive_seen_at_boot(daemon, server_id)
    (daemon.state / "instances" / server_id / "disk.config").unlink()
    assert verified(daemon, server_id)["differences"] == ["the config drive is gone"]
    reboot(daemon, server_id)
    found = verified(daemon, server_id)
    assert found["intact"]
    assert found["made_again"] is not None
    assert drive_seen_at_boot(daemon, server_id) == first
    assert "made again" in daemon.log.read_text()
    gone(daemon, server_id)


def test_a_refresh_survives_the_daemons_death_at_any_moment(house: House) -> None:
    daemon, chance = house.daemon, random.Random(7)
    server_id = daemon.boot(house.tiny, "killed", metadata={"role": "first"}, user_data=b64(WATCHER))
    daemon.wait_for_guest(server_id, "done", seconds=240)
    for number in (2, 3, 4, 5):
        daemon.act(server_id, {"injector:refresh": {}})
        time.sleep(chance.uniform(0.0, 0.08))
        daemon.kill()
        daemon.start()
        server = settled(daemon, server_id)
        assert (server["status"], server["injector:generation"], server["injector:fault"]) == ("ACTIVE", number, None)
        assert verified(daemon, server_id)["intact"]
    files = {path.name for path in (daemon.state / "instances" / server_id).glob("disk.config*")}
    assert files == {"disk.config", *(f"disk.config.{number}" for number in (2, 3, 4, 5))}
    gone(daemon, server_id)


# the Debian guest

# Fails when it is run again, so that the guest says how that was.
ONCE = """#!/bin/sh
echo ran >>/var/lib/marker
[ "$(wc -l </var/lib/marker)" -lt 2 ]
"""
LOOK = r"""#!/bin/sh
mkdir -p /mnt/look
mount -o ro /dev/disk/by-label/config-2 /mnt/look
say() { printf '%s=%s\n' "$1" "$2"; }
role() { sed -n 's/.*"role": "\([a-z]*\)".*/\1/p' "$1"; }
say instance_id "$(cat /var/lib/cloud/data/instance-id)"
say marker "$(wc -l </var/lib/marker)"
say firmware "$(cat /sys/class/dmi/id/product_uuid)"
say host_key "$(sha256sum </etc/ssh/ssh_host_ed25519_key.pub)"
say on_drive "$(role /mnt/look/openstack/latest/meta_data.json)"
say to_cloud_init "$(cloud-init query ds.meta_data.meta.role)"
umount /mnt/look
"""


class Inside:
    """The Debian guest, looked at from within over ssh."""

    def __init__(self, daemon: Daemon, server_id: str, key: Path) -> None:
        self._daemon, self._server_id, self._key = daemon, server_id, key

    def look(self) -> dict[str, str]:
        port = self._daemon.server(self._server_id)["injector:forwards"][0]["host_port"]
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes")
        command = ["ssh", "-i", str(self._key), "-p", str(port), *(f"-o{option}" for option in options)]
        command += ["debian@127.0.0.1", "sudo sh -s"]
        seen = subprocess.run(command, input=LOOK, capture_output=True, text=True, check=True, timeout=120)
        return dict(line.split("=", 1) for line in seen.stdout.splitlines())


@pytest.fixture
def debian(house: House, tmp_path: Path) -> Iterator[tuple[str, Inside]]:
    daemon, key = house.daemon, tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = key.with_suffix(".pub").read_text()
    daemon.call("POST", "/v2.1/os-keypairs", {"keypair": {"name": "refresher", "public_key": public}})
    daemon.add_flavor("debian-refresh", ram=512, disk=4, vcpus=2)
    subnet = {"cidr": "10.0.2.0/24", "gateway": "10.0.2.2", "dns": ["10.0.2.3"], "pool_first": "10.0.2.15"}
    network = daemon.add_network("refresh", forwards=[22], subnets=[subnet | {"pool_last": "10.0.2.15"}])
    server_id = daemon.boot(
        daemon.add_image("debian-refresh", GUESTS / "debian" / "disk.qcow2", "qcow2"),
        "refreshed",
        "debian-refresh",
        networks=[{"uuid": network}],
        key_name="refresher",
        metadata={"role": "first"},
        personality=[{"path": "/etc/motd.injected", "contents": b64("hello\n")}],
        user_data=b64(ONCE),
    )
    daemon.wait_for_guest(server_id, "done", "degraded", "error", seconds=400)
    yield server_id, Inside(daemon, server_id, key)
    gone(daemon, server_id)


def witnessed(daemon: Daemon, server_id: str) -> set[str]:
    return {item["kind"] for item in daemon.receipt(server_id)["items"] if item["outcome"] == "witnessed"}


@pytest.mark.matrix
@pytest.mark.timeout(1100)
def test_both_policies_and_the_way_back_as_the_guest_sees_them(house: House, debian: tuple[str, Inside]) -> None:
    """One guest, booted four times: keep-id, new-id, and back to the first drive."""
    daemon, (server_id, inside) = house.daemon, debian
    first = inside.look()
    assert (first["instance_id"], first["marker"], first["on_drive"]) == (server_id, "1", "first")
    everything = {"key", "file", "metadata", "user_data", "network", "hostname"}
    assert witnessed(daemon, server_id) == everything

    assert refresh(daemon, server_id, "second", policy="keep-id")["injector:drive_in_guest"] == "now"
    assert inside.look() == first | {"on_drive": "second"}, "programs that mount the drive see the change"
    assert reboot(daemon, server_id)["injector:guest"]["state"] == "done"
    assert inside.look() == first | {"on_drive": "second"}, "cloud-init goes on from its cache"
    assert witnessed(daemon, server_id) == everything - {"metadata"}, "it has not read the new value"

    refresh(daemon, server_id, "third", policy="new-id")
    assert inside.look() == first | {"on_drive": "third"}, "nothing before the next cold start"
    guest = reboot(daemon, server_id)["injector:guest"]
    third = inside.look()
    told = generations(daemon, server_id)[2]["uuid"]
    assert third["instance_id"] == third["firmware"].lower() == told != server_id
    assert (third["marker"], third["on_drive"], third["to_cloud_init"]) == ("2", "third", "third")
    assert third["host_key"] != first["host_key"]
    assert (guest["state"], guest["witness"]) == ("error", "agent"), "the user-data failed when it was run again"
    assert "Runparts: 1 failures" in guest["detail"]
    assert guest["detail"].isprintable()
    assert daemon.server(server_id)["id"] == server_id

    refresh(daemon, server_id, to=1)
    assert reboot(daemon, server_id)["injector:guest"]["state"] == "done"
    back = inside.look()
    assert back == third | {key: first[key] for key in ("instance_id", "firmware", "on_drive", "to_cloud_init")}
    changes = daemon.call("GET", f"/v2.1/servers/{server_id}/injector-generations?compare=1,3")["differences"]
    assert {"what": "metadata", "change": "changed"} in changes
    assert "third" not in json.dumps(changes)
