"""Which address, MAC and forward port a guest gets: pure choices among what is not taken."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Collection, Iterator

from injector.errors import Conflict, InvalidRequest
from injector.model.boot import NicOrder
from injector.model.network import Address, Forward, Network, Nic, Subnet

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def new_mac() -> str:
    """A random MAC under fa:16:3e, the prefix OpenStack's guests have."""
    return "fa:16:3e:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))


def plug(order: NicOrder, taken: Collection[str]) -> Nic:
    """One card: an address from every subnet without DHCP; ``taken`` are the network's addresses in use.

    Conflict when a pool is exhausted or the address asked for is taken; InvalidRequest when it is in no subnet.
    """
    fixed = _parse_fixed(order)
    addresses = tuple(_address(order.network, subnet, fixed, taken) for subnet in order.network.subnets)
    if fixed is not None and str(fixed) not in {address.ip for address in addresses}:
        raise InvalidRequest(f"{fixed} is in no subnet of network '{order.network.name}'", field="networks.fixed_ip")
    return Nic(new_mac(), order.network, addresses, order.tag)


def _parse_fixed(order: NicOrder) -> IPAddress | None:
    if order.fixed_ip is None:
        return None
    try:
        return ipaddress.ip_address(order.fixed_ip)
    except ValueError as error:
        raise InvalidRequest(f"'{order.fixed_ip}' is no IP address", field="networks.fixed_ip") from error


def _address(network: Network, subnet: Subnet, fixed: IPAddress | None, taken: Collection[str]) -> Address:
    if fixed is not None and fixed in ipaddress.ip_network(subnet.cidr):
        if subnet.dhcp:
            message = f"network '{network.name}' gives addresses by DHCP: {fixed} cannot be promised"
            raise InvalidRequest(message, field="networks.fixed_ip")
        if str(fixed) in taken or str(fixed) == subnet.gateway:
            raise Conflict(f"Fixed IP address {fixed} is already in use.", field="networks.fixed_ip")
        return Address(subnet, str(fixed))
    if subnet.dhcp:
        return Address(subnet)
    for candidate in _pool(subnet):
        if str(candidate) not in taken and str(candidate) != subnet.gateway:
            return Address(subnet, str(candidate))
    raise Conflict(f"No more addresses in subnet {subnet.cidr} of network '{network.name}'.", field="networks")


def _pool(subnet: Subnet) -> Iterator[IPAddress]:
    if subnet.pool_first is None or subnet.pool_last is None:
        yield from ipaddress.ip_network(subnet.cidr).hosts()
        return
    first, last = ipaddress.ip_address(subnet.pool_first), ipaddress.ip_address(subnet.pool_last)
    kind = type(first)
    yield from (kind(number) for number in range(int(first), int(last) + 1))


def forwards(nics: Collection[Nic], ports: range, taken: Collection[int]) -> tuple[Forward, ...]:
    """A host port for each guest port that the networks of these cards forward; Conflict when none is left."""
    used = set(taken)
    made: list[Forward] = []
    for nic in nics:
        for guest_port in nic.network.forwards:
            port = free_port(ports, used)
            used.add(port)
            made.append(Forward(nic.mac, guest_port, port))
    return tuple(made)


def free_port(ports: range, taken: Collection[int]) -> int:
    """A port by chance, so that a port just freed is not at once somebody else's."""
    free = [port for port in ports if port not in taken]
    if not free:
        raise Conflict("no port is left for forwards", field="[dispatcher] forward_last_port")
    return secrets.choice(free)
