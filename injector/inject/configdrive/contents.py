"""What one config drive says, before it is spread over files and version directories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from injector.errors import InternalError
from injector.inject.channel import Delivery
from injector.model.ingredients import Ingredients
from injector.model.instance import Instance
from injector.model.keypair import KeyPair
from injector.model.payload import InjectedFile, ItemKind
from injector.model.secret import Secret


@dataclass(frozen=True, slots=True)
class Contents:
    """What the plan left out is not here; None and empty mean absent."""

    instance: Instance
    ingredients: Ingredients
    random_seed: Secret
    keys: tuple[KeyPair, ...] = ()
    metadata: Mapping[str, str] | None = None
    files: tuple[InjectedFile, ...] = ()
    user_data: Secret | None = None
    admin_password: Secret | None = None

    @property
    def shelf(self) -> tuple[Secret, ...]:
        """What lies in ``content/``, by number: the rendered network configuration, if there is one, then the files."""
        network = self.ingredients.network_config
        return ((network,) if network else ()) + tuple(file.content for file in self.files)


def contents_of(delivery: Delivery) -> Contents:
    """What record, payload and ingredients put on the drive, and nothing that the plan left out.

    InternalError for a delivery whose ingredients nobody gathered.
    """
    instance, payload, ingredients = delivery.instance, delivery.payload, delivery.ingredients
    if ingredients is None:
        raise InternalError("a config drive was asked for before its ingredients were gathered")
    left_out = delivery.plan.left_out

    def kept(kind: ItemKind) -> bool:
        return all(left.item.kind is not kind for left in left_out)

    if not kept(ItemKind.DEVICES):
        ingredients = replace(ingredients, devices=())
    password, told = payload.admin_password, ingredients.admin_pass and kept(ItemKind.PASSWORD)
    lost_keys = {left.item.name for left in left_out if left.item.kind is ItemKind.KEY}
    lost_files = {(left.item.name, left.item.mode, left.item.owner) for left in left_out}
    return Contents(
        instance=instance,
        ingredients=ingredients,
        random_seed=payload.random_seed,
        keys=tuple(key for key in instance.keys if key.name not in lost_keys),
        metadata=ingredients.metadata if kept(ItemKind.METADATA) else None,
        files=tuple(file for file in payload.files if (file.path, file.mode, file.owner) not in lost_files),
        # Empty user-data is none, as in Nova: a drive has no empty user_data file.
        user_data=payload.user_data if payload.user_data and kept(ItemKind.USER_DATA) else None,
        admin_password=password if password and told else None,
    )
