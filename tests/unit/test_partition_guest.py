"""What a guest is seen to be: one small root a row, as real images have them."""

from __future__ import annotations

from typing import Any

import pytest

from injector.inject.partition.guest import Seen, look_around, selinux_of, stacks_of
from injector.model.facts import Agent, Init, NetworkStack
from tests.memory_files import ROOT, MemoryDisk

YES, NO, UNKNOWN = Agent.YES, Agent.NO, Agent.UNKNOWN
NETPLAN, NM = NetworkStack.NETPLAN, NetworkStack.NETWORK_MANAGER
NETWORKD, IFUPDOWN = NetworkStack.NETWORKD, NetworkStack.IFUPDOWN

Tree = dict[str, str | None]
"""Paths: a file's text, ``-> target`` of a link, ``/`` at the end of a directory's, None for what is not there."""

WANTS = "/etc/systemd/system/multi-user.target.wants"
SYSTEMD: Tree = {"/sbin/init": "-> /lib/systemd/systemd", "/lib": "-> usr/lib", "/usr/lib/systemd/systemd": "ELF"}


def wanted(unit: str) -> Tree:
    return {f"{WANTS}/{unit}": f"-> /lib/systemd/system/{unit}"}


DEBIAN: Tree = SYSTEMD | {
    "/etc/os-release": "-> ../usr/lib/os-release",
    "/usr/lib/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n',
    "/usr/bin/bash": "ELF",
}
DEBIAN_CLOUD: Tree = (
    DEBIAN
    | {
        "/usr/bin/cloud-init": "#!",
        "/etc/cloud/cloud.cfg": "users: [default]\n",
        "/etc/cloud/cloud.cfg.d/90_dpkg.cfg": "#\ndatasource_list: [ NoCloud, ConfigDrive, OpenStack, None ]\n",
        "/usr/sbin/netplan": "#!",
        "/etc/netplan/90-default.yaml": "network: {}",
        "/usr/lib/systemd/systemd-networkd": "ELF",
    }
    | wanted("systemd-networkd.service")
)
DEBIAN_PLAIN: Tree = (
    DEBIAN
    | {"/usr/sbin/ifup": "ELF", "/sbin/ifup": "ELF", "/etc/network/interfaces": "auto lo\n"}
    | wanted("networking.service")
)
FEDORA: Tree = (
    SYSTEMD
    | {
        "/etc/os-release": "NAME='Fedora Linux'\nID=fedora\nVERSION_ID=40\n",
        "/usr/bin/bash": "ELF",
        "/usr/sbin/NetworkManager": "ELF",
        "/usr/lib/systemd/systemd-networkd": "ELF",
        "/etc/selinux/config": "# comment\nSELINUX=enforcing\n# SELINUXTYPE= can be\nSELINUXTYPE=targeted\n",
        "/etc/selinux/targeted/policy/": "",
    }
    | wanted("NetworkManager.service")
)
ALPINE: Tree = {
    "/etc/os-release": "ID=alpine\nVERSION_ID=3.20.1\n",
    "/sbin/init": "-> /bin/busybox",
    "/bin/busybox": "ELF",
    "/etc/inittab": "::sysinit:/sbin/openrc sysinit\n",
    "/sbin/ifup": "-> /bin/busybox",
    "/etc/network/interfaces": "auto lo\n",
    "/etc/runlevels/boot/networking": "-> /etc/init.d/networking",
    "/etc/init.d/networking": "#!",
    "/usr/bin/env": "-> /bin/busybox",
}
BUSYBOX: Tree = {"/sbin/init": "-> ../bin/busybox", "/bin/busybox": "ELF", "/bin/sh": "-> busybox", "/etc/inittab": ""}
DEVUAN: Tree = {
    "/etc/os-release": "ID=devuan\n",
    "/sbin/init": "ELF",
    "/etc/inittab": "id:2:initdefault:\n",
    "/sbin/ifup": "ELF",
    "/etc/network/interfaces": "",
    "/etc/rcS.d/S12networking": "-> ../init.d/networking",
    "/etc/init.d/networking": "#!",
    "/usr/bin/bash": "ELF",
}


def seen(tree: Tree) -> Seen:
    with guest(tree).open(ROOT, writable=False, stamp=0) as files:
        return look_around(files)


def guest(tree: Tree) -> MemoryDisk:
    disk = MemoryDisk()
    for path, what in tree.items():
        if what is None:
            continue
        if path.endswith("/"):
            disk.directory(path.rstrip("/"))
        elif what.startswith("-> "):
            disk.link(path, what[3:])
        else:
            disk.file(path, what.encode())
    return disk


