"""Hosts: everything a compute says of itself."""

from __future__ import annotations

import dataclasses

from injector.api.views.viewpoint import Document, exact
from injector.model.host import HostFacts


def detail(host: HostFacts) -> Document:
    return {
        "name": host.name,
        "availability_zone": host.availability_zone,
        "hypervisor": host.hypervisor,
        "hypervisor_version": host.hypervisor_version,
        "arch": host.arch,
        "vcpus": host.vcpus,
        "memory_mib": host.memory_mib,
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
