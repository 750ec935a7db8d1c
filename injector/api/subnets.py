"""Subnets as callers describe them, checked by the rules of IP rather than by their looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from injector.errors import InvalidRequest
from injector.model.network import Ipv6Mode, Route, Subnet

# RFC 4862 with the interface identifiers of RFC 4291.
_SLAAC_PREFIX = 64

Address = IPv4Address | IPv6Address
Range = IPv4Network | IPv6Network


def parse_subnets(documents: Sequence[Mapping[str, Any]]) -> tuple[Subnet, ...]:
    """Values in canonical form; InvalidRequest naming the field."""
    subnets = tuple(_Subnet(document, f"injector:subnets[{index}]").parse() for index, document in enumerate(documents))
    ranges = [ip_network(subnet.cidr) for subnet in subnets]
    for index, one in enumerate(ranges):
        if any(_overlap(one, other) for other in ranges[:index]):
            raise _refusal(f"injector:subnets[{index}].cidr", f"{one} overlaps another subnet of the network")
    return subnets


class _Subnet:
    """One document being read; ``field`` is its place in the request."""

    def __init__(self, document: Mapping[str, Any], field: str) -> None:
        self._document = document
        self._field = field
        self._range = self._network("cidr", document["cidr"])
        if self._range.num_addresses < 4:
            raise _refusal(f"{field}.cidr", f"{self._range} has no room for a guest and its gateway")

    def parse(self) -> Subnet:
        mode = self._mode()
        dhcp = mode is not None or self._document.get("dhcp", False)
        gateway = self._inside("gateway")
        first, last = self._pool(dhcp)
        if gateway is not None and first is not None and last is not None and int(first) <= int(gateway) <= int(last):
            raise _refusal(f"{self._field}.gateway", f"{gateway} lies inside the pool")
        return Subnet(
            cidr=str(self._range),
            dhcp=dhcp,
            gateway=_text(gateway),
            dns=tuple(str(self._address(f"dns[{i}]", dns)) for i, dns in enumerate(self._document.get("dns", []))),
            pool_first=_text(first),
            pool_last=_text(last),
            routes=tuple(self._route(index, route) for index, route in enumerate(self._document.get("routes", []))),
            ipv6_mode=mode,
        )

    def _mode(self) -> Ipv6Mode | None:
        """A mode means that the guest asks for its address, so ``dhcp`` need not be said with it."""
        if self._document.get("ipv6_mode") is None:
            return None
        field, mode = f"{self._field}.ipv6_mode", Ipv6Mode(self._document["ipv6_mode"])
        if isinstance(self._range, IPv4Network):
            raise _refusal(field, f"{self._range} is an IPv4 network")
        if self._document.get("dhcp") is False:
            raise _refusal(field, "dhcp is false, so the guest is told its address")
        if mode is not Ipv6Mode.STATEFUL and self._range.prefixlen != _SLAAC_PREFIX:
            raise _refusal(field, f"guests make their own address in a /{_SLAAC_PREFIX} only, not in {self._range}")
        return mode

    def _pool(self, dhcp: bool) -> tuple[Address | None, Address | None]:
        """Both ends or neither; without them, every address of the subnet but the gateway's is in the pool."""
        first, last = self._inside("pool_first"), self._inside("pool_last")
        if (first is None) != (last is None):
            raise _refusal(f"{self._field}.pool_{'last' if last is None else 'first'}", "a pool has two ends")
        if dhcp and first is not None:
            raise _refusal(f"{self._field}.pool_first", "with dhcp, addresses come from elsewhere than a pool")
        if first is not None and last is not None and int(first) > int(last):
            raise _refusal(f"{self._field}.pool_last", f"{last} lies before {first}")
        return first, last

    def _inside(self, key: str) -> Address | None:
        """An address that a machine of this subnet can have."""
        if self._document.get(key) is None:
            return None
        address = self._address(key, self._document[key])
        if address not in self._range:
            raise _refusal(f"{self._field}.{key}", f"{address} is not in {self._range}")
        if address == self._range.network_address or _is_broadcast(address, self._range):
            raise _refusal(f"{self._field}.{key}", f"{address} is the address of {self._range} itself")
        return address

    def _route(self, index: int, document: Mapping[str, Any]) -> Route:
        destination = self._network(f"routes[{index}].destination", document["destination"])
        gateway = self._address(f"routes[{index}].gateway", document["gateway"])
        if gateway not in self._range:
            raise _refusal(f"{self._field}.routes[{index}].gateway", f"{gateway} is not in {self._range}")
        if destination.version != self._range.version:
            raise _refusal(f"{self._field}.routes[{index}].destination", f"{destination} is of another family")
        return Route(str(destination), str(gateway))

    def _address(self, key: str, text: str) -> Address:
        try:
            address = ip_address(text)
        except ValueError:
            raise _refusal(f"{self._field}.{key}", "it is not an IP address") from None
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            raise _refusal(f"{self._field}.{key}", "an interface cannot be part of it")
        return address

    def _network(self, key: str, text: str) -> Range:
        try:
            return ip_network(text)
        except ValueError as error:
            why = "it has host bits set" if "host bits" in str(error) else "it is not a network such as 192.0.2.0/24"
            raise _refusal(f"{self._field}.{key}", why) from None


def _is_broadcast(address: Address, subnet: Range) -> bool:
    return isinstance(subnet, IPv4Network) and address == subnet.broadcast_address


def _overlap(one: Range, other: Range) -> bool:
    if isinstance(one, IPv4Network) and isinstance(other, IPv4Network):
        return one.overlaps(other)
    return isinstance(one, IPv6Network) and isinstance(other, IPv6Network) and one.overlaps(other)


def _text(address: Address | None) -> str | None:
    return None if address is None else str(address)


def _refusal(field: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid input for field/attribute {field}: {why}.", field=field)