@pytest.mark.parametrize(
    ("tree", "os", "version", "init", "network", "agent", "policy"),
    [
        (DEBIAN_CLOUD, "debian", "12", Init.SYSTEMD, (NETPLAN, NETWORKD), YES, None),
        (DEBIAN_PLAIN, "debian", "12", Init.SYSTEMD, (IFUPDOWN,), NO, None),
        (FEDORA, "fedora", "40", Init.SYSTEMD, (NM,), NO, "targeted"),
        (ALPINE, "alpine", "3.20.1", Init.OPENRC, (IFUPDOWN,), NO, None),
        (DEVUAN, "devuan", None, Init.SYSVINIT, (IFUPDOWN,), NO, None),
        (BUSYBOX, None, None, Init.BUSYBOX, (), NO, None),
        ({}, None, None, Init.UNKNOWN, (), UNKNOWN, None),
        ({"/lost+found/": ""}, None, None, Init.UNKNOWN, (), UNKNOWN, None),
    ],
)
def test_images_as_they_are(
    tree: Tree,
    os: str | None,
    version: str | None,
    init: Init,
    network: tuple[Any, ...],
    agent: Agent,
    policy: str | None,
) -> None:
    found = seen(tree)
    assert (found.os, found.os_version, found.init, found.network) == (os, version, init, network)
    assert (found.agent, found.selinux) == (agent, policy)
    assert (found.agent_seen == "/usr/bin/cloud-init") is (agent is YES)


@pytest.mark.parametrize(
    ("tree", "stacks"),
    [
        (DEBIAN, ()),
        (DEBIAN_PLAIN, (IFUPDOWN,)),
        # Installed is not used.
        (DEBIAN_PLAIN | {f"{WANTS}/networking.service": None}, ()),
        (FEDORA | {f"{WANTS}/NetworkManager.service": None}, ()),
        (FEDORA | {"/usr/sbin/NetworkManager": None}, ()),
        (FEDORA | {"/etc/systemd/system/NetworkManager.service": "-> /dev/null"}, ()),
        (FEDORA | wanted("systemd-networkd.service"), (NM, NETWORKD)),
        # Enabled by the distribution itself, or for another target.
        (
            FEDORA
            | {
                f"{WANTS}/NetworkManager.service": None,
                "/usr/lib/systemd/system/multi-user.target.wants/NetworkManager.service": "-> ../x",
            },
            (NM,),
        ),
        (
            DEBIAN_PLAIN
            | {
                f"{WANTS}/networking.service": None,
                "/etc/systemd/system/network-online.target.wants/networking.service": "-> /lib/x",
            },
            (IFUPDOWN,),
        ),
        (DEBIAN_CLOUD | {"/etc/netplan/90-default.yaml": None}, (NETWORKD,)),
        (DEBIAN_CLOUD | {"/usr/sbin/netplan": None}, (NETWORKD,)),
        (ALPINE | {"/etc/runlevels/boot/networking": None}, ()),
        (ALPINE | {"/sbin/ifup": None}, ()),
        (DEVUAN | {"/etc/rcS.d/S12networking": None}, ()),
        (DEVUAN | {"/etc/rcS.d/S12networking": None, "/etc/rc2.d/S02networking": "-> x"}, (IFUPDOWN,)),
        (BUSYBOX | {"/sbin/ifup": "-> x", "/etc/network/interfaces": ""}, ()),
        (BUSYBOX | {"/sbin/ifup": "-> /bin/busybox", "/etc/network/interfaces": ""}, (IFUPDOWN,)),
    ],
)
def test_the_network_tools_that_a_guest_is_set_to_use(tree: Tree, stacks: tuple[NetworkStack, ...]) -> None:
    with guest(tree).open(ROOT, writable=False, stamp=0) as files:
        assert stacks_of(files) == stacks


CONFIG = "/etc/cloud/cloud.cfg.d/"


@pytest.mark.parametrize(
    ("changes", "agent", "doubt"),
    [
        ({}, YES, None),
        ({"/etc/cloud/cloud-init.disabled": ""}, NO, "switches it off"),
        ({"/etc/systemd/system/cloud-init-local.service": "-> /dev/null"}, NO, "is masked"),
        ({CONFIG + "99_own.cfg": "datasource_list: [NoCloud]\n"}, NO, "no ConfigDrive"),
        ({CONFIG + "99_own.cfg": "datasource_list: []\n"}, NO, "no ConfigDrive"),
        (
            {CONFIG + "99_own.cfg": "x: 1\ndatasource_list:\n  # ours\n  - NoCloud\n  - None\ny: 2\n"},
            NO,
            "no ConfigDrive",
        ),
        ({CONFIG + "99_own.cfg": "datasource_list:\n- NoCloud\n- 'ConfigDrive'\n"}, YES, None),
        ({CONFIG + "99_own.cfg": "datasource_list: [\n  NoCloud,\n  ConfigDrive\n]\n"}, YES, None),
        ({CONFIG + "99_own.cfg": "# datasource_list: [NoCloud]\n"}, YES, None),
        ({CONFIG + "10_early.cfg": "datasource_list: [NoCloud]\n"}, YES, None),
        ({CONFIG + "99_own.txt": "datasource_list: [NoCloud]\n"}, YES, None),
        ({CONFIG + "90_dpkg.cfg": None}, YES, None),
        ({CONFIG + "90_dpkg.cfg": None, "/etc/cloud/cloud.cfg": "datasource_list: [Ec2]"}, NO, "no ConfigDrive"),
        # What is not understood switches nothing off.
        ({CONFIG + "99_own.cfg": "datasource_list: *anchor\n"}, YES, None),
        # Not all of a system is here: elsewhere may be what reads a drive.
        (
            {"/etc/cloud/cloud-init.disabled": "", "/etc/fstab": "LABEL=usr /usr ext4 ro 0 0\n"},
            UNKNOWN,
            "switches it off",
        ),
    ],
)
def test_cloud_init_and_what_switches_it_off(changes: Tree, agent: Agent, doubt: str | None) -> None:
    found = seen(DEBIAN_CLOUD | changes)
    assert found.agent is agent
    assert (found.doubt is None) if doubt is None else (found.doubt is not None and doubt in found.doubt)


