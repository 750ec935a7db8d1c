"""``network_data.json``: of the form guests read, naming only cards the guest has, with addresses that can be used."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface, ip_network
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator

from injector.model.finding import Check, Finding
from injector.model.hostile import one_line

FIELD = "network_data"
_TOLD = 10

Json = Mapping[str, Any]
Interface = IPv4Interface | IPv6Interface

# What cloud-init takes for a physical card (sources/helpers/openstack.py), and the two it assembles.
_CARDS = ["bgpovs", "bridge", "cascading", "dvs", "ethernet", "hw_veb", "hyperv", "ovs", "phy"]
_CARDS += ["tap", "vhostuser", "vif"]
_ASSEMBLED = ["bond", "vlan"]
_DYNAMIC = ["ipv4_dhcp", "ipv6_dhcp", "ipv6_slaac", "ipv6_dhcpv6-stateless", "ipv6_dhcpv6-stateful"]
_STATIC = ["ipv4", "ipv6"]


def _when(types: list[str], *required: str) -> Json:
    """Things of these types have these keys."""
    return {"if": {"required": ["type"], "properties": {"type": {"enum": types}}}, "then": {"required": list(required)}}


_NAME = {"type": "string", "minLength": 1}
_MAC = {"type": "string", "pattern": r"^(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}\Z"}
_SERVICES = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["type", "address"],
        "properties": {"type": {"enum": ["dns"]}, "address": _NAME},
    },
}
_LINK = {
    "type": "object",
    "required": ["id", "type"],
    "properties": {
        "id": _NAME,
        "vif_id": {"type": "string"},
        "type": {"enum": [*_CARDS, *_ASSEMBLED]},
        "ethernet_mac_address": _MAC,
        "bond_links": {"type": "array", "items": _NAME, "minItems": 1},
        "bond_mode": _NAME,
        "vlan_link": _NAME,
        "vlan_id": {"type": "integer", "minimum": 1, "maximum": 4094},
        "vlan_mac_address": _MAC,
    },
    "allOf": [
        _when(_CARDS, "ethernet_mac_address"),
        _when(["bond"], "bond_links", "bond_mode"),
        _when(["vlan"], "vlan_link", "vlan_id"),
    ],
}
_ROUTE = {
    "type": "object",
    "required": ["network", "netmask", "gateway"],
    "properties": {"network": _NAME, "netmask": _NAME, "gateway": _NAME},
}
_NETWORK = {
    "type": "object",
    "required": ["id", "type", "link"],
    "properties": {
        "id": _NAME,
        "type": {"enum": [*_STATIC, *_DYNAMIC]},
        "link": _NAME,
        "network_id": {"type": "string"},
        "ip_address": _NAME,
        "netmask": _NAME,
        "gateway": _NAME,
        "routes": {"type": "array", "items": _ROUTE},
        "services": _SERVICES,
    },
    "allOf": [_when(_STATIC, "ip_address")],
}
SCHEMA: Json = {
    "type": "object",
    "required": ["links", "networks"],
    "properties": {
        "links": {"type": "array", "items": _LINK},
        "networks": {"type": "array", "items": _NETWORK},
        "services": _SERVICES,
    },
}


def lint(document: Json, macs: Collection[str]) -> tuple[Finding, ...]:
    """``macs`` are those of all cards of the guest. An empty document says nothing and is right."""
    if not document:
        return ()
    wrong = tuple(islice(_schema().iter_errors(document), _TOLD))
    if wrong:
        found = (Finding(Check.NETWORK_SCHEMA, _place(error.absolute_path), _reason(error)) for error in wrong)
        return tuple(dict.fromkeys(found))  # a key that is missing is told with the others that are
    doubts = (*_links(document["links"], {mac.lower() for mac in macs}), *_networks(document))
    # The scope behind an IPv6 address may be any text.
    return tuple(replace(finding, message=one_line(finding.message)) for finding in doubts)


@functools.cache
def _schema() -> Draft202012Validator:
    return Draft202012Validator(SCHEMA)


def _place(path: Collection[Any]) -> str:
    return FIELD + "".join(f"[{step}]" if isinstance(step, int) else f".{one_line(step, 40)}" for step in path)


def _reason(error: Any) -> str:
    match error.validator:
        case "required":
            return f"{', '.join(sorted(set(error.validator_value) - set(error.instance)))} is missing"
        case "enum":
            return f"it is none of {', '.join(error.validator_value)}"
        case "type":
            return f"it is not of type {error.validator_value}"
        case _:
            return "it has the wrong form"


def _links(links: list[Json], macs: Collection[str]) -> Iterator[Finding]:
    """Every reader finds its card by the MAC; cloud-init gives up on all of them when one is not there."""
    seen: set[str] = set()
    for index, link in enumerate(links):
        place = f"{FIELD}.links[{index}]"
        if link["id"] in seen:
            yield Finding(Check.NETWORK_SCHEMA, f"{place}.id", "another link has this id")
        seen.add(link["id"])
        if "mtu" in link and not _is_mtu(link["mtu"]):
            message = "an MTU is a whole number from 68 to 65535, or left out when it is not known: never null"
            yield Finding(Check.NETWORK_MTU, f"{place}.mtu", message)
        mac = str(link.get("ethernet_mac_address")).lower()
        if link["type"] in _CARDS and mac not in macs:
            yield Finding(Check.NETWORK_MAC, f"{place}.ethernet_mac_address", f"no card of the guest has {mac}")
    yield from _references(links, seen)


def _references(links: list[Json], known: Collection[str]) -> Iterator[Finding]:
    for index, link in enumerate(links):
        named = [*link.get("bond_links", ()), *([link["vlan_link"]] if "vlan_link" in link else ())]
        if any(name not in known for name in named):
            yield Finding(Check.NETWORK_SCHEMA, f"{FIELD}.links[{index}]", "it is made of a link that is not described")


def _is_mtu(value: object) -> bool:
    return isinstance(value, int) and 68 <= value <= 65535


def _networks(document: Json) -> Iterator[Finding]:
    links = {link["id"] for link in document["links"]}
    taken: set[str] = set()
    for index, network in enumerate(document["networks"]):
        place = f"{FIELD}.networks[{index}]"
        if network["link"] not in links:
            yield Finding(Check.NETWORK_SCHEMA, f"{place}.link", "there is no such link")
        if network["type"] in _STATIC:
            yield from _static(network, place, taken)
        yield from _name_servers(network, place)
    yield from _name_servers(document, FIELD)


def _static(network: Json, place: str, taken: set[str]) -> Iterator[Finding]:
    field = f"{place}.ip_address"
    interface = _interface(network)
    if interface is None or f"ipv{interface.version}" != network["type"]:
        message = f"address and netmask are no {network['type']} interface"
        yield Finding(Check.NETWORK_ADDRESS, field, message)
        return
    if str(interface.ip) in taken:
        yield Finding(Check.NETWORK_ADDRESS, field, f"{interface.ip} is given twice")
    taken.add(str(interface.ip))
    if (why := _unusable(interface)) is not None:
        yield Finding(Check.NETWORK_ADDRESS, field, f"{interface.ip} is {why}")
    yield from _gateways(network, interface, place)


def _interface(network: Json) -> Interface | None:
    """The address with its prefix: behind a slash, or as a netmask, which for IPv6 is written as an address."""
    address, mask = network["ip_address"], network.get("netmask")
    if mask is None or "/" in address:
        return _interface_of(address) if "/" in address else None
    return _interface_of(f"{address}/{mask}") or _with_long_mask(address, mask)


def _with_long_mask(address: str, mask: str) -> Interface | None:
    prefix = _prefix(mask)
    return None if prefix is None else _interface_of(f"{address}/{prefix}")


def _prefix(mask: str) -> int | None:
    """The length that ``ffff:ffff::`` stands for; None when its bits are not in one run."""
    try:
        bits = f"{int(ip_address(mask)):0{ip_address(mask).max_prefixlen}b}"
    except ValueError:
        return None
    length = len(bits.rstrip("0"))
    return length if bits == "1" * length + "0" * (len(bits) - length) else None


def _interface_of(text: str) -> Interface | None:
    try:
        return ip_interface(text)
    except ValueError:
        return None


def _unusable(interface: Interface) -> str | None:
    address, subnet = interface.ip, interface.network
    if address.is_multicast or address.is_loopback or address.is_unspecified:
        return "no address of a machine"
    if subnet.num_addresses <= 2:
        return None
    if address == subnet.network_address:
        return f"the address of {subnet} itself"
    is_broadcast = address.version == 4 and address == subnet.broadcast_address
    return f"the broadcast address of {subnet}" if is_broadcast else None


def _gateways(network: Json, interface: Interface, place: str) -> Iterator[Finding]:
    for index, route in enumerate(network.get("routes", ())):
        field = f"{place}.routes[{index}]"
        if not _is_range(route, interface.version):
            yield Finding(Check.NETWORK_ADDRESS, field, "network and netmask are no range of this address's family")
        yield from _gateway(route["gateway"], interface, f"{field}.gateway")
    if "gateway" in network:
        yield from _gateway(network["gateway"], interface, f"{place}.gateway")


def _is_range(route: Json, version: int) -> bool:
    prefix = _prefix(route["netmask"])
    try:
        return prefix is not None and ip_network(f"{route['network']}/{prefix}").version == version
    except ValueError:
        return False


def _gateway(text: str, interface: Interface, field: str) -> Iterator[Finding]:
    try:
        gateway = ip_address(text)
    except ValueError:
        yield Finding(Check.NETWORK_ADDRESS, field, "it is no IP address")
        return
    if gateway == interface.ip:
        yield Finding(Check.NETWORK_ADDRESS, field, f"{gateway} is the guest's own address")
    elif gateway not in interface.network and not gateway.is_link_local:
        yield Finding(Check.NETWORK_GATEWAY, field, f"{gateway} is not in {interface.network}")


def _name_servers(holder: Json, place: str) -> Iterator[Finding]:
    for index, service in enumerate(holder.get("services", ())):
        try:
            ip_address(service["address"])
        except ValueError:
            yield Finding(Check.NETWORK_ADDRESS, f"{place}.services[{index}].address", "it is no IP address")
