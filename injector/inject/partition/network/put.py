"""Writes a guest's network for every tool of its that is switched on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from injector.errors import ItemRefused
from injector.inject.partition import paths
from injector.inject.partition.draft import Draft
from injector.inject.partition.filesystem import Attributes, Kind
from injector.inject.partition.network import ifupdown, keyfile, netplan, networkd
from injector.inject.partition.network.cards import RESOLV, Card, Document, cards_of
from injector.model.facts import NetworkStack
from injector.model.network import Nic
from injector.model.secret import Secret

LIMIT = 1024 * 1024
_MOST_SERVERS = 3
"""As many as a C library asks."""
_UDEV = tuple(f"{lib}/udev/rules.d/80-net-setup-link.rules" for lib in ("/usr/lib", "/lib"))
"""What has udev give cards their names."""
_RESOLVING = frozenset({NetworkStack.IFUPDOWN, NetworkStack.NETWORKD})
"""Those that do not write resolv.conf themselves."""


def put_network(
    draft: Draft, stacks: Collection[NetworkStack], nics: Collection[Nic], interfaces: Secret | None
) -> tuple[Document, ...]:
    """What was written. ItemRefused for a guest with no tool that is known here.

    Cards that ask by DHCP are told to: none is left out because another has an address of its own.
    """
    if not stacks:
        raise ItemRefused("the guest has no network tool that is known here")
    documents = documents_of(stacks, nics, interfaces, udev=_has_udev(draft))
    written = (*documents, *_resolvers(draft, _written_for(stacks), cards_of(nics)))
    for document in written:
        _write(draft, document)
    return written


def documents_of(
    stacks: Collection[NetworkStack], nics: Collection[Nic], interfaces: Secret | None, *, udev: bool
) -> tuple[Document, ...]:
    """``interfaces`` is the operator's template for ifupdown, rendered; ``udev``: whether the guest has it."""
    cards, template = cards_of(nics), None if interfaces is None else interfaces.reveal()
    return tuple(
        document
        for stack in _written_for(stacks)
        for document in (
            ifupdown.documents(cards, template, udev=udev) if stack is NetworkStack.IFUPDOWN else _WRITERS[stack](cards)
        )
    )


def _written_for(stacks: Collection[NetworkStack]) -> tuple[NetworkStack, ...]:
    """netplan writes for the others itself."""
    return (NetworkStack.NETPLAN,) if NetworkStack.NETPLAN in stacks else tuple(stacks)


_WRITERS: Mapping[NetworkStack, Callable[[Collection[Card]], tuple[Document, ...]]] = {
    NetworkStack.NETPLAN: netplan.documents,
    NetworkStack.NETWORKD: networkd.documents,
    NetworkStack.NETWORK_MANAGER: keyfile.documents,
}


def _has_udev(draft: Draft) -> bool:
    return any(paths.resolve(draft, path).entry is not None for path in _UDEV)


def _resolvers(draft: Draft, stacks: Collection[NetworkStack], cards: Collection[Card]) -> Iterator[Document]:
    """Where resolv.conf is a link, a program keeps it (resolved, resolvconf), and hears of servers from the tool."""
    stack = next((stack for stack in stacks if stack in _RESOLVING), None)
    servers = tuple(dict.fromkeys(server for card in cards for server in card.dns))[:_MOST_SERVERS]
    entry = draft.entry(f"{paths.directory_place(draft, '/etc').path}/resolv.conf")
    if stack is not None and servers and (entry is None or entry.kind is Kind.FILE):
        old = draft.text(RESOLV, LIMIT).splitlines()
        lines = [f"nameserver {server}".encode() for server in servers]
        lines += [line for line in old if not line.startswith(b"nameserver")]
        yield Document(stack, RESOLV, b"\n".join([*lines, b""]))


def _write(draft: Draft, document: Document) -> None:
    place = paths.file_place(draft, document.path)
    draft.make_directories(place)
    draft.write(place, document.content, Attributes(mode=document.mode), yielding=document.path == RESOLV)
