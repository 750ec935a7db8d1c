"""The command against the whole house: a real daemon with libvirt's own test hypervisor behind it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from injector.client.exits import Exit
from tests.builders import PUBLIC_KEY
from tests.crafted import qemu_img
from tests.daemon import Daemon, a_daemon
from tests.guest_disks import make_ext
from tests.worlds import World

EVERY_BYTE = bytes(range(256))


class Command:
    """`injector` as a user runs it, against one daemon's socket."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def __call__(
        self, *argv: str, code: Exit = Exit.OK, stdin: bytes = b"", **environ: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "injector.client.shell", "--endpoint", self.endpoint, *argv],
            input=stdin,
            capture_output=True,
            timeout=120,
            env={**os.environ, **environ},
            check=False,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert done.returncode == code, f"{argv} ended with {done.returncode}: {err}"
        assert "Traceback" not in err
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def json(self, *argv: str, **more: Any) -> Any:
        return json.loads(self(*argv, "-f", "json", **more).stdout)


@pytest.fixture(scope="module")
def daemon(module_world: World) -> Iterator[Daemon]:
    options: dict[str, dict[str, Any]] = {
        "DEFAULT": {"shutdown_timeout": 5},
        "libvirt": {"connection_uri": "test:///default", "virt_type": "qemu"},
    }
    with a_daemon(module_world.with_options(options)) as running:
        running.start()
        yield running


@pytest.fixture(scope="module")
def injector(daemon: Daemon) -> Command:
    return Command(f"unix:{daemon.socket}")


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "disk.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "16M")
    return path


