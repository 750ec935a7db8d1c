"""Hosts: everything a compute says of itself, what it has promised, and the operator's word on it."""

from __future__ import annotations

import dataclasses

from injector.api.views.viewpoint import Document, exact
from injector.model.host import HostFacts, HostRecord


def detail(record: HostRecord, down_after: float) -> Document:
    """``down_after``: the seconds of silence after which a host is down."""
    host = record.facts
    return {
        "name": host.name,
        "enabled": record.enabled,
        "disabled_reason": record.disabled_reason,
        "state": "down" if record.silent > down_after else "up",
        "silent_seconds": round(record.silent, 1),
        "usage": dataclasses.asdict(record.usage),
        "room": dataclasses.asdict(record.room),
        **_facts(host),
    }


def zone(name: str, available: bool) -> Document:
    """As the Compute API shows an availability zone to everybody."""
    return {"zoneName": name, "zoneState": {"available": available}, "hosts": None}


def _facts(host: HostFacts) -> Document:
    return {
        "availability_zone": host.availability_zone,
        "hypervisor": host.hypervisor,
        "hypervisor_version": host.hypervisor_version,
        "arch": host.arch,
        "vcpus": host.vcpus,
        "memory_mib": host.memory_mib,
        "reserved_mib": host.reserved_mib,
        "disk_gib": host.disk_gib,
        "guests": host.guests,
        "virt": dataclasses.asdict(host.virt),
        "policy": dataclasses.asdict(host.policy),
        "carriages": [
            {
                "channel": carriage.channel.value,
                "kinds": sorted(kind.value for kind in carriage.kinds),
                "any_mode": carriage.any_mode,
                "back_ends": list(carriage.back_ends),
            }
            for carriage in host.carriages
        ],
        "back_ends": [dataclasses.asdict(one) for one in host.back_ends],
        "reported_at": exact(host.reported_at),
    }
