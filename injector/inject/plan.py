"""The choice: by which channel a guest receives its identity, and what cannot be brought in; pure, on values."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from injector.errors import InvalidRequest, Undeliverable
from injector.inject import linux_password
from injector.inject.agent import agent_of, no_agent
from injector.inject.bus import changes_live, drive_bus
from injector.inject.naming import ROOT_PASSWORD as ROOT_PASSWORD
from injector.inject.naming import describe as describe
from injector.inject.partition.root import able, root_of
from injector.model.boot import BootRequest, NicOrder
from injector.model.facts import Agent, ImageFacts
from injector.model.host import InjectionPolicy
from injector.model.image import Image
from injector.model.instance import Instance
from injector.model.keypair import KeyPair
from injector.model.payload import Item, ItemKind, Payload
from injector.model.plan import Carriage, ChannelKind, LeftOut, Plan

# What the only reader of files on a drive gives them, whatever the drive says (cloud-init, write_injected_files).
READER_MODE = 0o660
READER_OWNERS = frozenset({None, "root", "root:root"})

_FIELDS: Mapping[ItemKind, str] = {
    ItemKind.KEY: "key_name",
    ItemKind.FILE: "personality",
    ItemKind.METADATA: "metadata",
    ItemKind.USER_DATA: "user_data",
    ItemKind.NETWORK: "networks",
    ItemKind.PASSWORD: "adminPass",
    ItemKind.HOSTNAME: "hostname",
    ItemKind.DEVICES: "networks",
}
_NAMES: Mapping[ChannelKind, str] = {
    ChannelKind.CONFIG_DRIVE: "a config drive",
    ChannelKind.PARTITION: "partition injection",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What bears on the choice, as far as the request and its image say it.

    ``facts`` of the image, as far as somebody has looked into it.
    """

    items: tuple[Item, ...]
    image: Image
    config_drive: bool = False
    first_build: bool = True
    facts: ImageFacts | None = None

    @property
    def agent(self) -> Agent:
        """Whether the image has something that reads a config drive; InvalidRequest as in ``agent_of``."""
        return agent_of(self.image, self.facts)


def asked_by_request(request: BootRequest, facts: ImageFacts | None = None) -> Asked:
    """For whoever holds a request that no host has built yet."""
    return Asked(request.items, request.image, request.config_drive, facts=facts)


def asked_by_instance(instance: Instance, facts: ImageFacts | None = None) -> Asked:
    """For the host that builds: a guest that ran before is no first build."""
    first = instance.launched_at is None
    return Asked(instance.items, instance.image, instance.config_drive, first_build=first, facts=facts)


def choose(asked: Asked, policy: InjectionPolicy, carriages: Collection[Carriage]) -> Plan:
    """The channel, its reason, and what goes through it.

    Raises Undeliverable naming every required item that cannot be brought in (unless ``policy.undeliverable`` is
    ``warn``: then they are left out) or the file system that nobody edits, GuestUnreadable when the image has not the
    partition that the operator names, and InvalidRequest for image properties that mean nothing.
    """
    way = _way(asked, policy, {carriage.channel: carriage for carriage in carriages})
    left_out = tuple(
        LeftOut(item, obstacle) for item in asked.items if (obstacle := _obstacle(item, way, asked, policy))
    )
    _refuse(left_out, policy)
    lost = {left.item for left in left_out}
    items = tuple(item for item in asked.items if item not in lost)
    if way.channel is ChannelKind.CONFIG_DRIVE:
        return _drive_plan(way, asked, policy, items, left_out)
    if not items:
        return Plan(ChannelKind.NONE, f"nothing to inject: {way.reason}", (), left_out)
    return _partition_plan(way, asked, policy, items, left_out)


@dataclass(frozen=True, slots=True)
class _Way:
    """The row of the table that applies; ``carriage`` is None when the host does not offer the channel."""

    channel: ChannelKind
    reason: str
    carriage: Carriage | None


def _way(asked: Asked, policy: InjectionPolicy, offered: Mapping[ChannelKind, Carriage]) -> _Way:
    match (_drive_wanted(asked, policy), policy.inject_partition):
        case (str(wanted), _):
            channel, reason = ChannelKind.CONFIG_DRIVE, wanted
        case (None, -2):
            channel = ChannelKind.NONE
            reason = "no config drive is wanted and partition injection is off (inject_partition is -2)"
        case (None, -1):
            channel, reason = ChannelKind.PARTITION, "no config drive is wanted; the partition is found by inspection"
        case (None, 0):
            channel, reason = ChannelKind.PARTITION, "no config drive is wanted; the whole disk is one file system"
        case (None, number):
            channel, reason = ChannelKind.PARTITION, f"no config drive is wanted; the operator names partition {number}"
    return _Way(channel, reason, offered.get(channel))


def _drive_plan(
    way: _Way, asked: Asked, policy: InjectionPolicy, items: tuple[Item, ...], left_out: tuple[LeftOut, ...]
) -> Plan:
    if way.carriage is None:
        raise Undeliverable(f"{way.reason}, but this host cannot make one", field="config_drive")
    unknown = items and asked.agent is Agent.UNKNOWN
    doubt = "; whether the image has an agent that reads it is not known" if unknown else ""
    bus = drive_bus(asked.image, policy.drive_format)
    live = changes_live(bus, policy.drive_format)
    return Plan(way.channel, way.reason + doubt, items, left_out, bus, live, policy.drive_format)


