"""What one config drive says, before it is spread over files and version directories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from injector.inject.channel import Delivery
from injector.model.instance import Instance
from injector.model.keypair import KeyPair
from injector.model.payload import InjectedFile, ItemKind
from injector.model.secret import Secret
from injector.settings import DriveSettings


@dataclass(frozen=True, slots=True)
class Contents:
    """``hostname`` is fully qualified; what the plan left out is not here; None and empty mean absent."""

    instance: Instance
    hostname: str
    random_seed: Secret
    keys: tuple[KeyPair, ...] = ()
    metadata: Mapping[str, str] | None = None
    files: tuple[InjectedFile, ...] = ()
    user_data: Secret | None = None
    admin_password: Secret | None = None


def contents_of(delivery: Delivery, settings: DriveSettings) -> Contents:
    """What the record and its payload put on the drive, and nothing that the plan left out."""
    instance, payload = delivery.instance, delivery.payload
    left_out = delivery.plan.left_out

    def kept(kind: ItemKind) -> bool:
        return all(left.item.kind is not kind for left in left_out)

    lost_files = {(left.item.name, left.item.mode, left.item.owner) for left in left_out}
    return Contents(
        instance=instance,
        hostname=qualified(instance.hostname, settings.dhcp_domain),
        random_seed=payload.random_seed,
        keys=(instance.key,) if instance.key and kept(ItemKind.KEY) else (),
        metadata=instance.asked_metadata if kept(ItemKind.METADATA) else None,
        files=tuple(file for file in payload.files if (file.path, file.mode, file.owner) not in lost_files),
        # Empty user-data is none, as in Nova: a drive has no empty user_data file.
        user_data=payload.user_data if payload.user_data and kept(ItemKind.USER_DATA) else None,
        admin_password=payload.admin_password if payload.admin_password and kept(ItemKind.PASSWORD) else None,
    )


def qualified(hostname: str, domain: str) -> str:
    """``hostname`` in ``domain``; a name that has a domain keeps its own, and no domain is none."""
    return f"{hostname}.{domain}" if domain and "." not in hostname else hostname
