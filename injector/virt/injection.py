"""The driver's dealings with the channels: the choice, taken once a boot, then the delivery, kept before the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from injector.inject import plan as choice
from injector.inject.channel import Channel, Delivery, Fitting
from injector.inject.configdrive.channel import ConfigDriveChannel
from injector.inject.nothing import NoChannel
from injector.model.generation import Generation
from injector.model.host import InjectionPolicy
from injector.model.ingredients import Ingredients
from injector.model.plan import Carriage, ChannelKind
from injector.model.preview import PreviewFile
from injector.model.receipt import Receipt
from injector.model.workspace import Workspace
from injector.settings import Settings
from injector.system.vault import Vault
from injector.virt import delivered
from injector.virt.driver import Order, Spawned


class Injection:
    """The channels that a host offers, and the operator's policy."""

    def __init__(self, channels: Mapping[ChannelKind, Channel], policy: InjectionPolicy, vault: Vault) -> None:
        self._channels = channels
        self._vault = vault
        self._policy = policy

    @property
    def carriages(self) -> tuple[Carriage, ...]:
        return tuple(channel.carriage for kind, channel in self._channels.items() if kind is not ChannelKind.NONE)

    def choose(self, order: Order, workspace: Workspace) -> Delivery:
        """By which channel the guest receives its identity. Undeliverable when there is no way to bring all of it."""
        plan = choice.choose(choice.asked_by_instance(order.instance), self._policy, self.carriages)
        return Delivery(order.instance, order.payload, plan, workspace)

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

    def _first(self, instance_id: str, ingredients: Ingredients, receipt: Receipt) -> Generation:
        sealed = self._vault.seal(instance_id, ingredients)
        return Generation(1, ingredients.uuid, ingredients.made_at, receipt, sealed)


def offered(settings: Settings, vault: Vault, group: int | None) -> Injection:
    """What this release can do; ``group`` is QEMU's, which reads what is delivered."""
    drive = drive_channel(settings, vault, group)
    return Injection({ChannelKind.CONFIG_DRIVE: drive, ChannelKind.NONE: NoChannel()}, settings.policy, vault)


def drive_channel(settings: Settings, vault: Vault, group: int | None) -> ConfigDriveChannel:
    return ConfigDriveChannel(settings.drive, vault.digest, group)
