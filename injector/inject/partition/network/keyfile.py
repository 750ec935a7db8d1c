"""The guest's cards for NetworkManager: a connection profile each."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator

from injector.inject.partition.network.cards import HEADER, Card, Document
from injector.model.facts import NetworkStack

_STEM = "/etc/NetworkManager/system-connections/injector-"
_MODE = 0o600
"""NetworkManager ignores what others may read."""
_FIRST = 999
"""The highest priority there is: another profile that fits the card waits."""


def documents(cards: Collection[Card]) -> tuple[Document, ...]:
    """The profile of a card keeps its uuid from injection to injection."""
    return tuple(
        Document(NetworkStack.NETWORK_MANAGER, f"{_STEM}{card.number}.nmconnection", _text(card), _MODE)
        for card in cards
    )


def _text(card: Card) -> bytes:
    lines = [*_connection(card), *_family(card, 4), *_family(card, 6)]
    return (HEADER + "\n".join(lines) + "\n").encode()


def _connection(card: Card) -> Iterator[str]:
    yield from ("[connection]", f"id=injector-{card.number}", f"uuid={uuid.uuid5(uuid.NAMESPACE_OID, card.mac)}")
    yield from ("type=ethernet", "autoconnect=true", f"autoconnect-priority={_FIRST}", "")
    yield from ("[ethernet]", f"mac-address={card.mac}")
    if card.mtu is not None:
        yield f"mtu={card.mtu}"


def _family(card: Card, number: int) -> Iterator[str]:
    """One gateway a family is all there is; others become routes."""
    mine = [address for address in card.addresses if (":" in address) == (number == 6)]
    yield from ("", f"[ipv{number}]", f"method={_method(card, number, mine)}")
    yield from (f"address{place}={address}" for place, address in enumerate(mine, 1))
    routes = [route for route in card.routes if (":" in route[0]) == (number == 6)]
    default = next((route for route in routes if route[0].endswith("/0")), None)
    if default is not None:
        routes.remove(default)
        yield f"gateway={default[1]}"
    yield from (f"route{place}={','.join(route)}" for place, route in enumerate(routes, 1))
    servers = [server for server in card.dns if (":" in server) == (number == 6)]
    if servers:
        yield f"dns={''.join(server + ';' for server in servers)}"


def _method(card: Card, number: int, static: Collection[str]) -> str:
    """``auto`` heeds DHCP, or what a router says of it; ``ignore`` leaves IPv6 to the kernel."""
    if card.dhcp4 if number == 4 else card.ipv6 is not None:
        return "auto"
    if static:
        return "manual"
    return "disabled" if number == 4 else "ignore"
