"""What was found inside a disk image, once for all of its boots: where its root is, and what lives there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Agent(StrEnum):
    """Whether the image has something that reads a config drive."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Init(StrEnum):
    """What the guest starts first."""

    SYSTEMD = "systemd"
    OPENRC = "openrc"
    SYSVINIT = "sysvinit"
    BUSYBOX = "busybox"
    UNKNOWN = "unknown"


class NetworkStack(StrEnum):
    """The tools a guest may configure its network with."""

    IFUPDOWN = "ifupdown"
    NETPLAN = "netplan"
    NETWORKD = "systemd-networkd"
    NETWORK_MANAGER = "NetworkManager"


@dataclass(frozen=True, slots=True)
class Partition:
    """An entry of the partition table. ``number`` as the guest's kernel counts; ``start`` and ``size`` in bytes.

    ``type`` is a GUID (GPT, lower case) or two hex digits (MBR), ``name`` GPT's. ``filesystem`` as blkid names it, with
    its ``label`` and ``uuid``; None where nothing was recognised.
    """

    number: int
    start: int
    size: int
    type: str
    name: str | None = None
    filesystem: str | None = None
    label: str | None = None
    uuid: str | None = None


@dataclass(frozen=True, slots=True)
class Root:
    """Where a guest's root file system is: ``start`` and ``size`` in bytes on the disk, ``partition`` 0 for all of it.

    ``volume`` is libguestfs's name for what is no plain partition: a logical volume, a subvolume of btrfs.
    """

    partition: int
    start: int
    size: int
    filesystem: str
    found_by: str
    volume: str | None = None


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """``table`` is gpt, mbr or none. ``back_end`` did the looking; ``doubt`` says why something is not known.

    ``os`` and ``os_version`` as ID and VERSION_ID of os-release; ``selinux`` is the policy's name where one is on;
    ``agent_seen`` is the program or file by which an agent was recognised.
    """

    table: str
    partitions: tuple[Partition, ...] = ()
    root: Root | None = None
    os: str | None = None
    os_version: str | None = None
    init: Init = Init.UNKNOWN
    network: tuple[NetworkStack, ...] = ()
    agent: Agent = Agent.UNKNOWN
    agent_seen: str | None = None
    selinux: str | None = None
    back_end: str | None = None
    doubt: str | None = None

    def tells_more_than(self, other: ImageFacts) -> bool:
        """Whether it is to replace ``other``, found earlier in the same bytes; the later one wins where both know."""
        return self._known >= other._known

    @property
    def _known(self) -> tuple[bool, bool]:
        return self.root is not None, self.agent is not Agent.UNKNOWN