def test_cloud_init_that_no_runlevel_starts_may_be_started_otherwise() -> None:
    tree = ALPINE | {"/usr/bin/cloud-init": "#!"}
    assert seen(tree).agent is UNKNOWN
    assert seen(tree | {"/etc/runlevels/default/cloud-init": "-> /bin/busybox"}).agent is YES


@pytest.mark.parametrize(
    ("path", "agent"),
    [
        ("/usr/local/bin/cloud-init", YES),
        ("/usr/bin/ignition", YES),
        ("/usr/lib/dracut/modules.d/30ignition/ignition", YES),
        ("/usr/libexec/afterburn", YES),
        ("/usr/local/bin/glean.sh", YES),
        ("/usr/bin/coreos-cloudinit", YES),
        ("/etc/cirros-init/config", YES),
        ("/etc/tiny-cloud.conf", UNKNOWN),
        ("/nix/store/x", UNKNOWN),
        ("/usr/sbin/waagent", NO),
    ],
)
def test_other_agents(path: str, agent: Agent) -> None:
    found = seen(DEBIAN_PLAIN | {path: "#!"})
    assert found.agent is agent
    assert (found.agent_seen or path) in path


@pytest.mark.parametrize(
    "tree",
    [
        {"/etc/os-release": "ID=debian\n"},
        {"/etc/os-release": "-> ../usr/lib/os-release", "/sbin/init": "-> /usr/lib/systemd/systemd"},
        DEBIAN_PLAIN | {"/etc/fstab": "/dev/vda1 / ext4 rw 0 1\n/dev/vda2 /usr ext4 ro 0 0\n"},
    ],
)
def test_no_agent_is_certain_of_a_whole_system_only(tree: Tree) -> None:
    assert seen(tree).agent is UNKNOWN


@pytest.mark.parametrize(
    ("config", "policy"),
    [
        ("SELINUX=enforcing\nSELINUXTYPE=targeted\n", "targeted"),
        ("SELINUX=permissive\nSELINUXTYPE=targeted\n", "targeted"),
        (' SELINUX = "Permissive"\nSELINUXTYPE=targeted # the usual\n', None),
        ("SELINUX=disabled\nSELINUXTYPE=targeted\n", None),
        ("SELINUX=Disabled\nSELINUXTYPE=targeted\n", None),
        ("SELINUXTYPE=targeted\n", None),
        ("SELINUX=enforcing\n", None),
        ("SELINUX=enforcing\nSELINUXTYPE=mls\n", None),
        ("SELINUX=enforcing\nSELINUXTYPE=../../etc\n", None),
        ("", None),
    ],
)
def test_the_policy_that_labels_files(config: str, policy: str | None) -> None:
    with guest(FEDORA | {"/etc/selinux/config": config}).open(ROOT, writable=False, stamp=0) as files:
        assert selinux_of(files) == policy


def test_what_a_guest_says_of_itself_is_harmless() -> None:
    found = seen({"/etc/os-release": "ID=\x1b[31m" + "x" * 5000 + "\nVERSION_ID='1\x07\x9b2'\n"})
    assert found.os is not None
    assert len(found.os) <= 64
    assert found.os.isprintable()
    assert found.os_version == "12"


@pytest.mark.parametrize(
    "changes",
    [
        {"/etc/os-release": "-> os-release", "/usr/lib/os-release": "-> /etc/os-release"},
        {"/etc": "-> /etc"},
        {"/etc/cloud": "-> ../../../../etc/cloud"},
        {"/sbin/init": "-> /sbin/init"},
    ],
)
def test_links_that_lead_nowhere_are_nothing(changes: Tree) -> None:
    tree = {path: what for path, what in DEBIAN_CLOUD.items() if not any(path.startswith(f"{own}/") for own in changes)}
    assert isinstance(seen({**tree, **changes}), Seen)


def test_enormous_files_and_devices_are_not_read() -> None:
    disk = guest(DEBIAN_CLOUD | {"/etc/fstab": None})
    disk.file("/etc/os-release", claims=2**40)
    disk.other("/etc/cloud/cloud.cfg.d/91_fifo.cfg")
    disk.other("/etc/fstab")
    for number in range(1000):
        disk.file(f"/etc/cloud/cloud.cfg.d/{number}.cfg", b"x: 1\n")
    with disk.open(ROOT, writable=False, stamp=0) as files:
        found = look_around(files)
    assert (found.os, found.agent) == (None, YES)
