"""OpenStack's ``network_data.json``: the cards of the guest, their addresses, routes and name servers."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Collection
from typing import Any

from injector.errors import InternalError
from injector.inject import lint
from injector.model.finding import Check
from injector.model.instance import Instance
from injector.model.network import Address, Ipv6Mode, NetworkKind, Nic, Subnet

Json = dict[str, Any]

_BUGS = frozenset({Check.NETWORK_SCHEMA, Check.NETWORK_MTU, Check.NETWORK_MAC})
"""What no record can ask for: a document with one of these was rendered wrongly."""


def network_data(instance: Instance) -> Json:
    """``{}`` for a guest without cards. A card without subnets is skipped, as in Nova: nothing is known of it.

    Unlike Nova, every subnet of a card is described and not only the first of each family, and an MTU that is not
    known or is DHCP's to tell is left out rather than null (Ironic repairs Nova's drives for that). Where a guest
    finds its own address, none is told: Neutron computes it, and there is no Neutron here. What our own lint takes for
    a bug raises InternalError: better than a guest without network.
    """
    if not instance.nics:
        return {}
    links: list[Json] = []
    networks: list[Json] = []
    services: list[Json] = []
    for number, nic in enumerate(instance.nics):
        if not nic.addresses:
            continue
        link = _link(f"interface{number}", nic, instance.id)
        links.append(link)
        for address in nic.addresses:
            networks.append(_network(f"network{len(networks)}", link["id"], nic, address))
            services += [entry for entry in _name_servers(address.subnet) if entry not in services]
    document = {"links": links, "networks": networks, "services": services}
    _require_sound(document, instance.nics)
    return document


def _require_sound(document: Json, nics: Collection[Nic]) -> None:
    for finding in lint.network_data(document, [nic.mac for nic in nics]):
        if finding.check in _BUGS:
            raise InternalError(f"{finding.field}: {finding.message}", field=finding.field)


def static_addresses(nics: Collection[Nic]) -> tuple[tuple[Nic, Address], ...]:
    """The addresses the guest must be told."""
    return tuple((nic, address) for nic in nics for address in nic.addresses if _is_static(address))


def _is_static(address: Address) -> bool:
    return address.ip is not None and not address.subnet.dhcp


def _link(name: str, nic: Nic, instance_id: str) -> Json:
    link: Json = {
        "id": name,
        "vif_id": str(uuid.uuid5(uuid.UUID(instance_id), nic.mac)),
        "type": "bridge" if nic.network.kind is NetworkKind.BRIDGE else "phy",
    }
    if nic.network.mtu is not None and not any(_tells_mtu(address.subnet) for address in nic.addresses):
        link["mtu"] = nic.network.mtu
    return link | {"ethernet_mac_address": nic.mac}


def _tells_mtu(subnet: Subnet) -> bool:
    """Whether there is a DHCP server; a router's advertisement may tell an MTU too, and seldom does."""
    return subnet.dhcp and subnet.ipv6_mode is not Ipv6Mode.SLAAC


def _network(name: str, link: str, nic: Nic, address: Address) -> Json:
    network: Json = {"id": name, "type": _type(address), "link": link}
    if _is_static(address):
        network |= _static(address)
    return network | {"network_id": nic.network.id}


def _type(address: Address) -> str:
    family = f"ipv{ipaddress.ip_network(address.subnet.cidr).version}"
    if _is_static(address):
        return family
    return f"{family}_{address.subnet.ipv6_mode or 'dhcp'}"


def _static(address: Address) -> Json:
    subnet = address.subnet
    return {
        "ip_address": address.ip,
        "netmask": str(ipaddress.ip_network(subnet.cidr).netmask),
        "routes": _routes(subnet),
        "services": _name_servers(subnet),
    }


def _routes(subnet: Subnet) -> list[Json]:
    """The default route first, then those of the subnet."""
    everywhere = "0.0.0.0/0" if ipaddress.ip_network(subnet.cidr).version == 4 else "::/0"
    pairs = [(everywhere, subnet.gateway)] if subnet.gateway else []
    pairs += [(route.destination, route.gateway) for route in subnet.routes]
    return [_route(ipaddress.ip_network(destination), gateway) for destination, gateway in pairs]


def _route(destination: ipaddress.IPv4Network | ipaddress.IPv6Network, gateway: str) -> Json:
    return {"network": str(destination.network_address), "netmask": str(destination.netmask), "gateway": gateway}


def _name_servers(subnet: Subnet) -> list[Json]:
    return [{"type": "dns", "address": address} for address in subnet.dns]
