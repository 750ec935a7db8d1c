"""Which items of a receipt the guest shows to have: its agent reads them, and only their digests are compared.

Whatever the agent returns is the guest's own word and may be anything: it is bounded, and never kept. A guest can
claim to have what it was given, since it was given it; it cannot learn or claim anything else.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from injector.inject.plan import ROOT_PASSWORD, canonical
from injector.inject.receipt import SecretMatch, address_lines, address_list, is_of
from injector.model.instance import Instance
from injector.model.payload import ItemKind
from injector.model.receipt import Outcome, ReceiptItem
from injector.virt.libvirt.guest import Agent, Program
from injector.virt.libvirt.said import parsed

_SECONDS = 60.0
_LARGEST = 512 * 1024
_DOCUMENT = 256 * 1024
_DATA = "/run/cloud-init/instance-data.json"
_REGULAR = range(1000, 60000)
_USERS = 4
META_JS = "/meta.js"
_USER_DATA = "/var/lib/cloud/instance/user-data.txt"
_SHOWN = frozenset({Outcome.WRITTEN, Outcome.READ_BACK})


def witnessed(agent: Agent, instance: Instance, matches: SecretMatch) -> tuple[int, ...]:
    """The places in the receipt of the items that the guest has; ``matches`` is the vault's for this instance.

    A guest whose agent is slow is not asked for longer than a minute: what it has not shown by then is not witnessed.
    """
    if instance.receipt is None:
        return ()
    looker = _Looker(agent, instance)
    found: list[int] = []
    for place, item in enumerate(instance.receipt.items):
        if time.monotonic() > looker.until:
            break
        if item.outcome in _SHOWN and any(is_of(item, content, matches) for content in looker.look(item)):
            found.append(place)
    return tuple(found)


@dataclass
class _Looker:
    """Looks into one guest; what several items need is asked for once."""

    agent: Agent
    instance: Instance
    until: float = field(default_factory=lambda: time.monotonic() + _SECONDS)

    def look(self, item: ReceiptItem) -> Iterator[bytes]:
        """Everything in the guest that may be the content of ``item``."""
        looks: dict[ItemKind, Callable[[ReceiptItem], Iterator[bytes]]] = {
            ItemKind.HOSTNAME: self._names,
            ItemKind.KEY: self._keys,
            ItemKind.FILE: lambda one: self._file("/" + one.name.lstrip("/"), one.size),
            ItemKind.USER_DATA: lambda one: self._file(_USER_DATA, one.size),
            ItemKind.METADATA: self._metadata,
            ItemKind.NETWORK: self._addresses,
            ItemKind.PASSWORD: self._shadow,
        }
        look = looks.get(item.kind)
        yield from look(item) if look is not None else ()

    def _file(self, path: str, size: int) -> Iterator[bytes]:
        """One byte more than it should have is read: a file that only begins alike is another."""
        if size <= _LARGEST and (read := self._run("head", "-c", str(size + 1), "--", path, limit=size + 1)):
            yield read

    def _names(self, _item: ReceiptItem) -> Iterator[bytes]:
        """The host name, and the qualified one that cloud-init was told if the host name is its first part."""
        answer = self.agent.ask("guest-get-host-name")
        name = _text(answer, "host-name")
        yield name.encode(errors="replace")
        told = _text(self._cloud_init, "local-hostname")
        if told.partition(".")[0] == name:
            yield told.encode(errors="replace")

    def _keys(self, _item: ReceiptItem) -> Iterator[bytes]:
        """What lets root or a regular user in: every line, and with the newline that a key may come with."""
        for line in self._authorized.splitlines():
            yield from (line, line + b"\n")

    def _metadata(self, item: ReceiptItem) -> Iterator[bytes]:
        """What cloud-init was told, or what lies in the file that was injected."""
        meta = self._cloud_init.get("meta") if item.where != META_JS else parsed(self._whole(META_JS))
        if isinstance(meta, dict) and all(isinstance(value, str) for value in meta.values()):
            yield canonical(meta)

    def _addresses(self, _item: ReceiptItem) -> Iterator[bytes]:
        """Those that the guest was to have, if its cards have all of them; it may have others besides."""
        cards = self.agent.ask("guest-network-get-interfaces")
        seen = set(address_lines(_pairs(cards)).splitlines())
        asked = address_list(self.instance.nics)
        if set(asked.splitlines()) <= seen:
            yield asked

    def _shadow(self, item: ReceiptItem) -> Iterator[bytes]:
        """The hash that the guest keeps of root's password; a password in clear is nowhere to be seen."""
        fields = (self._run("getent", "shadow", "root") or b"").split(b":")
        if item.name == ROOT_PASSWORD and fields[0] == b"root" and len(fields) > 1:
            yield fields[1]

    def _whole(self, path: str) -> bytes:
        return self._run("cat", "--", path, limit=_DOCUMENT) or b""

    @cached_property
    def _cloud_init(self) -> dict[str, Any]:
        """What cloud-init read from its data source."""
        document = parsed(self._whole(_DATA)).get("ds")
        found = document.get("meta_data") if isinstance(document, dict) else None
        return found if isinstance(found, dict) else {}

    @cached_property
    def _authorized(self) -> bytes:
        """cloud-init does not say who its default user is (22.4): one of the first regular users."""
        known = (self._run("getent", "passwd", limit=_DOCUMENT) or b"").decode(errors="replace")
        users = (line.split(":") for line in known.splitlines())
        regular = (user[5] for user in users if len(user) == 7 and user[2].isdecimal() and int(user[2][:9]) in _REGULAR)
        homes = ("/root", *itertools.islice(regular, _USERS))
        return b"\n".join(self._whole(f"{home}/.ssh/authorized_keys") for home in homes)

    def _run(self, *command: str, limit: int = 4096) -> bytes | None:
        """What a program printed that ended well; None as well when the guest had its time."""
        if time.monotonic() > self.until:
            return None
        ended: Program | None = self.agent.run(*command, limit=limit)
        return ended.output if ended is not None and ended.status == 0 else None


def _text(document: Any, key: str) -> str:
    found = document.get(key) if isinstance(document, dict) else None
    return found if isinstance(found, str) else ""


def _pairs(cards: Any) -> Iterator[tuple[str, str]]:
    """MAC and ``address/prefix`` of what the agent says of the guest's cards."""
    for card in cards if isinstance(cards, list) else ():
        addresses = card.get("ip-addresses") if isinstance(card, dict) else None
        for address in addresses if isinstance(addresses, list) else ():
            ip, prefix = _text(address, "ip-address"), address.get("prefix") if isinstance(address, dict) else None
            if ip and isinstance(prefix, int):
                yield _text(card, "hardware-address").lower(), f"{ip}/{prefix}"
