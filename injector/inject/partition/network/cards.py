"""One card of a guest as its own tools want to be told of it; pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass

from injector.model.facts import NetworkStack
from injector.model.network import Address, Ipv6Mode, Nic, Subnet

HEADER = "# Written by injector when this guest was made.\n"

RESOLV = "/etc/resolv.conf"

_EVERYWHERE = {4: "0.0.0.0/0", 6: "::/0"}


@dataclass(frozen=True, slots=True)
class Document:
    """A file for one of the guest's tools; ``mode`` None is that of a new file, or of the one there."""

    stack: NetworkStack
    path: str
    content: bytes
    mode: int | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """``static`` are the addresses to be told; ``dhcp4`` and ``ipv6`` say what it asks for besides.

    ``number`` is its place among the cards of the guest, from 0. ``mtu`` None: nobody said, or DHCP will.
    """

    number: int
    mac: str
    static: tuple[Address, ...]
    dhcp4: bool
    ipv6: Ipv6Mode | None
    mtu: int | None

    @property
    def addresses(self) -> tuple[str, ...]:
        """With the length of their prefix."""
        return tuple(with_length(address) for address in self.static)

    @property
    def routes(self) -> tuple[tuple[str, str], ...]:
        """Pairs of destination and gateway, without doubles: subnets may be on a card more than once."""
        return tuple(dict.fromkeys(route for address in self.static for route in routes(address.subnet)))

    @property
    def dns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(server for address in self.static for server in address.subnet.dns))


def cards_of(nics: Collection[Nic]) -> tuple[Card, ...]:
    """Those of which something is known: a card without subnets is left to the guest, as on a config drive."""
    return tuple(_card(number, nic) for number, nic in enumerate(nics) if nic.addresses)


def version(subnet: Subnet) -> int:
    """4 or 6."""
    return ipaddress.ip_network(subnet.cidr).version


def with_length(address: Address) -> str:
    return f"{address.ip}/{address.subnet.cidr.partition('/')[2]}"


def routes(subnet: Subnet) -> tuple[tuple[str, str], ...]:
    """The default route first."""
    default = ((_EVERYWHERE[version(subnet)], subnet.gateway),) if subnet.gateway else ()
    return default + tuple((route.destination, route.gateway) for route in subnet.routes)


def _card(number: int, nic: Nic) -> Card:
    static = tuple(address for address in nic.addresses if address.ip is not None and not address.subnet.dhcp)
    asking = [address.subnet for address in nic.addresses if address not in static]
    modes = [subnet.ipv6_mode or Ipv6Mode.STATEFUL for subnet in asking if version(subnet) == 6]
    dhcp4 = any(version(subnet) == 4 for subnet in asking)
    told = dhcp4 or any(mode is not Ipv6Mode.SLAAC for mode in modes)
    return Card(number, nic.mac, static, dhcp4, modes[0] if modes else None, None if told else nic.network.mtu)
