"""From an order to make a guest anew, and the record of the first time, to what the dispatcher is asked for.

What the order does not mention is delivered again as it was, the random seed always.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from injector.api import naming
from injector.api.operations.create import BestEffort, judged, resolve_image, resolve_keys
from injector.api.operations.look import named_keys
from injector.api.reorder import RebuildOrder
from injector.db import Store
from injector.images.fit import require_fit
from injector.inject.lint import Subject
from injector.inject.plan import items_of
from injector.model.boot import NicOrder, Rebuild
from injector.model.context import Context
from injector.model.finding import Finding
from injector.model.image import Image
from injector.model.instance import Instance
from injector.model.keypair import KeyPair
from injector.model.payload import Item, ItemKind, Payload
from injector.model.secret import Secret
from injector.settings import ApiSettings
from injector.system.vault import Vault


@dataclass(frozen=True, slots=True)
class Again:
    """One guest as it is to be: the record, the order, and what the names of both stand for; ``payload`` in clear.

    ``new_password`` is None when the one it had is delivered again; ``password_given`` by a caller, now or at first.
    """

    instance: Instance
    order: RebuildOrder
    image: Image
    kernel: Image | None
    ramdisk: Image | None
    key: KeyPair | None
    more_keys: tuple[KeyPair, ...]
    payload: Payload
    new_password: Secret | None
    password_given: bool

    @property
    def subject(self) -> Subject:
        """What the lint looks at: all of it, as if it were asked for now."""
        keys = named_keys(self.key, self.more_keys)
        return Subject(self.payload.user_data, self.payload.files, keys, self.password_given)

    def sealed(self, vault: Vault, findings: tuple[Finding, ...]) -> Rebuild:
        return Rebuild(
            image=self.image,
            kernel=self.kernel,
            ramdisk=self.ramdisk,
            name=self.order.name,
            payload=vault.seal(self.instance.id, self.payload),
            items=self._items(),
            metadata=self._metadata,
            seen_metadata=None if "metadata" in self.order.said else self.instance.metadata,
            key=self.key,
            more_keys=self.more_keys,
            findings=findings,
        )

    @property
    def _metadata(self) -> Mapping[str, str]:
        return self.order.metadata if "metadata" in self.order.said else self.instance.metadata

    def _items(self) -> tuple[Item, ...]:
        instance = self.instance
        items = items_of(
            self.payload,
            keys=((self.key,) if self.key else ()) + self.more_keys,
            metadata=self._metadata,
            nics=tuple(NicOrder(nic.network, tag=nic.tag) for nic in instance.nics),
            disk_tag=instance.disk_tag,
            password_given=self.password_given,
        )
        return judged(items, self.payload, self._best_effort())

    def _best_effort(self) -> BestEffort:
        before, said = [item for item in self.instance.items if not item.required], self.order.said
        files = frozenset(item.name for item in before if item.kind is ItemKind.FILE)
        kinds = frozenset(item.kind for item in before)
        return BestEffort(
            self.order.optional_files if "personality" in said else files,
            self.order.optional_kinds if "injector:best_effort" in said else kinds,
        )


def again(
    order: RebuildOrder, instance: Instance, context: Context, store: Store, vault: Vault, api: ApiSettings
) -> Again:
    """InvalidRequest for whatever does not exist or does not fit the size that the guest has."""
    image, kernel, ramdisk = resolve_image(store, context, order.image_id)
    require_fit(image, instance.flavor)
    key, more_keys = _keys(order, instance, context, store)
    before = vault.unseal(instance.id, store.payload(instance.id))
    new_password = order.admin_password
    if new_password is None and api.enable_instance_password:
        new_password = naming.new_password(api.password_length)
    return Again(
        instance,
        order,
        image,
        kernel,
        ramdisk,
        key,
        more_keys,
        payload=_payload(order, before, new_password or before.admin_password),
        new_password=new_password,
        password_given=order.admin_password is not None or (new_password is None and _had_password(instance)),
    )


def _keys(
    order: RebuildOrder, instance: Instance, context: Context, store: Store
) -> tuple[KeyPair | None, tuple[KeyPair, ...]]:
    """As they were recorded, unless other ones are named: a key pair may be gone, its guest keeps its key."""
    key, more = resolve_keys(store, context, order.key_name, order.more_key_names)
    if "key_name" not in order.said:
        key = instance.key
    elif order.key_name is None and "injector:keys" not in order.said:
        return None, ()
    if "injector:keys" not in order.said:
        more = instance.more_keys
    return key, tuple(one for one in more if key is None or one.name != key.name)


def _payload(order: RebuildOrder, before: Payload, password: Secret | None) -> Payload:
    user_data = order.user_data if "user_data" in order.said else before.user_data
    files = order.files if "personality" in order.said else before.files
    return Payload(before.random_seed, user_data, files, password)


def _had_password(instance: Instance) -> bool:
    """Whether a caller gave the one it has: a made one is nothing that was asked for."""
    return any(item.kind is ItemKind.PASSWORD for item in instance.items)
