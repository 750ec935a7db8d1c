"""Instances for tests of the store: each with addresses, ports and ids of its own number."""

from __future__ import annotations

from dataclasses import replace

from injector.db import Store
from injector.model.host import Usage
from injector.model.instance import Instance
from injector.model.network import Address, Forward
from tests import builders


def numbered(number: int, **changes: object) -> Instance:
    """On host "h"; of two instances with different numbers nothing clashes (below 65,536)."""
    ip = f"10.0.{number // 250}.{number % 250 + 1}"
    nic = builders.a_nic(
        mac=f"fa:16:3e:00:{number // 256:02x}:{number % 256:02x}", addresses=(Address(builders.a_subnet(), ip),)
    )
    values: dict[str, object] = {
        "id": f"00000000-0000-4000-8000-{number:012d}",
        "nics": (nic,),
        "forwards": (Forward(nic.mac, 22, 20000 + number),),
        "host": "h",
    }
    return builders.an_instance(**(values | changes))


def with_metadata(added: dict[str, str], seen: Instance) -> Instance:
    return replace(seen, metadata={**seen.metadata, **added})


def usage_by_instances(store: Store, host: str) -> Usage:
    """What a host's instances take, counted one by one from their records."""
    usage = Usage()
    for instance in store.instances(host=host):
        if instance.holds_claims:
            usage = usage.plus(instance.need)
    return usage
