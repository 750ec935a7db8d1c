"""Reads a guest's network files again: which card gets which address; pure, on what a stranger may have sent."""

from __future__ import annotations

import configparser
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from injector.inject.lint import yamltext
from injector.inject.partition.network.cards import RESOLV
from injector.inject.partition.network.stanzas import stanzas_of
from injector.model.facts import NetworkStack
from injector.model.network import Nic

Pairs = Iterator[tuple[str, str]]
"""MAC and ``address/prefix length``."""


class Unreadable(Exception):
    """A file is not what its tool would take."""


def addresses_told(files: Mapping[str, bytes], nics: Collection[Nic]) -> dict[NetworkStack, list[tuple[str, str]]]:
    """By the tool whose files these are; resolv.conf says nothing of addresses.

    Unreadable for a file that is none of theirs, or not what that tool would take.
    """
    if any(path != RESOLV and not any(mine(path) for mine, _ in _READERS.values()) for path in files):
        raise Unreadable("no network tool reads such a file")
    told = {}
    for stack, (mine, read) in _READERS.items():
        texts = {path: text for path, text in files.items() if mine(path)}
        if texts:
            try:
                told[stack] = list(read(texts, nics))
            except _DAMAGED as error:
                raise Unreadable(f"what was written for {stack.value} cannot be read") from error
    return told


_DAMAGED = (configparser.Error, yamltext.YamlError, ValueError, KeyError, TypeError, AttributeError)


def _of_ifupdown(files: Mapping[str, bytes], nics: Collection[Nic]) -> Pairs:
    """A stanza without a MAC is of the card that others or udev name so, or else of the one in that place."""
    names = {f"eth{number}": nic.mac for number, nic in enumerate(nics)}
    for text in (text for path, text in files.items() if path.endswith(".link")):
        link = _sections(text)
        names[link["Link"]["Name"]] = link["Match"]["MACAddress"]
    stanzas = stanzas_of(files.get("/etc/network/interfaces", b""))
    names |= {stanza.name: stanza.mac for stanza in stanzas if stanza.mac}
    for stanza in stanzas:
        if stanza.method == "static" and stanza.address:
            yield stanza.mac or names[stanza.name], stanza.address


def _of_netplan(files: Mapping[str, bytes], _nics: Collection[Nic]) -> Pairs:
    for text in files.values():
        document: Any = yamltext.read(text.decode()).value
        for card in document["network"]["ethernets"].values():
            yield from ((str(card["match"]["macaddress"]), str(one)) for one in card.get("addresses", ()))


def _of_networkd(files: Mapping[str, bytes], _nics: Collection[Nic]) -> Pairs:
    """Its keys may be there more than once, which is no ini file."""
    for text in files.values():
        pairs = [line.partition("=")[::2] for line in text.decode().splitlines()]
        # Not by next(): the end of an iterator would end this one too, as an error that nobody expects.
        mac = dict(reversed(pairs))["MACAddress"]
        yield from ((mac, value) for key, value in pairs if key == "Address")


def _of_network_manager(files: Mapping[str, bytes], _nics: Collection[Nic]) -> Pairs:
    for text in files.values():
        profile = _sections(text)
        for family in ("ipv4", "ipv6"):
            keys = (key for key in profile[family] if key.startswith("address"))
            yield from ((profile["ethernet"]["mac-address"], profile[family][key]) for key in keys)


def _sections(text: bytes) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), strict=False)
    parser.read_string(text.decode())
    return parser


def _within(directory: str, end: str) -> Callable[[str], bool]:
    return lambda path: path.startswith(f"{directory}/") and path.endswith(end)


def _is_ifupdowns(path: str) -> bool:
    return path == "/etc/network/interfaces" or _within("/etc/systemd/network", ".link")(path)


_READERS: Mapping[NetworkStack, tuple[Callable[[str], bool], Callable[[Mapping[str, bytes], Collection[Nic]], Pairs]]]
_READERS = {
    NetworkStack.IFUPDOWN: (_is_ifupdowns, _of_ifupdown),
    NetworkStack.NETPLAN: (_within("/etc/netplan", ".yaml"), _of_netplan),
    NetworkStack.NETWORKD: (_within("/etc/systemd/network", ".network"), _of_networkd),
    NetworkStack.NETWORK_MANAGER: (
        _within("/etc/NetworkManager/system-connections", ".nmconnection"),
        _of_network_manager,
    ),
}
