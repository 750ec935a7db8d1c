"""The guest's cards for netplan, which tells networkd or NetworkManager in its turn."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator

from injector.inject.partition.network.cards import HEADER, Card, Document
from injector.model.facts import NetworkStack
from injector.model.network import Ipv6Mode

PATH = "/etc/netplan/99-injector.yaml"
_MODE = 0o600
"""netplan warns of what others may read: there may be passwords of wireless networks in it."""


def documents(cards: Collection[Card]) -> tuple[Document, ...]:
    """One file. The names of the cards in it sort first: of two that match a card, networkd obeys the first."""
    if not cards:
        return ()
    lines = ["network:", "  version: 2", "  ethernets:", *(line for card in cards for line in _card(card))]
    return (Document(NetworkStack.NETPLAN, PATH, (HEADER + "\n".join(lines) + "\n").encode(), _MODE),)


def _card(card: Card) -> Iterator[str]:
    yield f"    00injector{card.number}:"
    yield "      match:"
    yield f"        macaddress: {_quoted(card.mac)}"
    yield f"      dhcp4: {_flag(card.dhcp4)}"
    yield f"      dhcp6: {_flag(card.ipv6 is Ipv6Mode.STATEFUL)}"
    if card.ipv6 is not None:
        yield "      accept-ra: true"
    if card.mtu is not None:
        yield f"      mtu: {card.mtu}"
    if card.static:
        yield "      addresses:"
    for address in card.addresses:
        yield f"        - {_quoted(address)}"
    if card.routes:
        yield "      routes:"
    for destination, gateway in card.routes:
        yield f"        - to: {_quoted(destination)}"
        yield f"          via: {_quoted(gateway)}"
    if card.dns:
        yield "      nameservers:"
        yield f"        addresses: [{', '.join(map(_quoted, card.dns))}]"


def _quoted(text: str) -> str:
    return json.dumps(text)


def _flag(value: bool) -> str:
    return "true" if value else "false"
