"""Gathers what a drive says beside the record and its payload: from the operator's settings, as they are now."""

from __future__ import annotations

from injector.inject.channel import Delivery
from injector.inject.configdrive.iso9660 import Iso9660Packer
from injector.model.ingredients import Ingredients
from injector.settings import DriveSettings


def gather(delivery: Delivery, settings: DriveSettings) -> Ingredients:
    """For the first drive of an instance: what was asked for when it was created, dated by the record."""
    instance = delivery.instance
    return Ingredients(
        made_at=instance.created_at,
        uuid=instance.id,
        hostname=qualified(instance.hostname, settings.dhcp_domain),
        format=delivery.plan.drive_format or Iso9660Packer.format,
        metadata=instance.asked_metadata,
        skip_versions=settings.skip_versions,
        devices=delivery.devices,
    )


def qualified(hostname: str, domain: str) -> str:
    """``hostname`` in ``domain``; a name that has a domain keeps its own, and no domain is none."""
    return f"{hostname}.{domain}" if domain and "." not in hostname else hostname
