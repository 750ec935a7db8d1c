"""The guest's cards for ifupdown: the text of the operator's template, and what a template does not tell."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator

from injector.inject.partition.network.cards import HEADER, Card, Document, routes, version, with_length
from injector.inject.partition.network.networkd import link
from injector.inject.partition.network.stanzas import Stanza, stanzas_of
from injector.model.facts import NetworkStack
from injector.model.network import Address, Ipv6Mode

PATH = "/etc/network/interfaces"

_LOOPBACK = "\nauto lo\niface lo inet loopback\n"


def documents(cards: Collection[Card], template: bytes | None, *, udev: bool) -> tuple[Document, ...]:
    """``template``: as rendered, None where it has nothing to tell.

    As in Nova a template tells of each card the first address of each family, under the name eth0 and so on, and
    nothing of a card with DHCP; the rest is written after it. With ``udev`` in the guest its cards are given the
    names: they would have others on most guests of today.
    """
    text = (HEADER + _LOOPBACK).encode() if template is None else template
    told = stanzas_of(text)
    names = {card.mac: _name(card, told) for card in cards}
    added = [line for card in cards for line in _untold(card, names[card.mac], told)]
    content = text if not added else text.rstrip(b"\n") + "\n".join(["", *added, ""]).encode()
    interfaces = Document(NetworkStack.IFUPDOWN, PATH, content)
    links = (link(card, names[card.mac], NetworkStack.IFUPDOWN) for card in cards if udev)
    return (interfaces, *links)


def _name(card: Card, told: Collection[Stanza]) -> str:
    return next((stanza.name for stanza in told if stanza.mac == card.mac), f"eth{card.number}")


def _untold(card: Card, name: str, told: Collection[Stanza]) -> Iterator[str]:
    """Dynamic addresses first: a DHCP client may sweep away what is there when it begins."""
    mine = [stanza for stanza in told if stanza.name == name]
    asked = {(stanza.family, stanza.method) for stanza in mine}
    lines: list[str] = []
    if card.dhcp4 and ("inet", "dhcp") not in asked:
        lines += [f"iface {name} inet dhcp"]
    if card.ipv6 is not None and not {("inet6", "auto"), ("inet6", "dhcp")} & asked:
        lines += _ipv6(name, card.ipv6)
    lines += _static(card, name, {stanza.address for stanza in mine}, known=bool(mine or lines))
    if lines and not mine:
        yield from ("", f"auto {name}")
    yield from lines


def _static(card: Card, name: str, said: Collection[str | None], *, known: bool) -> Iterator[str]:
    """A subnet's routes are told once, with its first address, and the MAC before the card is up: else they fail."""
    told = {address.subnet.cidr for address in card.static if with_length(address) in said}
    for address in card.static:
        if with_length(address) not in said:
            mac = None if known else card.mac
            yield from _address(name, mac, address, first=address.subnet.cidr not in told)
            told.add(address.subnet.cidr)
            known = True


def _address(name: str, mac: str | None, address: Address, *, first: bool) -> Iterator[str]:
    yield f"iface {name} {'inet' if version(address.subnet) == 4 else 'inet6'} static"
    if mac is not None:
        yield f"    hwaddress ether {mac}"
    network = ipaddress.ip_network(address.subnet.cidr)
    yield f"    address {address.ip}"
    yield f"    netmask {network.netmask if network.version == 4 else network.prefixlen}"
    if not first:
        return
    for destination, gateway in routes(address.subnet):
        if gateway == address.subnet.gateway and destination.endswith("/0"):
            yield f"    gateway {gateway}"
        else:
            yield f"    up ip route add {destination} via {gateway} dev {name}"
    if address.subnet.dns:
        yield f"    dns-nameservers {' '.join(address.subnet.dns)}"


def _ipv6(name: str, mode: Ipv6Mode) -> list[str]:
    match mode:
        case Ipv6Mode.SLAAC:
            return [f"iface {name} inet6 auto"]
        case Ipv6Mode.STATELESS:
            return [f"iface {name} inet6 auto", "    dhcp 1"]
        case _:
            return [f"iface {name} inet6 dhcp", "    accept_ra 1"]
