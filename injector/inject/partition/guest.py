"""What lives in a guest's root: its system, what it starts first, the network tools it is set to use, its agent.

Everything read here is the guest's own word: bounded, harmless to print, and links are followed within the guest only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from injector.inject.partition import agents
from injector.inject.partition.filesystem import GuestFiles
from injector.inject.partition.looking import Looking
from injector.model.facts import Agent, ImageFacts, Init, NetworkStack
from injector.model.hostile import one_line

_OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
_INITS = ("/sbin/init", "/etc/init", "/bin/init")
"""Where a kernel looks for what it starts; it would take /bin/sh last."""

_NETWORK_MANAGER = ("/usr/sbin/NetworkManager", "/usr/bin/NetworkManager")
_NETWORKD = ("/usr/lib/systemd/systemd-networkd", "/lib/systemd/systemd-networkd")
_NETPLAN = ("/usr/sbin/netplan", "/usr/bin/netplan", "/usr/lib/netplan/generate", "/usr/libexec/netplan/generate")
_IFUP = ("/sbin/ifup", "/usr/sbin/ifup")
_POLICY = re.compile(r"[A-Za-z0-9_-]{1,64}")
_WORD = 64


@dataclass(frozen=True, slots=True)
class Seen:
    """What a root is seen to be, in the words of ``ImageFacts``.

    ``mounts``: what its fstab says is to be mounted where.
    """

    os: str | None
    os_version: str | None
    init: Init
    network: tuple[NetworkStack, ...]
    agent: Agent
    agent_seen: str | None
    selinux: str | None
    doubt: str | None
    mounts: dict[str, str]
    has_system: bool

    def added_to(self, facts: ImageFacts) -> ImageFacts:
        """The facts of the disk with what was seen in its root; a doubt of theirs stays."""
        return replace(
            facts,
            os=self.os,
            os_version=self.os_version,
            init=self.init,
            network=self.network,
            agent=self.agent,
            agent_seen=self.agent_seen,
            selinux=self.selinux,
        )


def look_around(files: GuestFiles) -> Seen:
    """GuestUnreadable when the file system turns out to be damaged."""
    look = Looking(files)
    release, init, mounts = _release(look), _init(look), mounts_of(look)
    started = look.first(*_INITS) is not None
    complete = "/usr" not in mounts and (started or (bool(release) and bool(look.names("/usr/bin"))))
    agent = agents.recognised(look, init, complete=complete)
    return Seen(
        os=one_line(release.get("ID", ""), _WORD) or None,
        os_version=one_line(release.get("VERSION_ID", ""), _WORD) or None,
        init=init,
        network=_stacks(look, init),
        agent=agent.agent,
        agent_seen=agent.seen,
        selinux=_selinux(look),
        doubt=agent.doubt,
        mounts=mounts,
        has_system=bool(release) or started,
    )


def stacks_of(files: GuestFiles) -> tuple[NetworkStack, ...]:
    """The tools that will configure the guest's network as it is set up: not all that are installed."""
    look = Looking(files)
    return _stacks(look, _init(look))


def selinux_of(files: GuestFiles) -> str | None:
    """The name of the policy that labels the guest's files; None where SELinux is off or not there."""
    return _selinux(Looking(files))


def mounts_of(look: Looking) -> dict[str, str]:
    """What fstab mounts, by mount point; the last line of one counts."""
    lines = (line.split() for line in look.text("/etc/fstab").splitlines())
    return {words[1]: words[0] for words in lines if len(words) >= 3 and not words[0].startswith("#")}


def _release(look: Looking) -> dict[str, str]:
    path = look.first(*_OS_RELEASE)
    return {} if path is None else look.settings(path)


def _init(look: Looking) -> Init:
    path = look.first(*_INITS)
    place = None if path is None else look.place(path)
    if place is None:
        return Init.UNKNOWN
    program = place.path.rpartition("/")[2]
    if program == "systemd":
        return Init.SYSTEMD
    if program == "openrc-init" or "openrc" in look.text("/etc/inittab"):
        return Init.OPENRC
    if program.startswith("busybox"):
        return Init.BUSYBOX
    return Init.SYSVINIT if look.has("/etc/inittab") else Init.UNKNOWN


def _stacks(look: Looking, init: Init) -> tuple[NetworkStack, ...]:
    return tuple(stack for stack, used in _STACKS.items() if used(look, init))


def _uses_netplan(look: Looking, init: Init) -> bool:
    """Its generator runs at every boot where systemd does."""
    return init is Init.SYSTEMD and look.has_directory("/etc/netplan") and look.first(*_NETPLAN) is not None


def _uses_network_manager(look: Looking, init: Init) -> bool:
    return look.first(*_NETWORK_MANAGER) is not None and _starts(look, init, "NetworkManager")


def _uses_networkd(look: Looking, init: Init) -> bool:
    return look.first(*_NETWORKD) is not None and _starts(look, init, "systemd-networkd")


def _uses_ifupdown(look: Looking, init: Init) -> bool:
    if look.first(*_IFUP) is None or not look.has_directory("/etc/network"):
        return False
    return init in (Init.BUSYBOX, Init.UNKNOWN) or _starts(look, init, "networking")


_STACKS = {
    NetworkStack.NETPLAN: _uses_netplan,
    NetworkStack.NETWORK_MANAGER: _uses_network_manager,
    NetworkStack.NETWORKD: _uses_networkd,
    NetworkStack.IFUPDOWN: _uses_ifupdown,
}


def _starts(look: Looking, init: Init, service: str) -> bool:
    match init:
        case Init.SYSTEMD:
            return look.starts(f"{service}.service")
        case Init.OPENRC:
            return look.in_runlevel(service)
        case Init.SYSVINIT:
            return look.in_rc(service)
    return False


def _selinux(look: Looking) -> str | None:
    """A policy that is named but not there labels nothing."""
    said = look.settings("/etc/selinux/config")
    policy = said.get("SELINUXTYPE", "")
    if said.get("SELINUX", "disabled").lower() == "disabled" or not _POLICY.fullmatch(policy):
        return None
    return policy if look.has_directory(f"/etc/selinux/{policy}") else None
