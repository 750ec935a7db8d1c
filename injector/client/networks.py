"""`injector network create|list|delete`: what guests can be plugged into."""

from __future__ import annotations

import argparse
from argparse import ArgumentTypeError
from collections.abc import Iterable, Mapping
from typing import Any

from injector.client.arguments import address, cidr, key_value, positive
from injector.client.cells import Cell
from injector.client.command import ApiCommand, ApiLister, ApiShower
from injector.client.exits import UsageError
from injector.client.find import NETWORK, find_id
from injector.client.session import Document, seg

IPV6_MODES = ("slaac", "dhcpv6-stateless", "dhcpv6-stateful")
KINDS = ("user", "bridge", "libvirt")
Subnet = dict[str, Any]


def pool(text: str) -> tuple[str, str]:
    """``FIRST-LAST``, both addresses inclusive."""
    first, dash, last = text.partition("-")
    if not dash:
        raise ArgumentTypeError(f"'{text}': want FIRST-LAST, two addresses")
    return address(first), address(last)


def subnet(text: str) -> Subnet:
    """``CIDR[,dhcp|,slaac|,dhcpv6-stateless|,dhcpv6-stateful][,gateway=IP][,dns=IP]…[,pool=FIRST-LAST]``."""
    start, *parts = text.split(",")
    made: Subnet = {"cidr": cidr(start)}
    for part in parts:
        if part == "dhcp" or part in IPV6_MODES:
            made |= {"dhcp": True} if part == "dhcp" else {"ipv6_mode": part}
            continue
        match key_value(part):
            case ("gateway", value):
                made["gateway"] = address(value)
            case ("dns", value):
                made.setdefault("dns", []).append(address(value))
            case ("pool", value):
                made["pool_first"], made["pool_last"] = pool(value)
            case (key, _):
                raise ArgumentTypeError(f"'{key}': want dhcp, {', '.join(IPV6_MODES)}, gateway, dns or pool")
    return made


class Create(ApiShower):
    """Create a network: QEMU's user mode, a Linux bridge, or a network of libvirt's."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME")
        parser.add_argument(
            "--kind", choices=KINDS, default="user", help="how cards are plugged (default: %(default)s)"
        )
        parser.add_argument("--source", metavar="NAME", help="the bridge, or libvirt's name of the network")
        parser.add_argument("--mtu", type=positive, metavar="BYTES")
        parser.add_argument(
            "--forward",
            dest="forwards",
            type=positive,
            action="append",
            default=[],
            metavar="PORT",
            help="a TCP port of each guest, to be reached through a port of 127.0.0.1 (user networks; repeat for more)",
        )
        self._subnets(parser.add_argument_group("addresses"))

    def _subnets(self, group: argparse._ArgumentGroup) -> None:
        group.add_argument(
            "--subnet",
            dest="subnets",
            type=subnet,
            action="append",
            default=[],
            metavar="CIDR[,dhcp|,slaac|…][,gateway=IP][,dns=IP][,pool=FIRST-LAST]",
            help="addresses of the network (repeat for more); where there is one only, these say the same:",
        )
        group.add_argument("--dhcp", action="store_true", help="guests ask for their address, else each is told one")
        group.add_argument("--gateway", type=address, metavar="IP")
        group.add_argument("--dns", type=address, action="append", metavar="IP", help="a resolver (repeat for more)")
        group.add_argument("--pool", type=pool, metavar="FIRST-LAST", help="the addresses that guests may be given")

    def fields(self) -> Mapping[str, Any]:
        network = {
            "name": self.args.name,
            "injector:kind": self.args.kind,
            "injector:source": self.args.source,
            "injector:forwards": self.args.forwards,
            "injector:subnets": merged(self.args),
            "mtu": self.args.mtu,
        }
        said = {key: value for key, value in network.items() if value not in (None, [])}
        return _fields(self.session.post(NETWORK.path, {"network": said})["network"])


class List(ApiLister):
    """List the networks."""

    titles = ("ID", "Name", "Kind", "Source", "Subnets", "Forwards")

    def rows(self) -> Iterable[Mapping[str, Any]]:
        for view in self.session.collection(NETWORK.path, "networks"):
            yield {key.capitalize() if key != "id" else "ID": value for key, value in _fields(view).items()}


class Delete(ApiCommand):
    """Delete networks that no server is plugged into."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("networks", metavar="NETWORK", nargs="+", help="name or id")

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        return self.each(parsed_args.networks, self._delete)

    def _delete(self, name: str) -> None:
        self.session.delete(f"{NETWORK.path}/{seg(find_id(self.session, NETWORK, name))}")


def merged(args: argparse.Namespace) -> list[Subnet]:
    """The subnets, with what the options beside ``--subnet`` say of the only one."""
    beside: Subnet = {"dhcp": args.dhcp or None, "gateway": args.gateway, "dns": args.dns}
    if args.pool:
        beside["pool_first"], beside["pool_last"] = args.pool
    beside = {key: value for key, value in beside.items() if value is not None}
    subnets: list[Subnet] = args.subnets
    if not beside:
        return subnets
    if len(subnets) != 1:
        raise UsageError("--dhcp, --gateway, --dns and --pool go with one --subnet; for more, say it after each CIDR")
    return [subnets[0] | beside]


def _fields(view: Document) -> dict[str, Any]:
    return {
        "id": view.get("id"),
        "name": view.get("name"),
        "kind": view.get("injector:kind"),
        "source": view.get("injector:source"),
        "mtu": view.get("mtu"),
        "subnets": Cell(view.get("injector:subnets") or [], lambda subnets: [_subnet(one) for one in subnets]),
        "forwards": Cell(view.get("injector:forwards") or [], lambda ports: [", ".join(str(port) for port in ports)]),
    }


def _subnet(one: Subnet) -> str:
    parts = [str(one.get("cidr")), "dhcp" if one.get("dhcp") else "static"]
    if one.get("pool_first"):
        parts.append(f"pool {one['pool_first']}-{one.get('pool_last')}")
    if one.get("gateway"):
        parts.append(f"gateway {one['gateway']}")
    if one.get("dns"):
        parts.append(f"dns {' '.join(one['dns'])}")
    return ", ".join(parts)
