"""From an order to boot requests: every name resolved, every secret sealed; nothing is looked up further down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import TypeVar

from injector.api import naming
from injector.api.order import ServerOrder
from injector.db import Store
from injector.errors import Conflict, InvalidRequest, NotFound
from injector.images.fit import require_fit
from injector.inject import linux_password
from injector.inject.plan import items_of
from injector.model.boot import BootRequest, NicOrder
from injector.model.context import Context
from injector.model.finding import Finding
from injector.model.flavor import Flavor
from injector.model.hostile import one_line
from injector.model.image import DiskFormat, Image, ImageStatus
from injector.model.keypair import KeyPair
from injector.model.network import Network, NicRequest
from injector.model.payload import Item, ItemKind, Payload
from injector.model.secret import Secret
from injector.settings import ApiSettings
from injector.system.vault import Vault

DEFAULT_NETWORK = "default"
_DISKS = frozenset({DiskFormat.RAW, DiskFormat.QCOW2})
_DRIVE_WISHES = ("optional", "mandatory")

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the names of an order stand for."""

    image: Image
    kernel: Image | None
    ramdisk: Image | None
    flavor: Flavor
    key: KeyPair | None
    more_keys: tuple[KeyPair, ...]
    nics: tuple[NicOrder, ...]

    @property
    def keys(self) -> tuple[KeyPair, ...]:
        return ((self.key,) if self.key else ()) + self.more_keys


def resolve(order: ServerOrder, context: Context, store: Store) -> Resolved:
    """InvalidRequest for whatever does not exist or does not fit, as in Nova; Conflict for an ambiguous network."""
    image, kernel, ramdisk = resolve_image(store, context, order.image_id)
    flavor = _found(lambda: store.flavor(order.flavor_id), "flavorRef", f"Flavor {order.flavor_id} could not be found.")
    nics = _nics(store, context, order.nics)
    key, more = resolve_keys(store, context, order.key_name, order.more_key_names)
    require_fit(image, flavor)
    _require_zone(store, order.availability_zone)
    return Resolved(image, kernel, ramdisk, flavor, key, more, nics)


def resolve_image(store: Store, context: Context, image_id: str) -> tuple[Image, Image | None, Image | None]:
    """What imageRef means, with its kernel and ramdisk; InvalidRequest as in ``resolve``."""
    image = _image(store, context, image_id, "imageRef", _DISKS)
    return image, *_kernel_and_ramdisk(store, context, image)


def resolve_keys(
    store: Store, context: Context, name: str | None, more: tuple[str, ...]
) -> tuple[KeyPair | None, tuple[KeyPair, ...]]:
    """What key_name and injector:keys mean; InvalidRequest as in ``resolve``."""
    key = None if name is None else _key(store, context, name, "key_name")
    return key, tuple(_key(store, context, one, f"injector:keys[{index}]") for index, one in enumerate(more))


def _found(look_up: Callable[[], _Found], field: str, message: str) -> _Found:
    """What is missing in a body is the body's fault: 400, where the same in a path is 404."""
    try:
        return look_up()
    except NotFound as error:
        raise InvalidRequest(message, field=field) from error


def _image(store: Store, context: Context, image_id: str, field: str, formats: frozenset[DiskFormat]) -> Image:
    image = _found(lambda: store.image(image_id), field, f"Can not find requested image {image_id}.")
    if image.owner != context.project_id:
        raise InvalidRequest(f"Can not find requested image {image_id}.", field=field)
    if image.status is not ImageStatus.ACTIVE:
        raise InvalidRequest(f"Image {image_id} is not active.", field=field)
    if image.disk_format not in formats:
        allowed = " or ".join(sorted(formats))
        raise InvalidRequest(f"Image {image_id} is {image.disk_format.value}, not {allowed}.", field=field)
    if image.properties.get("img_config_drive", "optional") not in _DRIVE_WISHES:
        message = f"Image {image_id} has an img_config_drive that is neither optional nor mandatory."
        raise InvalidRequest(message, field=field)
    return image


def _kernel_and_ramdisk(store: Store, context: Context, image: Image) -> tuple[Image | None, Image | None]:
    kernel_id, ramdisk_id = image.properties.get("kernel_id"), image.properties.get("ramdisk_id")
    if ramdisk_id and not kernel_id:
        raise InvalidRequest(f"Image {image.id} has a ramdisk_id and no kernel_id.", field="imageRef")
    kernel = (
        _image(store, context, kernel_id, "imageRef kernel_id", frozenset({DiskFormat.KERNEL})) if kernel_id else None
    )
    if not ramdisk_id:
        return kernel, None
    return kernel, _image(store, context, ramdisk_id, "imageRef ramdisk_id", frozenset({DiskFormat.RAMDISK}))


def _key(store: Store, context: Context, name: str, field: str) -> KeyPair:
    message = f"Invalid {field} provided: {one_line(name, 255)}."
    return _found(lambda: store.keypair(context.user_id, name), field, message)


