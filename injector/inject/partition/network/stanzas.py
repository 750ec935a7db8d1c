"""Reads /etc/network/interfaces: who gets which address by which method; pure, on bytes."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stanza:
    """An ``iface``. ``address`` with the length of its prefix; ``mac`` where the stanza names one."""

    name: str
    family: str
    method: str
    address: str | None = None
    mac: str | None = None


def stanzas_of(text: bytes) -> tuple[Stanza, ...]:
    """What it says that can be read; lines of other kinds end a stanza."""
    return tuple(_stanza(words, options) for words, options in _split(text.decode("utf-8", "replace")))


_ENDS = frozenset({"auto", "mapping", "source", "source-directory", "rename", "no-auto-down", "no-scripts", "template"})


def _split(text: str) -> Iterator[tuple[list[str], dict[str, str]]]:
    found: tuple[list[str], dict[str, str]] | None = None
    for line in text.replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "iface" and len(rest.split()) >= 3:
            if found:
                yield found
            found = rest.split(), {}
        elif word in _ENDS or word.startswith("allow-"):
            if found:
                yield found
            found = None
        elif found and word and not word.startswith("#"):
            found[1].setdefault(word, rest.strip())
    if found:
        yield found


def _stanza(words: list[str], options: Mapping[str, str]) -> Stanza:
    mac = options.get("hwaddress", "").split()[-1:]
    return Stanza(words[0], words[1], words[2], _address(options), mac[0].lower() if mac else None)


def _address(options: Mapping[str, str]) -> str | None:
    """The netmask counts where the address has no length of its own."""
    address, slash, _ = options.get("address", "").partition("/")
    if not address:
        return None
    return options["address"] if slash else f"{address}/{_length(options.get('netmask', ''))}"


def _length(netmask: str) -> str:
    try:
        return netmask if netmask.isdigit() else str(int(ipaddress.IPv4Address(netmask)).bit_count())
    except ValueError:
        return "?"
