"""The driver's dealings with the channels: the choice, taken once a boot, then the delivery, kept before the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from injector.errors import NotFound
from injector.inject import plan as choice
from injector.inject.channel import Channel, Delivery, Fitting, GuestDisk
from injector.inject.configdrive.channel import ConfigDriveChannel
from injector.inject.nothing import NoChannel
from injector.inject.partition.channel import PartitionChannel
from injector.inject.partition.root import root_of
from injector.model.generation import Generation, Inspection
from injector.model.host import InjectionPolicy
from injector.model.ingredients import Ingredients
from injector.model.instance import Instance
from injector.model.plan import Carriage, ChannelKind
from injector.model.preview import PreviewFile
from injector.model.receipt import Receipt
from injector.model.workspace import Workspace
from injector.settings import Settings
from injector.system.vault import Vault
from injector.virt import delivered
from injector.virt.back_ends import BackEnds
from injector.virt.driver import Order, Spawned
from injector.virt.inspector import Inspector


class Injection:
    """The channels that a host offers, the operator's policy, and whoever looks into images (None: nobody does)."""

    def __init__(
        self,
        channels: Mapping[ChannelKind, Channel],
        policy: InjectionPolicy,
        vault: Vault,
        inspector: Inspector | None = None,
    ) -> None:
        self._channels = channels
        self._vault = vault
        self._policy = policy
        self._inspector = inspector

    @property
    def carriages(self) -> tuple[Carriage, ...]:
        return tuple(channel.carriage for kind, channel in self._channels.items() if kind is not ChannelKind.NONE)

    def choose(self, order: Order, workspace: Workspace, disk: GuestDisk | None = None) -> Delivery:
        """By which channel the guest receives its identity; the image is looked into as far as that takes.

        Undeliverable when there is no way to bring all of it, GuestUnreadable when its root is not to be found.
        """
        image = order.instance.image
        if disk is None or self._inspector is None:
            return self._delivery(order, workspace, disk)
        seen = replace(disk, facts=self._inspector.facts(image, disk.base, thorough=False))
        delivery = self._delivery(order, workspace, seen)
        if delivery.plan.channel is not ChannelKind.PARTITION:
            return delivery
        facts = self._inspector.facts(image, disk.base, thorough=True)
        root_of(facts, self._policy.inject_partition)
        return self._delivery(order, workspace, replace(disk, facts=facts))

    def foresee(self, order: Order, workspace: Workspace, disk: GuestDisk) -> Delivery:
        """The same from what is known already; nothing is looked into."""
        known = None if self._inspector is None else self._inspector.known(order.instance.image)
        return self._delivery(order, workspace, replace(disk, facts=known))

    def _delivery(self, order: Order, workspace: Workspace, disk: GuestDisk | None) -> Delivery:
        asked = choice.asked_by_instance(order.instance, None if disk is None else disk.facts)
        plan = choice.choose(asked, self._policy, self.carriages)
        return Delivery(order.instance, order.payload, plan, workspace, disk=disk)

    def fittings(self, delivery: Delivery) -> tuple[Fitting, ...]:
        return self._channels[delivery.plan.channel].fittings(delivery.plan, delivery.workspace)

    def preview(self, delivery: Delivery) -> tuple[PreviewFile, ...]:
        """What the channel would hold. Every file may hold secrets, so none is digested in the open."""
        channel, instance_id = self._channels[delivery.plan.channel], delivery.instance.id
        ingredients = channel.gather(replace(delivery, rehearsal=True))
        contents = channel.contents(replace(delivery, ingredients=ingredients))
        return tuple(
            PreviewFile(path, len(content), self._vault.digest(instance_id, content))
            for path, content in contents.items()
        )

    def deliver(self, delivery: Delivery) -> Spawned:
        """What was delivered is on disk when this returns: a daemon that dies after it can finish the build."""
        channel, instance = self._channels[delivery.plan.channel], delivery.instance
        ingredients = channel.gather(delivery)
        receipt = channel.deliver(replace(delivery, ingredients=ingredients))
        first = None if ingredients is None else self._first(instance.id, ingredients, receipt)
        spawned = Spawned(delivery.plan, receipt, first)
        delivered.keep(delivery.workspace, delivery.instance.attempt, spawned)
        return spawned

    def verify(self, instance: Instance, disk: GuestDisk) -> Inspection:
        """The files of a guest that is off, against the receipt of its partition injection; NotFound without one."""
        channel, receipt = self._channels.get(ChannelKind.PARTITION), instance.receipt
        if receipt is None or not isinstance(channel, PartitionChannel) or self._inspector is None:
            raise NotFound(f"Instance {instance.id} has nothing that this host could look at.", field="server")
        facts = self._inspector.facts(instance.image, disk.base, thorough=True)
        return Inspection(0, channel.verify(instance, replace(disk, facts=facts), receipt))

    def _first(self, instance_id: str, ingredients: Ingredients, receipt: Receipt) -> Generation:
        sealed = self._vault.seal(instance_id, ingredients)
        return Generation(1, ingredients.uuid, ingredients.made_at, receipt, sealed)


def offered(
    settings: Settings,
    vault: Vault,
    group: int | None,
    back_ends: BackEnds | None = None,
    inspector: Inspector | None = None,
) -> Injection:
    """What this release can do; ``group`` is QEMU's, which reads what is delivered."""
    channels: dict[ChannelKind, Channel] = {
        ChannelKind.CONFIG_DRIVE: drive_channel(settings, vault, group),
        ChannelKind.NONE: NoChannel(),
    }
    if back_ends is not None and back_ends.doors:
        partition = settings.policy.inject_partition
        channels[ChannelKind.PARTITION] = PartitionChannel(settings.partition, partition, vault, back_ends.doors)
    return Injection(channels, settings.policy, vault, inspector)


def drive_channel(settings: Settings, vault: Vault, group: int | None) -> ConfigDriveChannel:
    return ConfigDriveChannel(settings.drive, vault, group)