@pytest.fixture(scope="module")
def furnished(injector: Command, disk: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """With an image, a flavor, a key and two networks, all made by the command itself."""
    key = tmp_path_factory.mktemp("keys") / "k.pub"
    key.write_text(PUBLIC_KEY + "\n")
    injector("image", "create", "disk", "--file", str(disk), "--property", "os_type=linux")
    injector("flavor", "create", "tiny", "--ram", "64", "--id", "1")
    injector("keypair", "add", "laptop", "--public-key", str(key))
    injector("network", "create", "default", "--subnet", "10.0.2.0/24", "--dhcp", "--forward", "22")
    injector(
        "network", "create", "lan", "--subnet", "10.9.0.0/24,gateway=10.9.0.2,dns=10.9.0.3,pool=10.9.0.10-10.9.0.20"
    )
    return injector


BOOT = ("boot", "--image", "disk", "--flavor", "tiny")


def test_a_boot_with_everything_and_its_whole_life(furnished: Command, tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(EVERY_BYTE)
    made = furnished.json(
        *(*BOOT, "--wait", "web"),
        *("--key-name", "laptop", "--user-data", "-", "--file", f"/opt/blob={tmp_path / 'blob'}", "--meta", "role=web"),
        *("--nic", "net-name=default", "--nic", "net-name=lan,v4-fixed-ip=10.9.0.15", "--config-drive", "true"),
        *("--hostname", "web1", "--admin-pass", "pw"),
        stdin=EVERY_BYTE,
    )
    assert (made["status"], made["hostname"], made["admin_pass"]) == ("ACTIVE", "web1", "pw")
    assert made["addresses"]["lan"][0]["addr"] == "10.9.0.15"
    assert made["config_drive"] is True
    receipt = furnished.json("receipt", "web")
    outcomes = {(item["kind"], item["name"]): item["outcome"] for item in receipt["items"]}
    assert outcomes["file", "/opt/blob"] == "read back"
    assert {kind for kind, _ in outcomes} >= {"key", "file", "metadata", "user_data", "network"}
    assert furnished.json("list", "--name", "web")[0]["ID"] == made["id"]
    furnished("stop", "--wait", "web")
    assert furnished("show", "web", "-f", "value", "-c", "status").stdout == "SHUTOFF\n"
    furnished("start", "--wait", "web")
    furnished("reboot", "--hard", "--wait", "web")
    assert furnished.json("receipt", "web") == receipt
    furnished("delete", "--wait", "web")
    assert "there is no server" in furnished("show", "web", code=Exit.REFUSED).stderr


def test_a_guest_stands_still_and_is_made_anew_with_what_it_was_given(furnished: Command, tmp_path: Path) -> None:
    (tmp_path / "motd").write_text("hello")
    given = ("--file", f"/etc/motd={tmp_path / 'motd'}", "--meta", "role=web", "--client-token", "life 1")
    made = furnished.json(*BOOT, "--wait", "life", *given)
    assert furnished.json(*BOOT, "life", *given)["id"] == made["id"], "the same request makes nothing again"
    for word, status in (("pause", "PAUSED"), ("unpause", "ACTIVE"), ("suspend", "SUSPENDED"), ("resume", "ACTIVE")):
        furnished(word, "--wait", "life")
        assert furnished.json("show", "life")["status"] == status
    before = {item["kind"]: item["digest"] for item in furnished.json("receipt", "life")["items"]}
    anew = furnished.json("rebuild", "--wait", "life", "--no-meta")
    assert (anew["id"], anew["status"], anew["host"]) == (made["id"], "ACTIVE", made["host"])
    assert anew["admin_pass"] not in (None, made["admin_pass"])
    after = {item["kind"]: item["digest"] for item in furnished.json("receipt", "life")["items"]}
    assert before.keys() - after.keys() == {"metadata"}
    assert after["file"] == before["file"]
    furnished("delete", "--wait", "life")


def test_a_disabled_host_is_given_no_guests(furnished: Command) -> None:
    (name,) = (host["Name"] for host in furnished.json("host", "list"))
    furnished("host", "disable", "--reason", "a fan", name)
    try:
        host = furnished.json("host", "show", name)
        assert (host["enabled"], host["disabled_reason"], host["state"]) == (False, "a fan", "up")
        assert "disabled" in furnished(*BOOT, "nobody", code=Exit.UNREACHABLE).stderr
        assert "alive" in furnished("host", "evacuate", "--yes-it-is-dead", name, code=Exit.REFUSED).stderr
    finally:
        furnished("host", "enable", name)


def test_the_phases_are_told_one_a_line_with_their_times(furnished: Command) -> None:
    told = furnished(*BOOT, "--wait", "phases").stderr.splitlines()
    names = [line.split()[0] for line in told]
    assert names[0] == "schedule"
    assert names[-1] == "running"
    assert {"image", "disk", "define", "deliver", "start"} <= set(names)
    assert all(line.split()[2] == "s" for line in told)
    furnished("delete", "--wait", "phases")


def test_several_at_once(furnished: Command) -> None:
    made = furnished.json(*BOOT, "--min-count", "2", "--max-count", "3", "--wait", "many")
    assert len({row["id"] for row in made}) == 3
    assert {row["status"] for row in made} == {"ACTIVE"}
    furnished("delete", "--wait", *(row["name"] for row in made))


def test_a_guest_that_says_nothing_is_waited_for_until_the_timeout(furnished: Command) -> None:
    done = furnished(*BOOT, "--wait", "guest", "--timeout", "2", "silent", code=Exit.TIMED_OUT)
    assert "did not get there within 2 s: it is ACTIVE, its guest unknown" in done.stderr
    assert "ACTIVE" in done.stdout
    furnished("delete", "silent")


def test_two_of_one_name_are_told_apart_by_id(furnished: Command) -> None:
    ids = [furnished.json(*BOOT, "--wait", "twin")["id"] for _ in range(2)]
    done = furnished("show", "twin", code=Exit.REFUSED)
    assert "2 servers are named 'twin'" in done.stderr
    assert all(identity in done.stderr for identity in ids)
    furnished("delete", "--wait", *ids)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--key-name", "nobody"), "key_name"),
        (("--meta", f"k={'v' * 256}"), "metadata"),
        (("--hostname", "no_host"), "hostname"),
        (("--file", "/etc/big=BIG"), "content"),
        (("--file", "/etc/motd=SMALL,mode=0600"), "/etc/motd"),
    ],
)
def test_what_the_server_refuses_names_the_field_and_the_request(
    furnished: Command, tmp_path: Path, words: tuple[str, str], says: str
) -> None:
    (tmp_path / "big").write_bytes(bytes(20_000))
    (tmp_path / "small").write_bytes(b"hello")
    value = words[1].replace("BIG", str(tmp_path / "big")).replace("SMALL", str(tmp_path / "small"))
    done = furnished(*BOOT, words[0], value, "refused", code=Exit.REFUSED)
    assert says in done.stderr
    assert "(request req-" in done.stderr
    assert done.stderr.count("\n") == 1
    assert furnished.json("list", "--name", "refused") == []


def test_an_image_that_is_not_what_it_claims_leaves_no_record(furnished: Command, tmp_path: Path) -> None:
    (tmp_path / "fake").write_bytes(b"no qcow2 at all" * 1000)
    done = furnished("image", "create", "fake", "--file", str(tmp_path / "fake"), code=Exit.REFUSED)
    assert "qcow2" in done.stderr
    assert "fake" not in [row["Name"] for row in furnished.json("image", "list")]


