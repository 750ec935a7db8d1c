"""The guest's cards for systemd-networkd, and their names for udev."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from injector.inject.partition.network.cards import HEADER, Card, Document
from injector.model.facts import NetworkStack
from injector.model.network import Ipv6Mode

_STEM = "/etc/systemd/network/00-0-injector-"
"""Of all files that match a card the first one by name counts."""


def documents(cards: Collection[Card]) -> tuple[Document, ...]:
    """A file a card; all may read them, as networkd itself does without being root."""
    return tuple(
        Document(NetworkStack.NETWORKD, f"{_STEM}{card.number}.network", _text(_network(card)), 0o644) for card in cards
    )


def link(card: Card, name: str, stack: NetworkStack) -> Document:
    """Has udev give the card with this MAC the name that another tool's configuration knows it by."""
    lines = ["[Match]", f"MACAddress={card.mac}", "Type=ether", "", "[Link]", f"Name={name}"]
    if card.mtu is not None:
        lines.append(f"MTUBytes={card.mtu}")
    return Document(stack, f"{_STEM}{card.number}.link", _text(lines), 0o644)


def _text(lines: Collection[str] | Iterator[str]) -> bytes:
    return (HEADER + "\n".join(lines) + "\n").encode()


def _network(card: Card) -> Iterator[str]:
    yield from ("[Match]", f"MACAddress={card.mac}", "Type=ether", "")
    if card.mtu is not None:
        yield from ("[Link]", f"MTUBytes={card.mtu}", "")
    yield from ("[Network]", f"DHCP={_dhcp(card)}")
    if card.ipv6 is not None:
        yield "IPv6AcceptRA=yes"
    yield from (f"Address={address}" for address in card.addresses)
    yield from (f"DNS={server}" for server in card.dns)
    for destination, gateway in card.routes:
        yield from ("", "[Route]", f"Destination={destination}", f"Gateway={gateway}")


def _dhcp(card: Card) -> str:
    """A stateless guest is sent to DHCPv6 by its router's advertisement."""
    match card.dhcp4, card.ipv6 is Ipv6Mode.STATEFUL:
        case True, True:
            return "yes"
        case True, False:
            return "ipv4"
        case False, True:
            return "ipv6"
    return "no"
