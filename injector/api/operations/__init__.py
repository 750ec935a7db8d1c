"""What callers can have done, whichever protocol they speak: documents in, values of the house out.

REST resources and the RPC endpoint are two ways to the same operations; every check is made here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from injector.api.operations.drives import Drives, Verifiers
from injector.api.operations.flavors import Flavors
from injector.api.operations.hosts import Hosts
from injector.api.operations.images import Images, ImageStore
from injector.api.operations.keypairs import KeyPairs
from injector.api.operations.networks import Networks
from injector.api.operations.preview import Previewers, Previews
from injector.api.operations.servers import Consoles, Servers
from injector.api.operations.usage import UsedLimits
from injector.db import Store
from injector.rpc.dispatcher import Dispatcher
from injector.settings import Settings
from injector.system.vault import Vault

__all__ = ["ImageStore", "OnHosts", "Operations", "Outside", "make_operations"]


@dataclass(frozen=True, slots=True)
class Operations:
    """All of them, by resource."""

    servers: Servers
    drives: Drives
    previews: Previews
    keypairs: KeyPairs
    flavors: Flavors
    images: Images
    networks: Networks
    hosts: Hosts
    limits: UsedLimits


class OnHosts(Consoles, Previewers, Verifiers, Protocol):
    """What is asked of a host itself: ``injector.rpc.compute.ComputeClient``."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What the operations work with."""

    store: Store
    dispatcher: Dispatcher
    hosts: OnHosts
    image_store: ImageStore
    vault: Vault


def make_operations(outside: Outside, settings: Settings) -> Operations:
    store = outside.store
    drives = Drives(store, outside.dispatcher, outside.hosts, outside.vault)
    return Operations(
        servers=Servers(store, outside.dispatcher, outside.hosts, outside.vault, settings, drives),
        drives=drives,
        previews=Previews(store, outside.dispatcher, outside.hosts, outside.vault, settings),
        keypairs=KeyPairs(store, settings.quotas),
        flavors=Flavors(store),
        images=Images(store, outside.image_store),
        networks=Networks(store),
        hosts=Hosts(store, outside.dispatcher, settings.dispatcher.host_down_after),
        limits=UsedLimits(store, settings.quotas),
    )
