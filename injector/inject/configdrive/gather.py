"""Gathers what a drive says beside the record and its payload: from the operator's settings, as they are now."""

from __future__ import annotations

import json

from injector.inject import linux_password
from injector.inject.channel import Delivery
from injector.inject.configdrive.iso9660 import Iso9660Packer
from injector.inject.configdrive.vendordata import VendorData
from injector.inject.interfaces import Interfaces
from injector.model.ingredients import Ingredients
from injector.model.payload import ItemKind
from injector.model.secret import Secret
from injector.settings import DriveSettings


class Gatherer:
    """What the operator's settings refer to is read when this is made: InvalidRequest names what cannot be used."""

    def __init__(self, settings: DriveSettings) -> None:
        self._settings = settings
        template, virt_type = settings.network_template, settings.virt_type
        self._vendor_data = VendorData(settings.vendor_data)
        self._interfaces = Interfaces(template, virt_type) if settings.flat_injected else None

    def gather(self, delivery: Delivery) -> Ingredients:
        """For the first drive of an instance: what was asked for when it was created, dated by the record.

        ``delivery.ingredients`` are those of the drive before, if there is one.
        """
        instance, settings = delivery.instance, self._settings
        vendor_data, vendor_data2 = self._vendor_data.gather(delivery)
        root = self._root_hash(delivery)
        if root is not None:
            vendor_data = linux_password.told_with(vendor_data, root)
            # What a service says to cloud-init comes after the file's word, and the password after both.
            if linux_password.KEY in vendor_data2:
                vendor_data2 = linux_password.told_with(vendor_data2, root)
        return Ingredients(
            made_at=instance.created_at,
            uuid=instance.id,
            hostname=qualified(instance.hostname, settings.dhcp_domain),
            format=delivery.plan.drive_format or Iso9660Packer.format,
            metadata=instance.asked_metadata,
            skip_versions=settings.skip_versions,
            vendor_data=Secret(json.dumps(vendor_data)),
            vendor_data2=Secret(json.dumps(vendor_data2)),
            network_config=self._network_config(delivery),
            devices=delivery.devices,
            root_hash=root,
            admin_pass=settings.admin_pass,
        )

    def _root_hash(self, delivery: Delivery) -> Secret | None:
        """None, and nothing to pay, for most boots: only a password that a Linux guest is to have is hashed.

        The drive before this one has the salt that was drawn: with another, each would differ for nothing.
        """
        password, plan = delivery.payload.admin_password, delivery.plan
        given = any(item.kind is ItemKind.PASSWORD for item in plan.items)
        lost = any(left.item.kind is ItemKind.PASSWORD for left in plan.left_out)
        wanted = {"given": given, "always": not lost}.get(self._settings.linux_password, False)
        if not password or not wanted or not linux_password.is_meant_for(delivery.instance.image):
            return None
        # A generated one gives way: with ours beside it, the user-data's own would not be set.
        if linux_password.obstacle(password, delivery.payload.user_data) is not None:
            return None
        kept = None if delivery.ingredients is None else delivery.ingredients.root_hash
        if kept is not None and linux_password.is_hash_of(kept, password):
            return kept
        return linux_password.hash_of(password)

    def _network_config(self, delivery: Delivery) -> Secret | None:
        text = None if self._interfaces is None else self._interfaces.render(delivery.instance.nics)
        return None if text is None else Secret(text)


def qualified(hostname: str, domain: str) -> str:
    """``hostname`` in ``domain``; a name that has a domain keeps its own, and no domain is none."""
    return f"{hostname}.{domain}" if domain and "." not in hostname else hostname