def _require_zone(store: Store, zone: str | None) -> None:
    if zone is None:
        return
    # With no host known, it is the dispatcher who says so (503): the zone may be right.
    if not store.has_hosts(zone) and store.has_hosts():
        raise InvalidRequest(f"The requested availability_zone {zone} is not available.", field="availability_zone")


def _nics(store: Store, context: Context, requests: tuple[NicRequest, ...] | None) -> tuple[NicOrder, ...]:
    if requests is None:
        chosen = _default_network(store.networks(context.project_id))
        return () if chosen is None else (NicOrder(chosen),)
    return tuple(_nic(store, context, request, index) for index, request in enumerate(requests))


def _default_network(networks: tuple[Network, ...]) -> Network | None:
    """For "auto", or nothing said: the network named "default", else the only one, else (there is none) no card."""
    named = [network for network in networks if network.name == DEFAULT_NETWORK] or list(networks)
    if len(named) > 1:
        message = "Multiple possible networks found, use a network id in networks to be more specific."
        raise Conflict(message, field="networks")
    return named[0] if named else None


def _nic(store: Store, context: Context, request: NicRequest, index: int) -> NicOrder:
    field, message = f"networks[{index}].uuid", f"Network {request.network_id} could not be found."
    network = _found(lambda: store.network(request.network_id), field, message)
    if network.project_id != context.project_id:
        raise InvalidRequest(message, field=field)
    if request.fixed_ip is not None and not _has_static(network, request.fixed_ip):
        field = f"networks[{index}].fixed_ip"
        message = f"{request.fixed_ip} is in no subnet of network {network.name} that gives static addresses."
        raise InvalidRequest(message, field=field)
    return NicOrder(network, request.fixed_ip, request.tag)


def _has_static(network: Network, fixed_ip: str) -> bool:
    address = ip_address(fixed_ip)
    return any(address in ip_network(subnet.cidr) for subnet in network.subnets if not subnet.dhcp)


class Draft:
    """Boot requests of one order: what they share, and what each is given of its own."""

    def __init__(
        self, order: ServerOrder, resolved: Resolved, context: Context, findings: tuple[Finding, ...] = ()
    ) -> None:
        self.reservation_id = naming.new_reservation_id()
        self._order = order
        self._resolved = resolved
        self._context = context
        self._findings = findings
        self.admin_password: Secret | None = order.admin_password

    def requests(self, vault: Vault, api: ApiSettings) -> tuple[BootRequest, ...]:
        """One a server; without a password given, one is made for all of them, if the operator wants that."""
        if self.admin_password is None and api.enable_instance_password:
            self.admin_password = naming.new_password(api.password_length)
        return tuple(self._request(vault, number) for number in range(1, self._order.maximum + 1))

    def _request(self, vault: Vault, number: int) -> BootRequest:
        order, resolved, instance_id = self._order, self._resolved, naming.new_instance_id()
        payload = self._payload()
        return BootRequest(
            instance_id=instance_id,
            name=naming.display_name(order.name, order.maximum, number),
            hostname=order.hostname or naming.hostname(order.name, instance_id, order.maximum, number),
            project_id=self._context.project_id,
            user_id=self._context.user_id,
            reservation_id=self.reservation_id,
            image=resolved.image,
            flavor=resolved.flavor,
            payload=vault.seal(instance_id, payload),
            kernel=resolved.kernel,
            ramdisk=resolved.ramdisk,
            key=resolved.key,
            more_keys=resolved.more_keys,
            metadata=order.metadata,
            items=self._items(payload),
            nics=resolved.nics,
            disk_tag=order.disk_tag,
            config_drive=order.config_drive,
            availability_zone=order.availability_zone,
            launch_index=number - 1,
            findings=self._findings,
        )

    def _payload(self) -> Payload:
        return Payload(naming.new_seed(), self._order.user_data, self._order.files, self.admin_password)

    def _items(self, payload: Payload) -> tuple[Item, ...]:
        items = items_of(
            payload,
            keys=self._resolved.keys,
            metadata=self._order.metadata,
            nics=self._resolved.nics,
            disk_tag=self._order.disk_tag,
            password_given=self._order.admin_password is not None,
        )
        return judged(items, payload, BestEffort(self._order.optional_files, self._order.optional_kinds))


@dataclass(frozen=True, slots=True)
class BestEffort:
    """What may be left out: files by path, everything else by kind."""

    files: frozenset[str]
    kinds: frozenset[ItemKind]

    def holds(self, item: Item) -> bool:
        return item.name in self.files if item.kind is ItemKind.FILE else item.kind in self.kinds


def judged(items: tuple[Item, ...], payload: Payload, left: BestEffort) -> tuple[Item, ...]:
    """With what bears on their delivery and is seen here only."""
    return tuple(replace(_seen(item, payload), required=not left.holds(item)) for item in items)


def _seen(item: Item, payload: Payload) -> Item:
    if item.kind is not ItemKind.PASSWORD or not payload.admin_password:
        return item
    return replace(item, linux_obstacle=linux_password.obstacle(payload.admin_password, payload.user_data))