def _partition_plan(
    way: _Way, asked: Asked, policy: InjectionPolicy, items: tuple[Item, ...], left_out: tuple[LeftOut, ...]
) -> Plan:
    """Where nobody has found the root so far, it is the building host's to find, by whichever back end can."""
    back_ends = way.carriage.back_ends if way.carriage is not None else ()
    if asked.facts is None or (asked.facts.root is None and policy.inject_partition == -1):
        return Plan(way.channel, way.reason, items, left_out, back_ends=back_ends)
    root = root_of(asked.facts, policy.inject_partition)
    serving = able(back_ends, root)
    if not serving:
        what = f"{way.reason}: {root.filesystem}, which no back end of this host edits"
        raise Undeliverable(f"{what} ({', '.join(back_ends) or 'there is none'})", field="inject_partition")
    reason = f"{way.reason}: {root.filesystem}, {root.found_by}"
    number = root.partition if root.volume is None else root.partition or None
    return Plan(way.channel, reason, items, left_out, filesystem=root.filesystem, partition=number, back_ends=serving)


def _drive_wanted(asked: Asked, policy: InjectionPolicy) -> str | None:
    """Who wants a config drive; None when nobody does."""
    demand = asked.image.properties.get("img_config_drive", "optional")
    if demand not in ("optional", "mandatory"):
        message = f"img_config_drive '{demand}' of the image is neither optional nor mandatory"
        raise InvalidRequest(message, field="img_config_drive")
    if asked.config_drive:
        return "the request asks for a config drive"
    if demand == "mandatory":
        return "the image demands a config drive (img_config_drive)"
    if policy.force_config_drive and asked.first_build:
        return "the operator forces a config drive (force_config_drive)"
    return None


def _obstacle(item: Item, way: _Way, asked: Asked, policy: InjectionPolicy) -> str | None:
    """Why this way does not bring this item into the guest; None when it does."""
    if way.channel is ChannelKind.NONE:
        return way.reason
    name = _NAMES[way.channel]
    if way.carriage is None:
        return f"{way.reason}, but this host does not offer {name}"
    if way.channel is ChannelKind.CONFIG_DRIVE and asked.agent is Agent.NO:
        return no_agent(asked.image)
    if item.kind not in way.carriage.kinds:
        return f"{name} does not carry it"
    if not way.carriage.any_mode and (item.mode not in (None, READER_MODE) or item.owner not in READER_OWNERS):
        return f"{name} cannot give a file another mode or owner than 0660 root"
    if way.channel is ChannelKind.CONFIG_DRIVE:
        return _not_obeyed(item, asked.image, policy)
    return _switched_off(item, policy)


def _not_obeyed(item: Item, image: Image, policy: InjectionPolicy) -> str | None:
    """Why a password on the drive would not become the guest's."""
    if item.kind is not ItemKind.PASSWORD:
        return None
    if not linux_password.is_meant_for(image):
        off = "the operator does not allow passwords on config drives (config_drive_inject_password)"
        return None if policy.drive_password else off
    if policy.linux_password == "never":
        return "the operator does not allow passwords to be set in Linux guests (linux_password)"
    return item.linux_obstacle


def _switched_off(item: Item, policy: InjectionPolicy) -> str | None:
    if item.kind is ItemKind.KEY and not policy.inject_key:
        return "the operator does not allow keys to be injected (inject_key)"
    if item.kind is ItemKind.PASSWORD and not policy.inject_password:
        return "the operator does not allow passwords to be injected (inject_password)"
    return None


def _refuse(left_out: Collection[LeftOut], policy: InjectionPolicy) -> None:
    """Undeliverable for the required ones, those with the same obstacle named together."""
    required = [left for left in left_out if left.item.required]
    if not required or policy.undeliverable == "warn":
        return
    named: dict[str, list[str]] = {}
    for left in required:
        named.setdefault(left.reason, []).append(describe(left.item.kind, left.item.name))
    message = "; ".join(f"{', '.join(names)} cannot be delivered: {why}" for why, names in named.items())
    raise Undeliverable(message, field=_FIELDS[required[0].item.kind])


def canonical(metadata: Mapping[str, str]) -> bytes:
    """Metadata as one content: what its size and digest are of, whatever the order of its keys."""
    return json.dumps(metadata, sort_keys=True).encode()


def items_of(
    payload: Payload,
    *,
    keys: Collection[KeyPair] = (),
    metadata: Mapping[str, str] | None = None,
    nics: Collection[NicOrder] = (),
    disk_tag: str | None = None,
    password_given: bool = False,
) -> tuple[Item, ...]:
    """What counts as asked for: never a generated password, the name or the seed.

    A password has size 0 here, networks and devices too: the first must not be told, the others are known once cards
    exist.
    """
    items = [Item(ItemKind.KEY, key.name, len(key.public_key.encode())) for key in keys]
    items += [Item(ItemKind.FILE, file.path, len(file.content), True, file.mode, file.owner) for file in payload.files]
    if metadata:
        items.append(Item(ItemKind.METADATA, ItemKind.METADATA.value, len(canonical(metadata))))
    if payload.user_data:
        items.append(Item(ItemKind.USER_DATA, ItemKind.USER_DATA.value, len(payload.user_data)))
    if password_given and payload.admin_password:
        items.append(Item(ItemKind.PASSWORD, ItemKind.PASSWORD.value, 0))
    if any(not subnet.dhcp for order in nics for subnet in order.network.subnets):
        items.append(Item(ItemKind.NETWORK, ItemKind.NETWORK.value, 0))
    if disk_tag or any(order.tag for order in nics):
        items.append(Item(ItemKind.DEVICES, ItemKind.DEVICES.value, 0))
    return tuple(items)
