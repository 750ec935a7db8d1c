"""Builds receipts and checks them: what was asked against what was read back, item by item; pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from injector.errors import ChannelBroken
from injector.inject.channel import Delivery
from injector.inject.plan import canonical, describe
from injector.model.instance import Instance
from injector.model.network import Nic
from injector.model.payload import InjectedFile, Item, ItemKind
from injector.model.plan import LeftOut
from injector.model.receipt import Outcome, ReceiptItem
from injector.model.secret import Secret

SECRET_KINDS = frozenset({ItemKind.FILE, ItemKind.USER_DATA, ItemKind.PASSWORD})
_ON_THE_CHANNEL = frozenset({Outcome.WRITTEN, Outcome.READ_BACK, Outcome.WITNESSED})

SecretDigest = Callable[[bytes], str]
"""``Vault.digest`` for one instance: keyed, so that a reader of receipts cannot confirm a guess."""

SecretMatch = Callable[[bytes, str | None], bool]
"""``Vault.matches`` for one instance: whether a digest was made of a content, under whichever key."""


class Digests(Protocol):
    """The part of the vault that receipts are made and checked with."""

    def digest(self, instance_id: str, secret: bytes) -> str: ...
    def matches(self, instance_id: str, secret: bytes, digest: str | None) -> bool: ...


@dataclass(frozen=True, slots=True)
class Thing:
    """Which item: ``turn`` tells those of the same kind and name apart (a path may be given twice), from 0."""

    kind: ItemKind
    name: str
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing as it was read back, ``where`` it lay on the channel, and the mode it will have in the guest."""

    content: Secret
    where: str
    mode: int | None = None


def things(named: Iterable[tuple[ItemKind, str]]) -> tuple[Thing, ...]:
    """Kinds and names in order, each with its turn."""
    turns: dict[tuple[ItemKind, str], int] = {}
    found: list[Thing] = []
    for kind, name in named:
        turn = turns.get((kind, name), 0)
        turns[kind, name] = turn + 1
        found.append(Thing(kind, name, turn))
    return tuple(found)


def contents_asked(delivery: Delivery) -> dict[Thing, Secret]:
    """The content of everything the plan promises, taken from the request and not from what was made of it.

    ChannelBroken when the record names an item that its payload does not hold.
    """
    items, files = delivery.plan.items, list(delivery.payload.files)
    asked: dict[Thing, Secret] = {}
    for thing, item in zip(things((item.kind, item.name) for item in items), items, strict=True):
        content = _file(item, files) if item.kind is ItemKind.FILE else _content(item, delivery)
        if content is None:
            raise ChannelBroken(f"{describe(item.kind, item.name)} was asked for, but the record does not hold it")
        asked[thing] = content
    return asked


def _file(item: Item, files: list[InjectedFile]) -> Secret | None:
    """The next file that the item stands for; taken out, so that its twin gets the one after."""
    for number, file in enumerate(files):
        if (file.path, file.mode, file.owner) == (item.name, item.mode, item.owner):
            return files.pop(number).content
    return None


def _content(item: Item, delivery: Delivery) -> Secret | None:
    instance, payload = delivery.instance, delivery.payload
    match item.kind:
        case ItemKind.KEY:
            return next((Secret(key.public_key) for key in instance.keys if key.name == item.name), None)
        case ItemKind.METADATA:
            return Secret(canonical(instance.asked_metadata)) if instance.asked_metadata else None
        case ItemKind.USER_DATA:
            return payload.user_data or None
        case ItemKind.PASSWORD:
            return payload.admin_password or None
        case ItemKind.NETWORK:
            return Secret(address_list(instance.nics)) or None
        case ItemKind.DEVICES:
            return Secret(tag_list(instance)) or None
        case _:
            return Secret(instance.hostname)


def address_list(nics: Collection[Nic]) -> bytes:
    """The static addresses as receipts know them: a sorted line each, ``MAC address/prefix length``."""
    static = ((nic, one) for nic in nics for one in nic.addresses if one.ip is not None and not one.subnet.dhcp)
    return address_lines((nic.mac, f"{one.ip}/{one.subnet.cidr.partition('/')[2]}") for nic, one in static)


def address_lines(addresses: Iterable[tuple[str, str]]) -> bytes:
    """The same from pairs of MAC and ``address/prefix length``."""
    return "\n".join(sorted(f"{mac} {address}" for mac, address in addresses)).encode()


def tag_list(instance: Instance) -> bytes:
    """The tags as receipts know them: a sorted line each, of the kind of the device, a card's MAC, and the tag."""
    disk = [("disk", "", instance.disk_tag)] if instance.disk_tag else []
    return tag_lines(disk + [("nic", nic.mac, nic.tag) for nic in instance.nics if nic.tag])


def tag_lines(tags: Iterable[Collection[str]]) -> bytes:
    """The same from the words of each line."""
    return "\n".join(sorted(" ".join(words) for words in tags)).encode()


def prove(asked: Mapping[Thing, Secret], seen: Mapping[Thing, Seen]) -> None:
    """ChannelBroken naming every item that was not read back as it was asked."""
    wrong = [thing for thing, content in asked.items() if thing not in seen or seen[thing].content != content]
    if wrong:
        names = ", ".join(describe(thing.kind, thing.name) for thing in wrong)
        raise ChannelBroken(f"read back, but not as asked: {names}")


def read_back(asked: Collection[Thing], seen: Mapping[Thing, Seen], digest: SecretDigest) -> tuple[ReceiptItem, ...]:
    """The lines of the receipt for what was proven; a password's size is not told."""
    return tuple(
        ReceiptItem(
            kind=thing.kind,
            name=thing.name,
            size=0 if thing.kind is ItemKind.PASSWORD else len(seen[thing].content),
            outcome=Outcome.READ_BACK,
            digest=_digest(thing.kind, seen[thing].content, digest),
            where=seen[thing].where,
            mode=seen[thing].mode,
        )
        for thing in asked
    )


def left_out(lost: Iterable[LeftOut]) -> tuple[ReceiptItem, ...]:
    """The lines of the receipt for what was not delivered."""
    return tuple(
        ReceiptItem(left.item.kind, left.item.name, left.item.size, Outcome.LEFT_OUT, reason=left.reason)
        for left in lost
    )


def differences(items: Collection[ReceiptItem], seen: Mapping[Thing, Seen], matches: SecretMatch) -> tuple[str, ...]:
    """How what is seen now differs from what the receipt says was there; a sentence each, empty when it agrees."""
    delivered = [item for item in items if item.outcome in _ON_THE_CHANNEL]
    complaints: list[str] = []
    for thing, item in zip(things((item.kind, item.name) for item in delivered), delivered, strict=True):
        name = describe(item.kind, item.name)
        if thing not in seen:
            complaints.append(f"{name}: gone")
        elif not is_of(item, seen[thing].content.reveal(), matches):
            complaints.append(f"{name}: another content")
    return tuple(complaints)


def is_of(item: ReceiptItem, content: bytes, matches: SecretMatch) -> bool:
    """Whether the line of the receipt is of this content."""
    return matches(content, item.digest) if item.kind in SECRET_KINDS else _open_digest(content) == item.digest


def _digest(kind: ItemKind, content: Secret, digest: SecretDigest) -> str:
    clear = content.reveal()
    return digest(clear) if kind in SECRET_KINDS else _open_digest(clear)


def _open_digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
