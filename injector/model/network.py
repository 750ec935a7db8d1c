"""Networks a guest may be plugged into, and what one guest got from them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class NetworkKind(StrEnum):
    """How the guest's card is plugged: QEMU user mode, a Linux bridge, or a network that libvirt manages."""

    USER = "user"
    BRIDGE = "bridge"
    LIBVIRT = "libvirt"


@dataclass(frozen=True, slots=True)
class Route:
    """``destination`` is a CIDR, ``gateway`` an address."""

    destination: str
    gateway: str


class Ipv6Mode(StrEnum):
    """How a guest finds its own IPv6 address: from its router alone, or from DHCPv6, which knows all or the rest."""

    SLAAC = "slaac"
    STATELESS = "dhcpv6-stateless"
    STATEFUL = "dhcpv6-stateful"


@dataclass(frozen=True, slots=True)
class Subnet:
    """One address range; with ``dhcp`` the guest asks, else it gets an address of the pool, first to last inclusive.

    ``ipv6_mode``: whom it asks, of an IPv6 range; None is DHCPv6 as guests have always understood it.
    """

    cidr: str
    dhcp: bool = False
    gateway: str | None = None
    dns: tuple[str, ...] = ()
    pool_first: str | None = None
    pool_last: str | None = None
    routes: tuple[Route, ...] = ()
    ipv6_mode: Ipv6Mode | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """``source`` is the bridge's or libvirt network's name; ``forwards`` are guest TCP ports reached from 127.0.0.1."""

    id: str
    name: str
    kind: NetworkKind
    project_id: str
    source: str | None = None
    mtu: int | None = None
    subnets: tuple[Subnet, ...] = ()
    forwards: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class NicRequest:
    """What the caller said about one card: which network, perhaps which address, perhaps the role it plays."""

    network_id: str
    fixed_ip: str | None = None
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """An address of the guest; ``ip`` is None where the guest asks by DHCP."""

    subnet: Subnet
    ip: str | None = None


@dataclass(frozen=True, slots=True)
class Nic:
    """One card of one guest; ``network`` is a snapshot, so that a later edit does not change what was delivered.

    ``tag`` is the role its owner gave it, for software in the guest to find it by.
    """

    mac: str
    network: Network
    addresses: tuple[Address, ...] = ()
    tag: str | None = None

    @property
    def static(self) -> bool:
        """Whether the guest must be told an address (nobody on the wire will)."""
        return any(address.ip is not None and not address.subnet.dhcp for address in self.addresses)


@dataclass(frozen=True, slots=True)
class Forward:
    """127.0.0.1:``host_port`` on the host leads to ``guest_port`` of the guest behind the card with this MAC."""

    mac: str
    guest_port: int
    host_port: int