def test_an_image_tells_what_its_first_boot_found_in_it(furnished: Command, tmp_path: Path) -> None:
    bare = tmp_path / "bare.raw"
    make_ext(bare, size=8 * 1024**2, start=0, options=("-L", "cirros-rootfs"))
    furnished("image", "create", "bare", "--file", str(bare), "--disk-format", "raw")
    before = furnished.json("image", "show", "bare")
    assert (before["looked_into"], before["root"]) == (False, None)
    furnished("boot", "--image", "bare", "--flavor", "tiny", "--nic", "none", "--wait", "looked-into")
    found = furnished.json("image", "show", "bare")
    assert (found["looked_into"], found["partition_table"], found["back_end"]) == (True, "none", "ext")
    assert (found["root"]["partition"], found["root"]["filesystem"]) == (0, "ext4")
    assert found["agent"] == "unknown", "nothing is in it that could be a system"
    table = furnished("image", "show", "bare").stdout
    assert "the whole disk: ext4, 9.0 MiB at 0 B, label cirros-rootfs" in table
    assert "ext4, the whole disk, by its label" in table
    furnished("delete", "--wait", "looked-into")
    furnished("image", "delete", "bare")


def test_a_drive_that_nothing_would_read_is_refused_at_once_after_the_first_boot_found_out(
    furnished: Command, tmp_path: Path
) -> None:
    for name, text in {"etc/os-release": "ID=debian\nVERSION_ID=12\n", "sbin/init": "#!/bin/sh\n"}.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True)
        (tmp_path / "tree" / name).write_text(text)
    make_ext(tmp_path / "old.raw", size=8 * 1024**2, start=0, tree=tmp_path / "tree")
    upload = ("--file", str(tmp_path / "old.raw"), "--disk-format", "raw")
    furnished("image", "create", "old", *upload)
    words = ("--flavor", "tiny", "--nic", "none", "--meta", "role=web", "--wait")
    first = furnished("boot", "--image", "old", *words, "first", code=Exit.BOOT_FAILED)
    assert "metadata cannot be delivered: the image has no agent" in first.stderr
    again = furnished("boot", "--image", "old", *words, "again", code=Exit.REFUSED)
    assert "metadata cannot be delivered: the image has no agent" in again.stderr
    assert furnished.json("list", "--name", "again") == []
    shown = furnished.json("image", "show", "old")
    assert (shown["os"], shown["os_version"], shown["agent"]) == ("debian", "12", "no")
    furnished("image", "create", "told", *upload, "--property", "injector_agent=yes")
    assert furnished.json("image", "show", "told")["looked_into"] is True, "the bytes are known"
    assert furnished.json("boot", "--image", "told", *words, "told")["status"] == "ACTIVE"
    furnished("delete", "--wait", "first", "told")
    furnished("image", "delete", "old", "told")


def test_hosts_are_listed_and_name_no_back_end_where_partition_injection_is_off(furnished: Command) -> None:
    (host,) = furnished.json("host", "list")
    assert (host["Virtualisation"], host["Back ends"]) == ("test", [])
    assert furnished.json("host", "show", host["Name"])["back_ends"] == []


def test_images_flavors_keys_and_networks_come_and_go(furnished: Command, disk: Path, tmp_path: Path) -> None:
    (tmp_path / "k.pub").write_text(PUBLIC_KEY)
    furnished("image", "create", "gone", "--file", str(disk), "--min-disk", "1")
    assert furnished.json("image", "show", "gone")["min_disk"] == 1
    furnished("flavor", "create", "gone", "--ram", "128", "--vcpus", "2")
    furnished("keypair", "add", "gone", "--public-key", str(tmp_path / "k.pub"))
    furnished(
        "network", "create", "gone", "--kind", "bridge", "--source", "br9", "--mtu", "9000", "--subnet", "fd00::/64"
    )
    for noun in ("image", "flavor", "keypair", "network"):
        assert "gone" in [row["Name"] for row in furnished.json(noun, "list")]
        furnished(noun, "delete", "gone")
        assert "gone" not in [row["Name"] for row in furnished.json(noun, "list")]


def test_the_host_says_what_it_is(injector: Command) -> None:
    host = injector.json("host", "show")
    assert host["name"] == "testhost"
    assert host["virt"]["virt_type"] == "test"
    assert host["virt"]["reason"]
    assert {carriage["channel"] for carriage in host["carriages"]} >= {"config_drive"}


def test_over_tcp_the_token_opens_and_nothing_else(daemon: Daemon, injector: Command) -> None:
    url = next(address for address in daemon.addresses() if address.startswith("http:"))
    over_tcp = Command(url)
    token_file = daemon.state / "admin-token"
    over_tcp("list", INJECTOR_TOKEN_FILE=str(token_file))
    over_tcp("list", INJECTOR_TOKEN=token_file.read_text().strip())
    over_tcp("--token", token_file.read_text().strip(), "list")
    wrong = over_tcp("list", INJECTOR_TOKEN="x" * 43, code=Exit.REFUSED)
    assert "the token was not accepted" in wrong.stderr
